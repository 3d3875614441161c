"""Writes: what the server decides, what it refuses, and what changes nothing."""

import asyncio
from typing import Any

import pytest

from tests.apiserver import conftest

MAPS = conftest.CONFIG_MAPS
WIDGETS = conftest.WIDGETS
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


async def current(api: conftest.Api, path: str) -> dict[str, Any]:
    """An object as it is now."""
    answer = await api.get(path)
    assert answer.status == 200, answer.body
    obj: dict[str, Any] = answer.doc
    return obj


class TestCreate:
    """POST."""

    async def test_completes_the_metadata(self, api: conftest.Api) -> None:
        """The server gives identity, time and generation, and drops what is not the client's."""
        given: dict[str, Any] = {
            "uid": "mine",
            "creationTimestamp": "2001-01-01T00:00:00Z",
            "deletionTimestamp": "2001-01-01T00:00:00Z",
            "selfLink": "/somewhere",
            "generation": 7,
        }
        created = await api.create(WIDGETS, conftest.widget("w", **given))
        metadata = created["metadata"]
        assert metadata["generation"] == 1
        assert metadata["uid"] != "mine"
        assert metadata["creationTimestamp"] > "2020"
        assert {"deletionTimestamp", "selfLink"}.isdisjoint(metadata)
        assert metadata["namespace"] == "default"
        assert await current(api, WIDGETS + "/w") == created

    async def test_fills_in_defaults_and_drops_the_status(self, api: conftest.Api) -> None:
        """Defaults come from the schema; the status is written by its subresource alone."""
        obj = {**conftest.widget("w"), "status": {"phase": "Done"}}
        created = await api.create(WIDGETS, obj)
        assert created["spec"] == {"size": 1, "color": "red"}
        assert "status" not in created

    async def test_makes_names_up(self, api: conftest.Api) -> None:
        """A generateName becomes a prefix; a name that is taken is tried again."""
        obj = conftest.config_map("", metadata={"generateName": "made-up-"})
        del obj["metadata"]["name"]
        made = await asyncio.gather(*(api.create(MAPS, obj) for _ in range(20)))
        names = {each["metadata"]["name"] for each in made}
        assert len(names) == 20
        assert all(name.startswith("made-up-") and len(name) == 13 for name in names)

    async def test_one_of_many_wins_a_name(self, api: conftest.Api) -> None:
        """The others are told that it is taken."""
        posts = (api.send("POST", MAPS, conftest.config_map("a")) for _ in range(10))
        found = sorted(answer.status for answer in await asyncio.gather(*posts))
        assert found == [201] + [409] * 9

    async def test_needs_a_namespace_that_is_there(self, api: conftest.Api) -> None:
        """The path's namespace must exist, and the object must not name another."""
        nowhere = MAPS.replace("default", "nowhere")
        answer = await api.send("POST", nowhere, conftest.config_map("a"))
        assert (answer.status, answer.doc["message"]) == (404, 'namespaces "nowhere" not found')
        other = conftest.config_map("a", metadata={"namespace": "kube-system"})
        answer = await api.send("POST", MAPS, other)
        assert answer.status == 400
        assert "does not match the namespace sent on the request" in answer.doc["message"]

    async def test_takes_yaml(self, api: conftest.Api) -> None:
        """A body may be YAML."""
        text = "metadata:\n  name: a\ndata:\n  when: 2001-01-01\n"
        answer = await api.send("POST", MAPS, text, content_type="application/yaml")
        assert (answer.status, answer.doc["data"]) == (201, {"when": "2001-01-01"})


class TestFieldValidation:
    """What happens to fields that the schema does not know."""

    @pytest.mark.parametrize("query", ["", "?fieldValidation=Warn"])
    async def test_warns(self, api: conftest.Api, query: str) -> None:
        """They are dropped with a warning each; a field that stands twice is told as well."""
        text = (
            '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},'
            '"spec":{"size":1,"size":2,"zip":{"zap":1}}}'
        )
        answer = await api.send("POST", WIDGETS + query, text)
        assert answer.status == 201
        assert answer.doc["spec"] == {"size": 2, "color": "red"}
        warnings = answer.headers.getall("Warning")  # type: ignore[attr-defined]
        assert warnings == [
            '299 - "duplicate field \\"spec.size\\""',
            '299 - "unknown field \\"spec.zip\\""',
        ]

    async def test_refuses_strictly(self, api: conftest.Api) -> None:
        """In Strict mode the request fails and lists them."""
        obj = conftest.widget("w")
        obj["spec"]["zip"] = 1
        answer = await api.send("POST", WIDGETS + "?fieldValidation=Strict", obj)
        assert answer.status == 400
        assert answer.doc["message"] == (
            'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
            'unknown field "spec.zip"'
        )
        await api.create(WIDGETS, conftest.widget("w"))
        path = WIDGETS + "/w?fieldValidation=Strict"
        answer = await api.patch(path, {"spec": {"zip": 1}})
        assert answer.status == 422
        assert answer.doc["message"].endswith('strict decoding error: unknown field "spec.zip"')

    async def test_ignores(self, api: conftest.Api) -> None:
        """In Ignore mode they are dropped in silence."""
        obj = conftest.widget("w")
        obj["spec"]["zip"] = 1
        answer = await api.send("POST", WIDGETS + "?fieldValidation=Ignore", obj)
        assert answer.status == 201
        assert "Warning" not in answer.headers

    async def test_knows_its_own_modes(self, api: conftest.Api) -> None:
        """Another word is refused."""
        answer = await api.send("POST", MAPS + "?fieldValidation=Maybe", conftest.config_map("a"))
        assert answer.status == 422
        assert "fieldValidation: Unsupported value" in answer.doc["message"]


class TestDryRun:
    """``dryRun=All`` does everything but the write."""

    async def test_leaves_nothing_behind(self, api: conftest.Api) -> None:
        """No object, no revision, no event; the answer is what would have been."""
        before = conftest.store_of(api).revision
        answer = await api.send("POST", WIDGETS + "?dryRun=All", conftest.widget("w"))
        assert answer.status == 201
        assert answer.doc["spec"]["color"] == "red"
        assert (await api.get(WIDGETS + "/w")).status == 404
        assert conftest.store_of(api).revision == before

    async def test_leaves_objects_as_they_are(self, api: conftest.Api) -> None:
        """Patches and deletions as well, and no generation leaks."""
        created = await api.create(WIDGETS, conftest.widget("w"))
        patched = await api.patch(WIDGETS + "/w?dryRun=All", {"spec": {"size": 2}})
        assert patched.doc["metadata"]["generation"] == 2
        deleted = await api.send("DELETE", WIDGETS + "/w?dryRun=All")
        assert deleted.doc["status"] == "Success"
        assert await current(api, WIDGETS + "/w") == created

    async def test_still_checks(self, api: conftest.Api) -> None:
        """An object that breaks the rules is refused, and so is another value of the option."""
        answer = await api.send("POST", WIDGETS + "?dryRun=All", conftest.widget("w", size=0))
        assert answer.status == 422
        answer = await api.send("POST", MAPS + "?dryRun=Some", conftest.config_map("a"))
        assert answer.status == 422
        assert 'dryRun: Unsupported value: []string{"Some"}' in answer.doc["message"]


class TestUpdate:
    """PUT and PATCH."""

    async def test_generation_counts_changes_of_the_spec(self, api: conftest.Api) -> None:
        """Metadata and status do not count."""
        await api.create(WIDGETS, conftest.widget("w"))
        seen = []
        for path, patch in (
            ("", {"metadata": {"labels": {"a": "b"}}}),
            ("/status", {"status": {"phase": "Done"}}),
            ("", {"spec": {"size": 2}}),
            ("", {"spec": {"size": 2}}),
        ):
            answer = await api.patch(f"{WIDGETS}/w{path}", patch)
            assert answer.status == 200
            seen.append(answer.doc["metadata"]["generation"])
        assert seen == [1, 1, 2, 2]

    async def test_status_and_the_rest_are_written_apart(self, api: conftest.Api) -> None:
        """Each way in leaves the other's part alone."""
        await api.create(WIDGETS, conftest.widget("w"))
        mixed = {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"size": 5},
            "status": {"phase": "Done"},
        }
        by_status = (await api.patch(WIDGETS + "/w/status", mixed)).doc
        assert by_status["status"] == {"phase": "Done"}
        assert by_status["spec"]["size"] == 1
        assert "labels" not in by_status["metadata"]
        by_front = (await api.patch(WIDGETS + "/w", {**mixed, "status": {"phase": "No"}})).doc
        assert by_front["status"] == {"phase": "Done"}
        assert by_front["spec"]["size"] == 5

    async def test_nothing_new_is_no_write(self, api: conftest.Api) -> None:
        """The revision stays, whatever way the same content comes."""
        created = await api.create(MAPS, conftest.config_map("a", data={"k": "v"}))
        for patch in ({}, {"data": {"k": "v"}}):
            assert (await api.patch(MAPS + "/a", patch)).doc == created
        assert (await api.send("PUT", MAPS + "/a", created)).doc == created

    async def test_a_stale_revision_is_a_conflict(self, api: conftest.Api) -> None:
        """Optimistic concurrency, for PUT and for patches that carry a revision."""
        stale = await api.create(WIDGETS, conftest.widget("w"))
        await api.patch(WIDGETS + "/w", {"spec": {"size": 2}})
        put = await api.send("PUT", WIDGETS + "/w", stale)
        revision = stale["metadata"]["resourceVersion"]
        patched = await api.patch(WIDGETS + "/w", {"metadata": {"resourceVersion": revision}})
        for answer in (put, patched):
            assert (answer.status, answer.doc["reason"]) == (409, "Conflict")
            assert "the object has been modified" in answer.doc["message"]

    async def test_every_concurrent_patch_arrives(self, api: conftest.Api) -> None:
        """Patches without a revision are put one upon the other."""
        await api.create(MAPS, conftest.config_map("a"))
        patches = (api.patch(MAPS + "/a", {"data": {f"k{n}": "v"}}) for n in range(30))
        assert {answer.status for answer in await asyncio.gather(*patches)} == {200}
        assert len((await current(api, MAPS + "/a"))["data"]) == 30

    async def test_custom_resources_need_a_revision(self, api: conftest.Api) -> None:
        """PUT of a custom resource without one is refused; of a ConfigMap it is not."""
        await api.create(WIDGETS, conftest.widget("w"))
        answer = await api.send("PUT", WIDGETS + "/w", conftest.widget("w", size=2))
        assert answer.status == 422
        assert "must be specified for an update" in answer.doc["message"]
        await api.create(MAPS, conftest.config_map("a"))
        assert (await api.send("PUT", MAPS + "/a", conftest.config_map("a"))).status == 200

    async def test_names_and_uids_must_fit(self, api: conftest.Api) -> None:
        """The body must be about the object in the path."""
        await api.create(MAPS, conftest.config_map("a"))
        other = await api.send("PUT", MAPS + "/a", conftest.config_map("b"))
        assert other.doc["message"] == (
            "the name of the object (b) does not match the name on the URL (a)"
        )
        reborn = conftest.config_map("a", metadata={"uid": "another"})
        answer = await api.send("PUT", MAPS + "/a", reborn)
        assert answer.status == 409
        assert "Precondition failed: UID in precondition: another" in answer.doc["message"]

    async def test_leases_and_events_come_into_being_by_put(self, api: conftest.Api) -> None:
        """Other kinds do not."""
        lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
        path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
        assert (await api.send("PUT", path, lease)).status == 201
        answer = await api.send("PUT", MAPS + "/nobody", conftest.config_map("nobody"))
        assert answer.status == 404

    async def test_json_patch(self, api: conftest.Api) -> None:
        """Operations in order; one that does not fit leaves the object alone."""
        await api.create(MAPS, conftest.config_map("a", data={"k": "v"}))
        patch = [
            {"op": "test", "path": "/data/k", "value": "v"},
            {"op": "add", "path": "/data/n", "value": "w"},
        ]
        answer = await api.patch(MAPS + "/a", patch, content_type=JSON_PATCH)
        assert answer.doc["data"] == {"k": "v", "n": "w"}
        patch[0]["value"] = "x"
        patch[1]["path"] = "/data/m"
        refused = await api.patch(MAPS + "/a", patch, content_type=JSON_PATCH)
        assert (refused.status, refused.doc["reason"]) == (422, "Invalid")
        assert (await current(api, MAPS + "/a"))["data"] == {"k": "v", "n": "w"}

    async def test_strategic_patch_of_a_built_in_kind(self, api: conftest.Api) -> None:
        """Lists merge by their keys."""
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        account = {"metadata": {"name": "a"}, "secrets": [{"name": "one"}]}
        await api.create(accounts, account)
        patch = {"secrets": [{"name": "two"}]}
        answer = await api.patch(accounts + "/a", patch, content_type=STRATEGIC)
        names = {each["name"] for each in answer.doc["secrets"]}
        assert names == {"one", "two"}

    async def test_strategic_patch_of_a_custom_resource_is_a_merge(self, api: conftest.Api) -> None:
        """``kubectl patch`` without --type works, as the user's document prints it."""
        await api.create(WIDGETS, conftest.widget("w"))
        answer = await api.patch(WIDGETS + "/w", '{"spec": {"size" : 9 }}', content_type=STRATEGIC)
        assert (answer.status, answer.doc["spec"]["size"]) == (200, 9)


class TestApply:
    """Server-side apply, from the outside."""

    QUERY = "?fieldManager=tests"
    TYPE = "application/apply-patch+yaml"

    async def test_creates_and_updates(self, api: conftest.Api) -> None:
        """YAML or JSON; the second apply of the same changes nothing."""
        text = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 4}}"
        path = WIDGETS + "/w" + self.QUERY
        first = await api.patch(path, text, content_type=self.TYPE)
        assert (first.status, first.doc["spec"]) == (201, {"size": 4, "color": "red"})
        second = await api.patch(path, conftest.widget("w", size=4), content_type=self.TYPE)
        assert (second.status, second.doc) == (200, first.doc)

    async def test_does_not_take_from_others(self, api: conftest.Api) -> None:
        """A field of another manager is a conflict, unless it is forced."""
        await api.create(WIDGETS + "?fieldManager=owner", conftest.widget("w"))
        path, obj = WIDGETS + "/w" + self.QUERY, conftest.widget("w", size=4)
        refused = await api.patch(path, obj, content_type=self.TYPE)
        assert refused.status == 409
        (cause,) = refused.doc["details"]["causes"]
        assert cause["field"] == ".spec.size"
        forced = await api.patch(path + "&force=true", obj, content_type=self.TYPE)
        assert (forced.status, forced.doc["spec"]["size"]) == (200, 4)

    async def test_needs_a_manager(self, api: conftest.Api) -> None:
        """And force belongs to apply alone."""
        answer = await api.patch(WIDGETS + "/w", conftest.widget("w"), content_type=self.TYPE)
        assert "fieldManager: Required value" in answer.doc["message"]
        answer = await api.patch(WIDGETS + "/w?force=true", {})
        assert "force: Forbidden" in answer.doc["message"]

    @pytest.mark.parametrize(
        "intent",
        [
            {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "w"}},
            {"apiVersion": "example.com/v1", "kind": "Other", "metadata": {"name": "w"}},
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "other"}},
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {}},
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": []},
            [],
        ],
    )
    async def test_refuses_what_is_about_something_else(
        self, api: conftest.Api, intent: object
    ) -> None:
        """Another version, kind or name."""
        path = WIDGETS + "/w" + self.QUERY
        answer = await api.patch(path, intent, content_type=self.TYPE)
        assert answer.status == 400, answer.body
        assert (await api.get(WIDGETS + "/w")).status == 404
