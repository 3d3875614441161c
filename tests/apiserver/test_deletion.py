"""Deletion: preconditions, finalizers, and what goes along with what is deleted."""

from typing import Any

import pytest

from ocisource.apiserver import janitor
from ocisource.apiserver.history import records
from tests.apiserver import conftest

MAPS = conftest.CONFIG_MAPS
WIDGETS = conftest.WIDGETS
NAMESPACES = "/api/v1/namespaces"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FREE: dict[str, Any] = {"metadata": {"finalizers": None}}


def owned(owner: dict[str, Any], name: str, *, blocks: bool = False) -> dict[str, Any]:
    """A ConfigMap that belongs to another object."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }
    return conftest.config_map(name, metadata={"ownerReferences": [reference]})


async def test_tells_what_was_deleted(api: conftest.Api) -> None:
    """The uid is there for kubectl, which compares it."""
    created = await api.create(WIDGETS, conftest.widget("w"))
    answer = await api.send("DELETE", WIDGETS + "/w")
    assert answer.status == 200
    assert answer.doc["status"] == "Success"
    assert answer.doc["details"] == {
        "name": "w",
        "group": "example.com",
        "kind": "widgets",
        "uid": created["metadata"]["uid"],
    }
    assert (await api.get(WIDGETS + "/w")).status == 404
    assert (await api.send("DELETE", WIDGETS + "/w")).status == 404


async def test_finalizers_keep_an_object(api: conftest.Api) -> None:
    """It is marked and gone when the last finalizer is; no new ones may come meanwhile."""
    await api.create(WIDGETS, conftest.widget("w", finalizers=["a.b/c"]))
    marked = (await api.send("DELETE", WIDGETS + "/w")).doc
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["generation"] == 2
    again = (await api.send("DELETE", WIDGETS + "/w")).doc
    assert again == marked
    more = {"metadata": {"finalizers": ["a.b/c", "a.b/d"]}}
    refused = await api.patch(WIDGETS + "/w", more)
    assert refused.status == 422
    assert "no new finalizers can be added" in refused.doc["message"]
    async with api.watch(WIDGETS + "?watch=1") as watch:
        assert await watch.seen(1) == [("ADDED", "w")]
        last = await api.patch(WIDGETS + "/w", FREE)
        assert last.status == 200
        assert await watch.seen(1) == [("DELETED", "w")]
    assert (await api.get(WIDGETS + "/w")).status == 404


@pytest.mark.parametrize(
    ("preconditions", "complaint"),
    [
        ({"uid": "other"}, "the UID in the precondition (other) does not match the UID in record"),
        ({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does not match"),
    ],
)
async def test_preconditions(
    api: conftest.Api, preconditions: dict[str, str], complaint: str
) -> None:
    """Another object of the same name, or another state of it, is not deleted."""
    await api.create(MAPS, conftest.config_map("a"))
    answer = await api.send("DELETE", MAPS + "/a", {"preconditions": preconditions})
    assert answer.status == 409
    assert complaint in answer.doc["message"]
    assert (await api.get(MAPS + "/a")).status == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"propagationPolicy": "Sometimes"}, 422),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422),
        ({"dryRun": ["Some"]}, 422),
        ({"dryRun": "All"}, 400),
        ({"preconditions": []}, 400),
        ([], 400),
        ({"kind": "Other"}, 500),
        ("x", 500),
    ],
)
async def test_wrong_options(api: conftest.Api, options: object, status: int) -> None:
    """What cannot be understood deletes nothing."""
    await api.create(MAPS, conftest.config_map("a"))
    assert (await api.send("DELETE", MAPS + "/a", options)).status == status
    assert (await api.get(MAPS + "/a")).status == 200


async def test_a_collection_goes_by_its_labels(api: conftest.Api) -> None:
    """Those that are selected go, the answer lists them, the others stay."""
    for name, value in (("a", "1"), ("b", "1"), ("c", "2")):
        metadata = {"labels": {"x": value}}
        await api.create(MAPS, conftest.config_map(name, metadata=metadata))
    answer = await api.send("DELETE", MAPS + "?labelSelector=x%3D1")
    assert answer.doc["kind"] == "ConfigMapList"
    assert [each["metadata"]["name"] for each in answer.doc["items"]] == ["a", "b"]
    left = (await api.get(MAPS)).doc["items"]
    assert [each["metadata"]["name"] for each in left] == ["c"]


class TestNamespaces:
    """A namespace takes its contents with it."""

    async def test_goes_with_what_is_in_it(self, api: conftest.Api) -> None:
        """Objects of every kind, those of CRDs as well."""
        await api.create(NAMESPACES, {"metadata": {"name": "n"}})
        await api.create(MAPS.replace("default", "n"), conftest.config_map("a"))
        await api.create(WIDGETS.replace("default", "n"), conftest.widget("w"))
        going = await api.send("DELETE", NAMESPACES + "/n")
        assert going.doc["status"]["phase"] == "Terminating"
        await conftest.until_status(api, NAMESPACES + "/n", 404)
        for path in (MAPS, WIDGETS):
            assert (await api.get(path.replace("default", "n"))).doc["items"] == []

    async def test_waits_for_finalizers(self, api: conftest.Api) -> None:
        """While an object is held nothing new may come, and the namespace stays."""
        await api.create(NAMESPACES, {"metadata": {"name": "n"}})
        widgets = WIDGETS.replace("default", "n")
        await api.create(widgets, conftest.widget("w", finalizers=["a.b/c"]))
        await api.send("DELETE", NAMESPACES + "/n")
        refused = await api.send("POST", widgets, conftest.widget("late"))
        assert refused.status == 403
        assert "because it is being terminated" in refused.doc["message"]
        assert refused.doc["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        held = conftest.store_of(api)
        key = records.Key("widgets.example.com", "n", "w")
        await conftest.until(lambda: b"deletionTimestamp" in _body(held.get(key)))
        assert (await api.get(NAMESPACES + "/n")).status == 200
        await api.patch(widgets + "/w", FREE)
        await conftest.until_status(api, NAMESPACES + "/n", 404)

    async def test_is_finalized_by_its_own_subresource(self, api: conftest.Api) -> None:
        """``/finalize`` takes the finalizers, and nothing else, from the body."""
        await api.create(NAMESPACES, {"metadata": {"name": "n"}})
        body = {"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"finalizers": ["x.y/z"]}}
        answer = await api.send("PUT", NAMESPACES + "/n/finalize", body)
        assert answer.doc["spec"] == {"finalizers": ["x.y/z"]}
        assert "a" not in answer.doc["metadata"].get("labels", {})


def _body(record: records.Record | None) -> bytes:
    return record.body if record else b""


class TestDefinitions:
    """A definition takes its objects with it."""

    async def test_goes_with_its_objects(self, api: conftest.Api) -> None:
        """Held objects hold the definition, and it serves them until the end."""
        await api.create(WIDGETS, conftest.widget("w", finalizers=["a.b/c"]))
        path = DEFINITIONS + "/widgets.example.com"
        await api.send("DELETE", path)
        held = conftest.store_of(api)
        key = records.Key("widgets.example.com", "default", "w")
        await conftest.until(lambda: b"deletionTimestamp" in _body(held.get(key)))
        assert (await api.get(path)).status == 200
        await api.patch(WIDGETS + "/w", FREE)
        await conftest.until_status(api, path, 404)
        assert (await api.get(WIDGETS)).status == 404

    async def test_comes_back_empty(self, api: conftest.Api) -> None:
        """A new definition of that name starts with no objects."""
        await api.create(WIDGETS, conftest.widget("w"))
        await api.send("DELETE", DEFINITIONS + "/widgets.example.com")
        await conftest.until_status(api, DEFINITIONS + "/widgets.example.com", 404)
        await api.create(DEFINITIONS, conftest.widget_definition())
        assert (await api.get(WIDGETS)).doc["items"] == []


class TestOwners:
    """Dependents follow their owners."""

    async def test_background(self, api: conftest.Api) -> None:
        """Dependents go after their owner, and theirs after them."""
        owner = await api.create(WIDGETS, conftest.widget("owner"))
        child = await api.create(MAPS, owned(owner, "child"))
        await api.create(MAPS, owned(child, "grandchild"))
        await api.create(MAPS, conftest.config_map("stranger"))
        await api.send("DELETE", WIDGETS + "/owner", {"propagationPolicy": "Background"})
        await conftest.until_status(api, MAPS + "/grandchild", 404)
        await conftest.until_status(api, MAPS + "/child", 404)
        assert (await api.get(MAPS + "/stranger")).status == 200

    async def test_another_owner_is_enough(self, api: conftest.Api) -> None:
        """A dependent stays while one of its owners does."""
        one = await api.create(WIDGETS, conftest.widget("one"))
        two = await api.create(WIDGETS, conftest.widget("two"))
        child = owned(one, "child")
        child["metadata"]["ownerReferences"].extend(owned(two, "x")["metadata"]["ownerReferences"])
        await api.create(MAPS, child)
        witness = await api.create(MAPS, owned(one, "witness"))
        await api.send("DELETE", WIDGETS + "/one")
        await conftest.until_status(api, f"{MAPS}/{witness['metadata']['name']}", 404)
        assert (await api.get(MAPS + "/child")).status == 200
        await api.send("DELETE", WIDGETS + "/two")
        await conftest.until_status(api, MAPS + "/child", 404)

    async def test_foreground(self, api: conftest.Api) -> None:
        """The owner waits for dependents that block it."""
        owner = await api.create(WIDGETS, conftest.widget("owner"))
        blocking = owned(owner, "blocking", blocks=True)
        blocking["metadata"]["finalizers"] = ["a.b/c"]
        await api.create(MAPS, blocking)
        await api.create(MAPS, owned(owner, "other"))
        options = {"propagationPolicy": "Foreground"}
        marked = (await api.send("DELETE", WIDGETS + "/owner", options)).doc
        assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
        await conftest.until_status(api, MAPS + "/other", 404)
        assert (await api.get(WIDGETS + "/owner")).status == 200
        await api.patch(MAPS + "/blocking", FREE)
        await conftest.until_status(api, WIDGETS + "/owner", 404)

    async def test_orphan(self, api: conftest.Api) -> None:
        """Dependents lose the reference and stay."""
        owner = await api.create(WIDGETS, conftest.widget("owner"))
        await api.create(MAPS, owned(owner, "child"))
        await api.send("DELETE", WIDGETS + "/owner", {"propagationPolicy": "Orphan"})
        await conftest.until_status(api, WIDGETS + "/owner", 404)
        child = (await api.get(MAPS + "/child")).doc
        assert "ownerReferences" not in child["metadata"]

    async def test_an_owner_that_was_never_there(self, api: conftest.Api) -> None:
        """A dependent of nobody goes; one of a kind that nobody serves stays."""
        nobody = conftest.widget("nobody", uid="nothing")
        stranger = {"apiVersion": "other.io/v1", "kind": "Other", "metadata": nobody["metadata"]}
        await api.create(MAPS, owned(stranger, "kept"))
        await api.create(MAPS, owned(nobody, "gone"))
        await conftest.until_status(api, MAPS + "/gone", 404)
        assert (await api.get(MAPS + "/kept")).status == 200


async def test_what_was_going_goes_on_after_a_restart(tmp_path: Any, start: Any) -> None:
    """A namespace whose contents were held when the server stopped is finished by the next."""
    options = {"manifests": [conftest.widget_definition()]}
    async with start(tmp_path / "data", **options) as api:
        await api.create(NAMESPACES, {"metadata": {"name": "n"}})
        widgets = WIDGETS.replace("default", "n")
        await api.create(widgets, conftest.widget("w", finalizers=["a.b/c"]))
        await api.send("DELETE", NAMESPACES + "/n")
    async with start(tmp_path / "data", **options) as api:
        await api.patch(widgets + "/w", FREE)
        await conftest.until_status(api, NAMESPACES + "/n", 404)


def test_events_are_as_old_as_they_were_last_seen() -> None:
    """A repeated event lives on; the newest of its times counts."""
    body = (
        b'{"metadata":{"name":"e","creationTimestamp":"2001-01-01T00:00:00Z"},'
        b'"lastTimestamp":"2001-01-01T01:00:00Z","eventTime":null}'
    )
    record = records.Record(records.Key("events", "ns", "e"), 1, body, {})
    assert janitor._last_seen(record) == 978310800.0
