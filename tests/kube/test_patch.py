"""Patches: what differs, and nothing else."""

import json
from typing import Any

import msgspec

from ocisource.api import meta
from ocisource.kube import patch, resources


def test_a_diff_holds_what_changed_and_nulls_what_is_gone() -> None:
    """In wire form: camelCase, defaults absent."""
    old = resources.LeaseSpec(holder_identity="a", lease_transitions=1, renew_time="t")
    new = resources.LeaseSpec(holder_identity="b", lease_transitions=1)
    assert patch.diff(old, new) == {"holderIdentity": "b", "renewTime": None}
    assert patch.diff(old, old) == {}


def test_nested_structs_are_compared_inside() -> None:
    """Only the changed leaf is sent."""
    old = resources.ConfigMap(metadata=meta.ObjectMeta(name="n", labels={"a": "1", "b": "2"}))
    new = msgspec.structs.replace(
        old, metadata=msgspec.structs.replace(old.metadata, labels={"a": "1", "c": "3"})
    )
    assert patch.diff(old, new) == {"metadata": {"labels": {"b": None, "c": "3"}}}


def test_a_version_can_be_demanded() -> None:
    """Optimistic locking, with other metadata kept."""
    document: dict[str, Any] = {"metadata": {"labels": {}}, "status": {}}
    locked = patch.with_version(document, "7")
    assert locked == {"metadata": {"labels": {}, "resourceVersion": "7"}, "status": {}}
    assert "resourceVersion" not in document["metadata"]


def test_each_language_has_its_content_type() -> None:
    """And all but the JSON patch may be sent twice."""
    made = {
        "application/merge-patch+json": patch.merge({"a": 1}),
        "application/strategic-merge-patch+json": patch.strategic({"a": 1}),
        "application/apply-patch+yaml": patch.apply({"a": 1}),
        "application/json-patch+json": patch.json_patch([{"op": "remove", "path": "/a"}]),
    }
    for content_type, change in made.items():
        assert change.content_type == content_type
        assert change.is_idempotent == (content_type != patch.JSON_PATCH)
        assert json.loads(change.body)
