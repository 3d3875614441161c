"""Watches: where they begin, what they tell, and how they end."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import Callable

import pytest

from ocisource.apiserver import kinds, requests, selection, watching
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import negotiation, presenting
from ocisource.apiserver.history import feeds, records, store
from tests.apiserver import conftest

WATCH = conftest.CONFIG_MAPS + "?watch=true"


async def test_begins_with_what_is_there(api: conftest.Api) -> None:
    """Without a resourceVersion, or with 0, present objects come first, as ADDED."""
    await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    for query in ("", "&resourceVersion=0"):
        async with api.watch(WATCH + query) as watch:
            assert await watch.seen(1) == [("ADDED", "a")]
            await api.patch(conftest.CONFIG_MAPS + "/a", {"data": {"k": query or "none"}})
            assert await watch.seen(1) == [("MODIFIED", "a")]


async def test_goes_on_after_a_revision(api: conftest.Api) -> None:
    """Only what happened later is told, in order, with each object's revision."""
    first = await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    await api.create(conftest.CONFIG_MAPS, conftest.config_map("b"))
    await api.send("DELETE", conftest.CONFIG_MAPS + "/a")
    since = first["metadata"]["resourceVersion"]
    async with api.watch(f"{WATCH}&resourceVersion={since}") as watch:
        lines = [await watch.next(), await watch.next()]
    assert [line["type"] for line in lines] == ["ADDED", "DELETED"]
    revisions = [int(line["object"]["metadata"]["resourceVersion"]) for line in lines]
    assert int(since) < revisions[0] < revisions[1]


async def test_a_revision_of_the_future_is_waited_for(api: conftest.Api) -> None:
    """What happens before that revision is not told."""
    created = await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    after_next = int(created["metadata"]["resourceVersion"]) + 1
    async with api.watch(f"{WATCH}&resourceVersion={after_next}") as watch:
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("untold"))
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("told"))
        assert await watch.seen(1) == [("ADDED", "told")]


async def test_objects_come_and_go_with_their_labels(api: conftest.Api) -> None:
    """A label change into the selection is ADDED, out of it DELETED with the newest revision."""
    await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    async with api.watch(WATCH + "&labelSelector=x%3D1") as watch:
        for value in ("1", "1", "2"):
            patch = {"metadata": {"labels": {"x": value, "y": f"{value}-{value}"}}, "data": {}}
            patched = await api.patch(conftest.CONFIG_MAPS + "/a", patch)
            if value == "1":
                await api.patch(conftest.CONFIG_MAPS + "/a", {"data": {"k": value}})
        assert await watch.seen(2) == [("ADDED", "a"), ("MODIFIED", "a")]
        last = await watch.next()
    assert last["type"] == "DELETED"
    assert last["object"]["metadata"]["labels"]["x"] == "1"
    assert (
        last["object"]["metadata"]["resourceVersion"]
        == (patched.doc["metadata"]["resourceVersion"])
    )


async def test_one_object_by_its_name(api: conftest.Api) -> None:
    """By a field selector, or by the older path."""
    older = conftest.CONFIG_MAPS.replace("/v1/", "/v1/watch/") + "/b"
    async with (
        api.watch(WATCH + "&fieldSelector=metadata.name%3Db") as by_field,
        api.watch(older) as by_path,
    ):
        for name in ("a", "b", "c"):
            await api.create(conftest.CONFIG_MAPS, conftest.config_map(name))
        await api.send("DELETE", conftest.CONFIG_MAPS + "/b")
        for watch in (by_field, by_path):
            assert await watch.seen(2) == [("ADDED", "b"), ("DELETED", "b")]


async def test_initial_events_end_with_a_marked_bookmark(api: conftest.Api) -> None:
    """WatchList: the present objects, then the bookmark that clients wait for."""
    await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    query = (
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&allowWatchBookmarks=true&resourceVersion="
    )
    async with api.watch(WATCH + query) as watch:
        assert await watch.seen(1) == [("ADDED", "a")]
        mark = await watch.next()
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["kind"] == "ConfigMap"
        metadata = mark["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(metadata["resourceVersion"]) > 0
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("b"))
        assert await watch.seen(1) == [("ADDED", "b")]


async def test_initial_events_can_be_declined(api: conftest.Api) -> None:
    """With sendInitialEvents=false only what happens from now on is told."""
    await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
    query = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    async with api.watch(WATCH + query) as watch:
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("b"))
        assert await watch.seen(1) == [("ADDED", "b")]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("&sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch"),
        ("&resourceVersionMatch=Exact", "resourceVersionMatch is forbidden for watch unless"),
    ],
)
async def test_wrong_options_are_refused(api: conftest.Api, query: str, complaint: str) -> None:
    """A client that asks for what does not go together must not hang for ever."""
    answer = await api.get(WATCH + query)
    assert answer.status == 422
    assert complaint in answer.doc["message"]


async def test_a_compacted_revision_is_gone(api: conftest.Api) -> None:
    """The stream holds one ERROR with code 410, and clients list anew."""
    for value in range(3):
        await api.create(conftest.CONFIG_MAPS, conftest.config_map(f"a{value}"))
    held = conftest.store_of(api)
    await held.compact_to(held.revision)
    answer = await api.get(WATCH + "&resourceVersion=1")
    assert answer.status == 200
    (line,) = answer.lines
    assert line["type"] == "ERROR"
    status = line["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_tables_bring_their_columns_once(api: conftest.Api) -> None:
    """The first Table of a watch has column definitions, the others none."""
    async with api.watch(WATCH, accept=conftest.TABLE) as watch:
        tables = []
        for name in ("a", "b"):
            await api.create(conftest.CONFIG_MAPS, conftest.config_map(name))
            tables.append((await watch.next())["object"])
    assert [table["kind"] for table in tables] == ["Table", "Table"]
    assert [column["name"] for column in tables[0]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert tables[1]["columnDefinitions"] is None
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


async def test_metadata_alone(api: conftest.Api) -> None:
    """As flux and controller-runtime's metadata clients watch."""
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with api.watch(WATCH, accept=accept) as watch:
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("a", data={"k": "v"}))
        line = await watch.next()
    assert line["object"]["kind"] == "PartialObjectMetadata"
    assert set(line["object"]) == {"kind", "apiVersion", "metadata"}


async def test_versions_see_the_same_changes(api: conftest.Api) -> None:
    """A watch of another served version tells the same objects under its own name."""
    other = conftest.WIDGETS.replace("/v1/", "/v1beta1/")
    async with (
        api.watch(conftest.WIDGETS + "?watch=1") as stored,
        api.watch(other + "?watch=1") as served,
    ):
        await api.create(conftest.WIDGETS, conftest.widget("w"))
        versions = [(await watch.next())["object"]["apiVersion"] for watch in (stored, served)]
    assert versions == ["example.com/v1", "example.com/v1beta1"]


async def test_the_end_of_a_definition_ends_its_watches(api: conftest.Api) -> None:
    """Nothing more will ever come."""
    await api.create(conftest.WIDGETS, conftest.widget("w"))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    async with api.watch(conftest.WIDGETS + "?watch=1") as watch:
        await api.send("DELETE", path)
        assert await watch.seen(2) == [("ADDED", "w"), ("DELETED", "w")]
        assert await watch.is_over()


async def test_a_stop_ends_watches(
    tmp_path: pathlib.Path,
    start: Callable[..., contextlib.AbstractAsyncContextManager[conftest.Api]],
) -> None:
    """A server that stops does not wait for its watchers."""
    async with start(tmp_path / "data") as api, api.watch(WATCH) as watch:
        await api.running.stop()
        assert await watch.is_over()


async def test_a_lost_client_is_forgotten(api: conftest.Api) -> None:
    """A connection that breaks leaves no watcher behind."""
    async with api.watch(WATCH):
        held = conftest.store_of(api)
        assert held._hub._feeds
    await conftest.until(lambda: not held._hub._feeds)


class _Clock:
    """Time that goes forward each time it is asked for."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 100.0
        return self.time


def _watch(
    held: store.Store, options: requests.ListOptions, clock: watching.Clock
) -> watching.Watch:
    """A watch of all ConfigMaps."""
    builtin = builtins.find("", "ConfigMap")
    assert builtin is not None
    kind = kinds.Kind.of(builtin.resource, builtin.resource.versions[0])
    wanted = selection.Selection.of(kind, "", options)
    presenter = presenting.Presenter(kind, negotiation.PLAIN)
    return watching.Watch(held, wanted, options, presenter=presenter, clock=clock)


async def test_what_changes_at_the_beginning_is_told_once(tmp_path: pathlib.Path) -> None:
    """An object that comes while the answer's head is being sent is not told twice."""
    held = await store.Store.open(tmp_path / "store.db")
    clock = watching.Clock(wall=lambda: 0.0, monotonic=lambda: 0.0, spread=lambda: 0.5)
    options = requests.ListOptions(is_watch=True, revision=0)
    async with contextlib.aclosing(_watch(held, options, clock).lines()) as lines:
        assert await anext(lines) == b""
        for name in ("a", "b"):
            where = records.Key("configmaps", "ns", name)
            await held.put(where, {"metadata": {"name": name}}, before=None)
        told = [
            json.loads(line)["object"]["metadata"] for line in (await anext(lines)).splitlines()
        ]
        assert [each["name"] for each in told] == ["a", "b"]
    await held.close()


async def test_changes_in_quick_succession_share_a_send(tmp_path: pathlib.Path) -> None:
    """The first is sent at once; those that follow while the pace is kept go together."""
    waits: list[float] = []
    waiting, released = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        waiting.set()
        await released.wait()

    held = await store.Store.open(tmp_path / "store.db")

    async def put(name: str) -> None:
        where = records.Key("configmaps", "ns", name)
        await held.put(where, {"metadata": {"name": name}}, before=None)

    clock = watching.Clock(wall=lambda: 0.0, monotonic=lambda: 0.0, spread=lambda: 0.5, sleep=sleep)
    options = requests.ListOptions(is_watch=True, revision=0)
    async with contextlib.aclosing(_watch(held, options, clock).lines()) as lines:
        assert await anext(lines) == b""
        await put("a")
        assert (await anext(lines)).count(b"\n") == 1
        assert not waits
        following = asyncio.ensure_future(anext(lines))
        await put("b")
        await waiting.wait()
        await put("c")
        released.set()
        assert (await following).count(b"\n") == 2
        assert waits == [watching.PACE_SECONDS]
    await held.close()


async def test_bookmarks_come_each_minute_and_the_watch_ends_in_time(
    tmp_path: pathlib.Path,
) -> None:
    """When asked for, they tell how far the store has come, although nothing was selected."""
    held = await store.Store.open(tmp_path / "store.db")
    try:
        options = requests.ListOptions(is_watch=True, has_bookmarks=True, revision=0, timeout=1000)
        clock = watching.Clock(wall=lambda: 0.0, monotonic=_Clock(), spread=lambda: 0.5)
        watch = _watch(held, options, clock)
        other = records.Key("secrets", "ns", "s")
        await held.put(other, {"metadata": {"name": "s"}}, before=None)
        lines = [line async for line in watch.lines() if line]
        assert len(lines) > 1
        assert all(b'"BOOKMARK"' in line for line in lines)
        assert b'"resourceVersion":"1"' in lines[-1]
        assert not held._hub._feeds
    finally:
        await held.close()


async def test_a_slow_watcher_is_cut_off(
    api: conftest.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its watch ends, and it comes back with its last revision."""
    async with api.watch(WATCH) as watch:
        monkeypatch.setattr(feeds, "WAITING_CHANGES", 0)
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
        assert await watch.is_over()


async def test_a_beginning_that_never_comes_is_refused(
    api: conftest.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of the future as a watch: 504 as a whole answer, not a broken stream."""
    monkeypatch.setattr("ocisource.apiserver.reading.FUTURE_WAIT_SECONDS", 0.0)
    query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999"
    answer = await api.get(WATCH + query)
    assert (answer.status, answer.doc["reason"]) == (504, "Timeout")


async def test_what_failed_is_logged_without_its_text(
    api: conftest.Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is a 500 for the client; the log names the place, and no content."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("ocisource.apiserver.reading.Reader.get", broken)
    answer = await api.get(conftest.CONFIG_MAPS + "/a")
    assert (answer.status, answer.doc["reason"]) == (500, "InternalError")
    assert "the API failed: RuntimeError in test_watch.py" in caplog.text
    assert "hunter2" not in caplog.text + answer.body.decode()
    assert "Traceback" not in caplog.text
