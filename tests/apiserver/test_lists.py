"""Lists: pages of one state, selectors, resourceVersion, and what is gone."""

import base64
import json

import pytest

from tests.apiserver import conftest

MAPS = conftest.CONFIG_MAPS


async def fill(api: conftest.Api, count: int) -> None:
    """Make ConfigMaps a0, a1, …, every second one labelled."""
    for number in range(count):
        labels = {"odd": "yes"} if number % 2 else {}
        obj = conftest.config_map(f"a{number}", metadata={"labels": labels}, data={"n": "1"})
        await api.create(MAPS, obj)


def names(answer: conftest.Answer) -> list[str]:
    """Names of a list's items."""
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in answer.doc["items"]]


async def test_pages_show_one_state(api: conftest.Api) -> None:
    """What is changed, deleted or made between two pages is not seen in the second."""
    await fill(api, 5)
    first = await api.get(MAPS + "?limit=2")
    assert names(first) == ["a0", "a1"]
    metadata = first.doc["metadata"]
    assert metadata["remainingItemCount"] == 3
    await api.send("DELETE", MAPS + "/a2")
    await api.patch(MAPS + "/a3", {"data": {"n": "2"}})
    await api.create(MAPS, conftest.config_map("a33"))
    second = await api.get(f"{MAPS}?limit=2&continue={metadata['continue']}")
    assert names(second) == ["a2", "a3"]
    assert second.doc["items"][1]["data"] == {"n": "1"}
    assert second.doc["metadata"]["resourceVersion"] == metadata["resourceVersion"]
    third = await api.get(f"{MAPS}?limit=2&continue={second.doc['metadata']['continue']}")
    assert names(third) == ["a4"]
    assert "continue" not in third.doc["metadata"]


async def test_pages_with_a_selector_are_full(api: conftest.Api) -> None:
    """The limit counts what is selected; what remains is then not known."""
    await fill(api, 8)
    first = await api.get(MAPS + "?limit=2&labelSelector=odd")
    assert names(first) == ["a1", "a3"]
    assert "remainingItemCount" not in first.doc["metadata"]
    token = first.doc["metadata"]["continue"]
    second = await api.get(f"{MAPS}?limit=5&labelSelector=odd&continue={token}")
    assert names(second) == ["a5", "a7"]


async def test_a_page_whose_state_is_forgotten_is_gone(api: conftest.Api) -> None:
    """410, with a token that goes on in the present state."""
    await fill(api, 3)
    token = (await api.get(MAPS + "?limit=1")).doc["metadata"]["continue"]
    await api.send("DELETE", MAPS + "/a1")
    held = conftest.store_of(api)
    await held.compact_to(held.revision)
    gone = await api.get(f"{MAPS}?limit=5&continue={token}")
    assert gone.status == 410
    assert gone.doc["reason"] == "Expired"
    assert gone.doc["message"].startswith("The provided continue parameter is too old")
    fresh = gone.doc["metadata"]["continue"]
    assert names(await api.get(f"{MAPS}?limit=5&continue={fresh}")) == ["a2"]


async def test_an_exact_revision(api: conftest.Api) -> None:
    """Exact shows the past, NotOlderThan the present, and a forgotten one is gone."""
    await fill(api, 1)
    past = (await api.get(MAPS)).doc["metadata"]["resourceVersion"]
    await fill_more(api)
    exact = f"{MAPS}?resourceVersion={past}&resourceVersionMatch=Exact"
    assert names(await api.get(exact)) == ["a0"]
    assert names(await api.get(f"{MAPS}?resourceVersion={past}&limit=9")) == ["a0"]
    newer = f"{MAPS}?resourceVersion={past}&resourceVersionMatch=NotOlderThan"
    assert names(await api.get(newer)) == ["a0", "b"]
    assert names(await api.get(f"{MAPS}?resourceVersion=0")) == ["a0", "b"]
    held = conftest.store_of(api)
    await held.compact_to(held.revision)
    assert (await api.get(exact)).status == 410


async def fill_more(api: conftest.Api) -> None:
    """Make one more."""
    await api.create(MAPS, conftest.config_map("b"))


async def test_a_revision_from_the_future(
    api: conftest.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits a little, then says that it is not that far."""
    monkeypatch.setattr("ocisource.apiserver.reading.FUTURE_WAIT_SECONDS", 0.0)
    answer = await api.get(MAPS + "?resourceVersion=999999")
    assert answer.status == 504
    assert answer.headers["Retry-After"] == "1"
    assert answer.doc["message"].startswith("Timeout: Too large resource version: 999999")
    assert answer.doc["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("query", "status", "complaint"),
    [
        ("continue=foo", 400, "invalid continue token: continue key is not valid: "),
        ("continue=" + "x" * 5000, 400, "invalid continue token"),
        ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("limit=99999999999999999999", 400, "value out of range"),
        ("labelSelector=a%20b", 400, "unable to parse requirement"),
        ("fieldSelector=spec.x%3D1", 400, "is not a known field selector"),
        ("resourceVersion=x", 500, 'resourceVersion: Invalid value: "x"'),
        ("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Bad&resourceVersion=1", 422, 'Unsupported value: "Bad"'),
    ],
)
async def test_wrong_queries(api: conftest.Api, query: str, status: int, complaint: str) -> None:
    """Each is refused with the code and text of the real server."""
    answer = await api.get(f"{MAPS}?{query}")
    assert answer.status == status
    assert complaint in answer.doc["message"]
    assert answer.doc["code"] == status


@pytest.mark.parametrize(
    "token",
    [
        {"v": "v2", "rv": 1, "start": "a/b"},
        {"v": "meta.k8s.io/v1", "rv": 0, "start": "a/b"},
        {"v": "meta.k8s.io/v1", "rv": -2, "start": "a/b"},
        {"v": "meta.k8s.io/v1", "rv": 1, "start": "nowhere"},
        {"v": "meta.k8s.io/v1", "rv": "1", "start": "a/b"},
        [],
    ],
)
async def test_forged_tokens(api: conftest.Api, token: object) -> None:
    """A token that the server did not write is refused."""
    text = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    answer = await api.get(f"{MAPS}?limit=1&continue={text}")
    assert answer.status == 400
    assert answer.doc["message"].startswith("invalid continue token")


async def test_all_namespaces_or_one(api: conftest.Api) -> None:
    """The path decides; a field selector may as well."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await api.create(MAPS, conftest.config_map("a"))
    await api.create("/api/v1/namespaces/other/configmaps", conftest.config_map("b"))
    everywhere = "/api/v1/configmaps"
    assert names(await api.get(everywhere)) == ["a", "b"]
    assert names(await api.get(everywhere + "?fieldSelector=metadata.namespace%3Dother")) == ["b"]
    assert names(await api.get("/api/v1/namespaces/other/configmaps")) == ["b"]
    assert names(await api.get("/api/v1/namespaces/nowhere/configmaps")) == []


async def test_events_by_what_they_are_about(api: conftest.Api) -> None:
    """``kubectl describe`` and ``kubectl events`` ask so, in both groups."""
    events = "/api/v1/namespaces/default/events"
    for name, kind in (("e1", "OCIRepository"), ("e2", "Pod")):
        event = {
            "metadata": {"name": name},
            "involvedObject": {"kind": kind, "name": "podinfo", "namespace": "default"},
            "reason": "Because",
            "source": {"component": "tests"},
            "type": "Normal",
        }
        await api.create(events, event)
    about = "fieldSelector=involvedObject.kind%3DOCIRepository,involvedObject.name%3Dpodinfo"
    assert names(await api.get(f"{events}?{about}")) == ["e1"]
    assert names(await api.get(f"{events}?fieldSelector=source%3Dtests,reason!%3DBecause")) == []
    newer = "/apis/events.k8s.io/v1/namespaces/default/events"
    answer = await api.get(newer + "?fieldSelector=regarding.kind%3DPod")
    assert names(answer) == ["e2"]
    assert answer.doc["items"][0]["regarding"]["kind"] == "Pod"


async def test_tables_and_metadata(api: conftest.Api) -> None:
    """What kubectl get and flux ask for, of a list and of one object."""
    await api.create(conftest.WIDGETS, conftest.widget("w", size=3))
    table = (await api.get(conftest.WIDGETS, accept=conftest.TABLE)).doc
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["w", 3]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = (await api.get(conftest.WIDGETS, accept=accept)).doc
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}
    wrong = await api.get(conftest.WIDGETS + "/w", accept=accept)
    assert wrong.status == 406
    whole = await api.get(conftest.WIDGETS + "?includeObject=Object", accept=conftest.TABLE)
    assert whole.doc["rows"][0]["object"]["spec"] == {"size": 3, "color": "red"}


async def test_yaml_and_what_nobody_writes(api: conftest.Api) -> None:
    """YAML is written when it is wanted; HTML is not acceptable."""
    answer = await api.get(MAPS, accept="application/yaml")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert b"kind: ConfigMapList" in answer.body
    assert (await api.get(MAPS, accept="text/html")).status == 406
    assert (await api.get(MAPS, accept="text/html, */*;q=0.1")).status == 200
