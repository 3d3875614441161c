"""The store keeps what it acknowledged, tells the past, and forgets it in order."""

import asyncio
import contextlib
import os
import pathlib
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ocisource import errors
from ocisource.apiserver.history import database, feeds, records, store

RESOURCE = "things"


@contextlib.asynccontextmanager
async def opened(path: pathlib.Path) -> AsyncIterator[store.Store]:
    """A store, closed at the end."""
    held = await store.Store.open(path)
    try:
        yield held
    finally:
        await held.close()


@pytest.fixture
async def held(tmp_path: pathlib.Path) -> AsyncIterator[store.Store]:
    """An empty store."""
    async with opened(tmp_path / "store.db") as held:
        yield held


def key(name: str, namespace: str = "ns") -> records.Key:
    """A key of the tests' resource."""
    return records.Key(RESOURCE, namespace, name)


async def put(held: store.Store, name: str, value: int = 0, **labels: str) -> records.Record:
    """Write an object."""
    obj: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "value": value}
    where = key(name)
    async with held.hold(where):
        return await held.put(where, obj, before=held.get(where))


async def remove(held: store.Store, name: str) -> records.Record:
    """Delete an object."""
    async with held.hold(key(name)):
        record = held.get(key(name))
        assert record is not None
        return await held.remove(key(name), record.decode(), before=record)


def values(found: list[records.Record]) -> dict[str, int]:
    """Names and values of objects."""
    return {record.key.name: record.decode()["value"] for record in found}


async def test_revisions_grow_and_stand_in_the_object(held: store.Store) -> None:
    """One number for the whole store, in metadata.resourceVersion as well."""
    first, second = await put(held, "a"), await put(held, "b")
    assert second.revision > first.revision
    assert second.decode()["metadata"]["resourceVersion"] == str(second.revision)
    assert held.revision == second.revision


async def test_what_was_written_is_there_after_a_restart(tmp_path: pathlib.Path) -> None:
    """Objects, revisions and deletions survive; revisions go on where they stopped."""
    async with opened(tmp_path / "store.db") as held:
        await put(held, "a", 1)
        await put(held, "a", 2)
        await put(held, "gone")
        last = (await remove(held, "gone")).revision
    async with opened(tmp_path / "store.db") as held:
        assert values(list(held.scan(RESOURCE))) == {"a": 2}
        assert held.revision == last
        assert (await put(held, "b")).revision == last + 1


async def test_revisions_never_repeat_after_everything_was_forgotten(
    tmp_path: pathlib.Path,
) -> None:
    """The mark of the compaction stands in for rows that are no more."""
    async with opened(tmp_path / "store.db") as held:
        await put(held, "a")
        last = (await remove(held, "a")).revision
        await held.compact_to(last)
    async with opened(tmp_path / "store.db") as held:
        assert held.revision == last


async def test_scans_go_by_key(held: store.Store) -> None:
    """By namespace, then name; one namespace alone, or from a place on."""
    for name in ("b", "a", "c"):
        await put(held, name)
    other = records.Key(RESOURCE, "a-first", "z")
    async with held.hold(other):
        await held.put(other, {"metadata": {"name": "z"}}, before=None)
    names = [record.key.name for record in held.scan(RESOURCE)]
    assert names == ["z", "a", "b", "c"]
    assert [record.key.name for record in held.scan(RESOURCE, "ns")] == ["a", "b", "c"]
    assert [each.key.name for each in held.scan(RESOURCE, "ns", after=("ns", "a"))] == ["b", "c"]


async def test_scans_find_one_name(held: store.Store) -> None:
    """In one namespace or in any, and not again on the page after it."""
    for namespace in ("x", "y"):
        for name in ("a", "b"):
            where = key(name, namespace)
            async with held.hold(where):
                await held.put(where, {"metadata": {"name": name}, "value": 0}, before=None)

    def found(*args: str, **options: Any) -> list[tuple[str, str]]:
        return [
            (each.key.namespace, each.key.name) for each in held.scan(RESOURCE, *args, **options)
        ]

    assert found(name="b") == [("x", "b"), ("y", "b")]
    assert found(name="b", after=("x", "b")) == [("y", "b")]
    assert found("x", name="b") == [("x", "b")]
    assert found("x", name="b", after=("x", "b")) == []
    assert found("x", name="c") == found("z", name="b") == found(name="c") == []


async def test_shows_the_past_as_it_was(held: store.Store) -> None:
    """A snapshot holds the objects of its revision: changed, deleted and later ones too."""
    await put(held, "changed", 1)
    await put(held, "deleted", 1)
    at = held.revision
    await put(held, "changed", 2)
    await remove(held, "deleted")
    await put(held, "later", 1)
    past = await held.snapshot(RESOURCE, "", at=at, after=("", ""), limit=0)
    assert values(past) == {"changed": 1, "deleted": 1}
    page = await held.snapshot(RESOURCE, "ns", at=at, after=("ns", "changed"), limit=1)
    assert values(page) == {"deleted": 1}


async def test_forgets_what_is_superseded_and_nothing_else(held: store.Store) -> None:
    """After a compaction the past is refused, the present and what came later are there."""
    await put(held, "a", 1)
    old = held.revision
    await put(held, "a", 2)
    await put(held, "gone")
    await remove(held, "gone")
    compacted = held.revision
    await put(held, "a", 3)
    await held.compact_to(compacted)
    with pytest.raises(store.TooOldError, match=f"too old resource version: {old}"):
        await held.snapshot(RESOURCE, "", at=old, after=("", ""), limit=0)
    with pytest.raises(store.TooOldError):
        await held.watch(feeds.Feed(RESOURCE, "", ""), since=old)
    past = await held.snapshot(RESOURCE, "", at=compacted, after=("", ""), limit=0)
    assert values(past) == {"a": 2}
    assert values(list(held.scan(RESOURCE))) == {"a": 3}


async def test_compacts_history_older_than_five_minutes(held: store.Store) -> None:
    """Each look remembers the revision of its time; five minutes later that is forgotten."""
    await put(held, "a", 1)
    await put(held, "a", 2)
    await held.compact(1_000.0)
    old = held.revision
    await put(held, "a", 3)
    await held.compact(1_000.0 + store.HISTORY_SECONDS - 1)
    assert held.compacted == 0
    await held.compact(1_000.0 + store.HISTORY_SECONDS)
    assert held.compacted == old


async def test_forgets_the_history_of_short_runs(tmp_path: pathlib.Path) -> None:
    """Runs that end before their history is old: it goes when a later one finds it old."""
    path = tmp_path / "store.db"
    revisions = []
    for start in (1_000.0, 1_060.0, 1_400.0, 1_460.0, 1_800.0):
        async with opened(path) as held:
            await held.compact_earlier(start)
            await put(held, "a", 1)
            with contextlib.closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT revision FROM revisions ORDER BY 1").fetchall()
            revisions.append([revision for (revision,) in rows])
    assert revisions == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


async def test_forgets_in_spite_of_a_clock_that_went_back(tmp_path: pathlib.Path) -> None:
    """A time from the future is no reason to keep everything until it comes."""
    path = tmp_path / "store.db"
    for start in (9_000.0, 1_000.0, 1_400.0):
        async with opened(path) as held:
            await held.compact_earlier(start)
            await put(held, "a", 1)
            compacted = held.compacted
    assert compacted == 1


@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_tells_a_watcher_what_it_missed(
    tmp_path: pathlib.Path, *, is_in_memory: bool
) -> None:
    """From memory or, after a restart, from the file: what happened, and what was there before."""
    path = tmp_path / "store.db"
    async with contextlib.AsyncExitStack() as stack:
        held = await stack.enter_async_context(opened(path))
        await put(held, "a", 1)
        since = held.revision
        await put(held, "a", 2)
        await put(held, "b", 1)
        await remove(held, "a")
        if not is_in_memory:
            await stack.aclose()
            held = await stack.enter_async_context(opened(path))
        feed = feeds.Feed(RESOURCE, "", "")
        changes = await held.watch(feed, since=since)
        told = [
            (
                change.event,
                change.record.key.name,
                change.before.decode()["value"] if change.before else None,
            )
            for change in changes
        ]
        assert told == [("MODIFIED", "a", 1), ("ADDED", "b", None), ("DELETED", "a", 2)]
        await put(held, "c")
        (following,) = await feed.take(5)
        assert following.record.key.name == "c"


async def test_old_changes_come_from_the_file_when_memory_is_full(held: store.Store) -> None:
    """The memory for changes is bounded; what fell out is read back."""
    held._hub = feeds.Hub(floor=held.revision, recent_bytes=1_000)
    since = held.revision
    for value in range(50):
        await put(held, "a", value)
    changes = await held.watch(feeds.Feed(RESOURCE, "", ""), since=since)
    assert [change.record.decode()["value"] for change in changes] == list(range(50))


async def test_a_watcher_hears_of_its_own_objects_alone(held: store.Store) -> None:
    """By resource, namespace and name."""
    topics = [("", ""), ("ns", ""), ("other", ""), ("", "a"), ("ns", "a"), ("ns", "b")]
    subscribed = [feeds.Feed(RESOURCE, *topic) for topic in topics]
    subscribed.append(feeds.Feed("elsewhere", "", ""))
    for feed in subscribed:
        held.subscribe(feed)
    await put(held, "a")
    heard = [not feed.is_empty for feed in subscribed]
    assert heard == [True, True, False, True, True, False, False]


@pytest.mark.parametrize("bound", [{"WAITING_CHANGES": 3}, {"WAITING_BYTES": 150}])
async def test_a_watcher_that_does_not_read_is_cut_off(
    held: store.Store, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
) -> None:
    """The queue of a watcher is bounded, by changes and by the bytes of large objects."""
    for name, value in bound.items():
        monkeypatch.setattr(feeds, name, value)
    feed = feeds.Feed(RESOURCE, "", "")
    held.subscribe(feed)
    for value in range(9):
        await put(held, "a", value)
    assert feed.is_overrun
    assert await feed.take(0) == []


async def test_a_watcher_that_reads_is_not_cut_off(
    held: store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it has been told in all."""
    monkeypatch.setattr(feeds, "WAITING_BYTES", 150)
    feed = feeds.Feed(RESOURCE, "", "")
    held.subscribe(feed)
    for value in range(9):
        await put(held, "a", value)
        assert len(await feed.take(0)) == 1
    assert not feed.is_overrun


async def test_writers_of_one_object_go_one_after_the_other(held: store.Store) -> None:
    """Fifty writers that each add one end with fifty."""

    async def add() -> None:
        async with held.hold(key("a")):
            record = held.get(key("a"))
            value = record.decode()["value"] if record else 0
            obj = {"metadata": {"name": "a"}, "value": value + 1}
            await held.put(key("a"), obj, before=record)

    await asyncio.gather(*(add() for _ in range(50)))
    assert values(list(held.scan(RESOURCE))) == {"a": 50}


async def test_a_writer_that_gives_up_lets_nobody_in_too_early(held: store.Store) -> None:
    """The key stays held until the fate of the abandoned write is known."""
    first = asyncio.create_task(put(held, "a", 1))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(put(held, "a", 2))
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    feed = feeds.Feed(RESOURCE, "", "")
    changes = await held.watch(feed, since=0)
    assert [change.event for change in changes] == ["ADDED", "MODIFIED"]


async def test_a_disk_that_fails_is_told_to_the_writer(
    held: store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write changes nothing, and the next one goes on."""
    await put(held, "a", 1)

    def full(_self: database.Database, _rows: object) -> None:
        raise errors.StorageError("cannot write to the data file: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(database.Database, "insert", full)
        with pytest.raises(errors.StorageError, match="disk is full"):
            await put(held, "a", 2)
    assert values(list(held.scan(RESOURCE))) == {"a": 1}
    await put(held, "a", 3)
    assert values(list(held.scan(RESOURCE))) == {"a": 3}


async def test_a_file_of_a_newer_version_is_refused(tmp_path: pathlib.Path) -> None:
    """The text says what to do."""
    path = tmp_path / "store.db"
    async with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(errors.StorageError, match="written by a newer version"):
        await store.Store.open(path)


async def test_an_older_file_is_brought_up_to_date(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations that the file has not seen are carried out, once."""
    path = tmp_path / "store.db"
    async with opened(path) as held:
        await put(held, "a", 1)
    later = (*database.MIGRATIONS, "CREATE TABLE later (x INTEGER);")
    monkeypatch.setattr(database, "MIGRATIONS", later)
    for _ in range(2):
        async with opened(path) as held:
            assert values(list(held.scan(RESOURCE))) == {"a": 1}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(later),)
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)


async def test_a_damaged_file_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    """No traceback, and the file is named."""
    path = tmp_path / "store.db"
    path.write_bytes(b"this is no database, but it is long enough to look like one" * 100)
    with pytest.raises(errors.StorageError, match=r"store\.db: file is not a database: put it"):
        await store.Store.open(path)


@pytest.mark.parametrize(
    "body", [b"{{", b"[]", b"{}", b'{"metadata": {"labels": {"\xff": ""}}}', "text", 7]
)
async def test_an_object_that_was_damaged_is_named(
    tmp_path: pathlib.Path, body: bytes | str | int
) -> None:
    """SQLite has no checksums: damage may only show in what a page holds."""
    async with opened(tmp_path / "store.db") as held:
        await put(held, "a")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE revisions SET body = ?", (body,))
        connection.commit()
    with pytest.raises(errors.StorageError, match=r"is damaged at \S+ \S+ a: put it back"):
        await store.Store.open(tmp_path / "store.db")


async def test_a_damaged_page_names_the_file_and_what_to_do(tmp_path: pathlib.Path) -> None:
    """Also where opening the file did not show it yet."""
    path = tmp_path / "store.db"
    async with opened(path) as held:
        for number in range(200):
            await put(held, f"a{number}")
    damaged = bytearray(path.read_bytes())
    damaged[3 * 4096 : 6 * 4096] = b"\xff" * (3 * 4096)
    path.write_bytes(damaged)
    with pytest.raises(errors.StorageError, match=r"load .*store\.db: .* malformed: put it back"):
        await store.Store.open(path)


async def test_the_file_is_for_its_owner_alone(tmp_path: pathlib.Path) -> None:
    """Secrets stand in it, and in SQLite's files beside it."""
    async with opened(tmp_path / "store.db") as held:
        await put(held, "a")
        modes = {each.stat().st_mode & 0o777 for each in os.scandir(tmp_path)}
    assert modes == {0o600}
