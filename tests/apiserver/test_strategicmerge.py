"""Strategic merge patches, with the results kube-apiserver v1.20.2 gave."""

import contextlib
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.builtin import builtins
from ocisource.wire import mergepatch

Object = dict[str, Any]


def _patched(kind: str, doc: Object, patch: Object) -> Object:
    builtin = builtins.find("", kind)
    assert builtin is not None
    return builtins.strategic_merge(builtin, doc, patch)


_SECRETS = [{"name": "g1", "uid": "u"}, {"name": "g2"}]


@pytest.mark.parametrize(
    ("patch", "secrets"),
    [
        ([{"name": "g2", "kind": "k"}], [{"name": "g1", "uid": "u"}, {"name": "g2", "kind": "k"}]),
        ([{"name": "g3"}], [{"name": "g3"}, *_SECRETS]),
        ([{"name": "g1", "$patch": "delete"}], [{"name": "g2"}]),
        ([{"name": "g1", "uid": None}], [{"name": "g1"}, {"name": "g2"}]),
        ([{"$patch": "replace"}, {"name": "x"}], [{"name": "x"}]),
    ],
)
def test_lists_of_objects_are_merged_by_key(patch: list[Object], secrets: list[Object]) -> None:
    """Items are changed, added and deleted by their key."""
    assert _patched("ServiceAccount", {"secrets": _SECRETS}, {"secrets": patch}) == {
        "secrets": secrets
    }


@pytest.mark.parametrize(
    ("patch", "finalizers"),
    [
        ({"finalizers": ["b", "c"]}, ["a", "b", "c"]),
        ({"finalizers": ["c"]}, ["c", "a", "b"]),
        ({"$deleteFromPrimitiveList/finalizers": ["a"]}, ["b"]),
        ({"$setElementOrder/finalizers": ["b", "a"]}, ["b", "a"]),
        (
            {"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]},
            ["c", "b", "a"],
        ),
    ],
)
def test_lists_of_scalars_are_merged_as_sets(patch: Object, finalizers: list[str]) -> None:
    """Scalars are added, deleted and ordered."""
    doc = {"metadata": {"finalizers": ["a", "b"]}}
    assert _patched("ConfigMap", doc, {"metadata": patch})["metadata"]["finalizers"] == finalizers


def test_other_lists_are_replaced() -> None:
    """Without a patch strategy a list is one value."""
    doc = {"imagePullSecrets": [{"name": "a"}]}
    patch = {"imagePullSecrets": [{"name": "b"}]}
    assert _patched("ServiceAccount", doc, patch) == patch


@pytest.mark.parametrize(
    ("patch", "data"),
    [
        ({"a": None, "c": "3"}, {"b": "2", "c": "3"}),
        ({"$patch": "replace", "c": "3"}, {"c": "3"}),
        ({"$patch": "delete"}, {}),
        ({"$patch": "merge", "a": "9"}, {"a": "9", "b": "2"}),
        ({"$retainKeys": ["a"]}, {"a": "1"}),
        ({"$retainKeys": ["c"], "c": "3"}, {"c": "3"}),
    ],
)
def test_objects_follow_their_directives(patch: Object, data: Object) -> None:
    """Merge, replace, delete and retain."""
    assert _patched("ConfigMap", {"data": {"a": "1", "b": "2"}}, {"data": patch}) == {"data": data}


def test_what_is_new_holds_neither_nulls_nor_directives() -> None:
    """Where nothing stood there is nothing to delete."""
    patch = {
        "data": {"$patch": "replace", "a": None, "b": "1"},
        "metadata": {"labels": {"x": None}},
    }
    assert _patched("ConfigMap", {}, patch) == {"data": {"b": "1"}, "metadata": {"labels": {}}}


@pytest.mark.parametrize(
    ("kind", "doc", "patch", "problem"),
    [
        (
            "ConfigMap",
            {"data": {}},
            {"data": {"$patch": "dance"}},
            "unknown patch type: dance in map: map[$patch:dance]",
        ),
        (
            "ServiceAccount",
            {"secrets": []},
            {"secrets": [{"uid": "u"}]},
            'map: map[string]interface {}{"uid":"u"} does not contain declared merge key: name',
        ),
        (
            "ConfigMap",
            {"data": {}},
            {"data": {"$retainKeys": ["a"], "b": "1"}},
            "invalid patch format of retainKeys",
        ),
        (
            "ConfigMap",
            {"metadata": {}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
            "invalid patch format of primitive list",
        ),
    ],
)
def test_patches_nobody_can_follow_are_refused(
    kind: str, doc: Object, patch: Object, problem: str
) -> None:
    """Wrong directives and items without their key."""
    with pytest.raises(errors.InvalidInputError) as caught:
        _patched(kind, doc, patch)
    assert str(caught.value) == problem


_DATA = st.dictionaries(st.sampled_from("abc"), st.text(max_size=2) | st.none(), max_size=3)


@hypothesis.given(_DATA, _DATA)
def test_without_lists_it_is_a_merge_patch(doc: Object, patch: Object) -> None:
    """Plain members are merged as RFC 7386 has it."""
    old = {"data": {key: value for key, value in doc.items() if value is not None}}
    assert _patched("ConfigMap", old, {"data": patch}) == mergepatch.apply(old, {"data": patch})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "uid",
                    "secrets",
                    "finalizers",
                    "ownerReferences",
                    "$patch",
                    "$retainKeys",
                    "$setElementOrder/secrets",
                    "$deleteFromPrimitiveList/finalizers",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@hypothesis.given(st.dictionaries(st.sampled_from(["secrets", "metadata"]), _JSON), _JSON)
def test_any_patch_is_followed_or_refused(doc: Object, patch: Any) -> None:
    """No patch fails otherwise, on no document."""
    if not isinstance(patch, dict):
        return
    for each in ({"metadata": patch}, patch):
        with contextlib.suppress(errors.InvalidInputError):
            assert isinstance(_patched("ServiceAccount", doc, each), dict)
