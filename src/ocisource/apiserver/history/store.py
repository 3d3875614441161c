"""The store: present objects in memory, every change durable in the data file before it is told.

Order of a write: the caller holds the key (:meth:`Store.hold`), the revision is taken, the row is
committed by the writer thread, and only then memory changes, watchers hear of it and the caller
goes on. So nobody ever sees what a crash could take back. Revisions are one growing number for
the whole store; one that fails to be written is never used again.
"""

import asyncio
import bisect
import collections
import concurrent.futures
import contextlib
import functools
import logging
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from ocisource import errors
from ocisource.apiserver.history import database, feeds, records, writer
from ocisource.apiserver.wording import faults

HISTORY_SECONDS = 300.0  # kube-apiserver's --etcd-compaction-interval
COMPACTION_SECONDS = 60.0  # between two looks at what has become old

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_Place = tuple[str, str]


class TooOldError(errors.StorageError):
    """The revision asked for has been compacted; ``oldest`` is the first one still there."""

    def __init__(self, wanted: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {wanted} ({oldest})")
        self.oldest = oldest


class Store:
    """All objects; use from the event loop's thread only."""

    def __init__(self, marks: database.Marks, reading: database.Database) -> None:
        self.revision = marks.revision
        self.compacted = marks.compacted
        self._next = marks.revision + 1
        self._objects: dict[str, dict[_Place, records.Record]] = {}
        self._places: dict[str, list[_Place]] = {}
        self._hub = feeds.Hub(floor=marks.revision)
        self._locks: dict[records.Key, _Lock] = {}
        self._waiting: collections.deque[asyncio.Future[records.Record]] = collections.deque()
        self._reading = reading
        self._reader = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="apiserver-read")
        self._writer: writer.Writer
        self._listeners: list[Callable[[records.Change], None]] = []
        self._past: collections.deque[tuple[float, int]] = collections.deque()

    @classmethod
    async def open(cls, path: pathlib.Path) -> "Store":
        """Open or create the data file and load it; raises StorageError."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as opened:
            writing = await loop.run_in_executor(None, database.Database.open, path)
            opened.callback(writing.close)
            reading = await loop.run_in_executor(None, database.Database.open, path)
            opened.callback(reading.close)
            store = cls(await loop.run_in_executor(None, reading.marks), reading)
            for row in await store._read(lambda: list(reading.present())):
                store._place(records.Record.from_row(row))
            opened.pop_all()
        store._writer = writer.Writer(writing, loop=loop, committed=store._committed)
        return store

    async def close(self) -> None:
        """Finish queued writes and close the file."""
        self._hub.close_all()
        await asyncio.get_running_loop().run_in_executor(None, self._writer.close)
        self._reader.shutdown(wait=True)
        self._reading.close()

    def get(self, key: records.Key) -> records.Record | None:
        """The object as it is now."""
        return self._objects.get(key.resource, {}).get((key.namespace, key.name))

    def count(self, resource: str) -> int:
        """How many objects of a resource there are."""
        return len(self._places.get(resource, ()))

    def resources(self) -> tuple[str, ...]:
        """Resources that have objects."""
        return tuple(name for name, places in self._places.items() if places)

    def scan(
        self, resource: str, namespace: str = "", *, name: str = "", after: _Place = ("", "")
    ) -> Iterator[records.Record]:
        """Present objects by key, those of one namespace or name if given.

        Do not await inside.
        """
        places = self._places.get(resource, [])
        objects = self._objects.get(resource, {})
        if namespace and name:
            # A thousand watchers of one object each do not look at all the others.
            place = (namespace, name)
            if place in objects and place > after:
                yield objects[place]
            return
        start = max(after, (namespace, ""))
        for position in range(bisect.bisect_right(places, start), len(places)):
            place = places[position]
            if namespace and place[0] != namespace:
                return
            if not name or place[1] == name:
                yield objects[place]

    async def snapshot(
        self, resource: str, namespace: str, *, at: int, after: _Place, limit: int
    ) -> list[records.Record]:
        """Objects as they were at a revision, by key.

        Raises TooOldError, StorageError.
        """
        self._check_age(at)
        rows = await self._read(
            functools.partial(
                self._reading.snapshot, resource, namespace, at=at, after=after, limit=limit
            )
        )
        # Compaction may have passed while the rows were read.
        self._check_age(at)
        return [records.Record.from_row(row) for row in rows]

    def is_unchanged(self, resource: str, since: int) -> bool:
        """Whether memory shows that a resource is as it was at a revision."""
        changes = self._hub.since(resource, since)
        return changes is not None and not list(changes)

    @contextlib.asynccontextmanager
    async def hold(self, key: records.Key) -> AsyncIterator[None]:
        """Be the only one who writes this object."""
        lock = self._locks.setdefault(key, _Lock())
        lock.users += 1
        try:
            async with lock.lock:
                yield
        finally:
            lock.users -= 1
            if not lock.users:
                self._locks.pop(key, None)

    async def put(
        self, key: records.Key, obj: records.Object, *, before: records.Record | None
    ) -> records.Record:
        """Write an object; its resourceVersion is set. The key is held. Raises StorageError."""
        event = database.MODIFIED if before else database.ADDED
        return await self._write(key, obj, event=event, before=before)

    async def remove(
        self, key: records.Key, obj: records.Object, *, before: records.Record
    ) -> records.Record:
        """Delete an object; ``obj`` is its last state. The key is held. Raises StorageError."""
        return await self._write(key, obj, event=database.DELETED, before=before)

    async def flush(self) -> None:
        """Wait until every write submitted so far is told."""
        await self._writer.call(lambda _: None)

    async def compact(self, now: float) -> None:
        """Forget history older than HISTORY_SECONDS; call every COMPACTION_SECONDS.

        ``now`` is in seconds of any clock that only goes forward. Raises StorageError.
        """
        self._past.append((now, self.revision))
        target = 0
        while self._past and self._past[0][0] <= now - HISTORY_SECONDS:
            target = self._past.popleft()[1]
        await self.compact_to(target)

    async def compact_earlier(self, wall: float) -> None:
        """Forget what was superseded in earlier runs; call once at the start.

        A machine whose runs all end before their history is old would keep it for ever. ``wall``
        is in seconds since the epoch; what may be younger than HISTORY_SECONDS stays, for clients
        that go on after a restart. Raises StorageError.
        """
        base, at = await self._read(self._reading.base)
        if 0 <= wall - at < HISTORY_SECONDS:
            return
        await self.compact_to(base)
        newest = self.revision
        await self._writer.call(lambda opened: opened.note_base(newest, int(wall)))

    async def compact_to(self, revision: int) -> None:
        """Forget what was superseded up to a revision; raises StorageError."""
        while self.compacted < min(revision, self.revision):
            start = self.compacted
            end = min(start + database.COMPACTION_BATCH, revision, self.revision)
            # First the mark: readers must not trust what is about to go.
            self.compacted = end
            await self._writer.call(
                lambda opened, start=start, end=end: opened.compact(  # type: ignore[misc]
                    after=start, until=end
                )
            )

    async def watch(self, feed: feeds.Feed, *, since: int) -> Sequence[records.Change]:
        """Subscribe a feed, and say what its resource went through after ``since`` until now.

        Raises TooOldError, StorageError; the feed is then not subscribed.
        """
        if since < self.compacted:
            raise TooOldError(since, self.compacted)
        self._hub.subscribe(feed)
        until = self.revision
        resource = feed.topic.resource
        recent = self._hub.since(resource, since)
        if recent is not None:
            return list(recent)
        try:
            rows = await self._read(
                functools.partial(self._reading.changes, resource, after=since, until=until)
            )
            self._check_age(since)
        except BaseException:
            self._hub.unsubscribe(feed)
            raise
        return [_change(row, body) for row, body in rows]

    def listen(self, listener: Callable[[records.Change], None]) -> None:
        """Call a function with every change, before its writer goes on; it must not fail."""
        self._listeners.append(listener)

    def subscribe(self, feed: feeds.Feed) -> None:
        """Subscribe a feed to what happens from now on."""
        self._hub.subscribe(feed)

    def unwatch(self, feed: feeds.Feed) -> None:
        """Forget a feed."""
        self._hub.unsubscribe(feed)

    def close_feeds(self, resource: str | None = None) -> None:
        """End the watches of one resource, or all."""
        self._hub.close_all(resource)

    def _check_age(self, revision: int) -> None:
        if revision < self.compacted:
            raise TooOldError(revision, self.compacted)

    async def _write(
        self,
        key: records.Key,
        obj: records.Object,
        *,
        event: int,
        before: records.Record | None,
    ) -> records.Record:
        revision = self._next
        self._next += 1
        obj["metadata"]["resourceVersion"] = str(revision)
        previous = before.revision if before else 0
        row = database.Row(revision, previous, event, *key, records.encode(obj))
        self._writer.submit(row)
        told: asyncio.Future[records.Record] = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        try:
            return await asyncio.shield(told)
        except asyncio.CancelledError:
            # Whoever gives up must go on holding the key until the write's fate is known.
            while not told.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({told})
            with contextlib.suppress(errors.StorageError):
                told.result()
            raise

    def _committed(self, rows: Sequence[database.Row], error: errors.StorageError | None) -> None:
        for row in rows:
            told = self._waiting.popleft()
            if error is not None:
                told.set_exception(error)
                continue
            told.set_result(self._apply(row))

    def _apply(self, row: database.Row) -> records.Record:
        record = records.Record.from_row(row)
        before = self.get(record.key)
        if row.event == database.DELETED:
            self._displace(record.key)
        else:
            self._place(record)
        self.revision = row.revision
        change = records.Change(records.EVENT_NAMES[row.event], record, before)
        for listener in self._listeners:
            try:
                listener(change)
            except Exception as error:  # noqa: BLE001 - the write is done, and must be told
                _logger.error("a follower of the API's objects failed: %s", faults.place(error))
        self._hub.publish(change)
        return record

    def _place(self, record: records.Record) -> None:
        objects = self._objects.setdefault(record.key.resource, {})
        place = (record.key.namespace, record.key.name)
        if place not in objects:
            bisect.insort(self._places.setdefault(record.key.resource, []), place)
        objects[place] = record

    def _displace(self, key: records.Key) -> None:
        place = (key.namespace, key.name)
        self._objects[key.resource].pop(place, None)
        places = self._places[key.resource]
        position = bisect.bisect_left(places, place)
        if position < len(places) and places[position] == place:
            del places[position]

    async def _read(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)


class _Lock:
    """A lock for one key, and how many hold it or wait for it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def _change(row: database.Row, body_before: bytes | None) -> records.Change:
    record = records.Record.from_row(row)
    before = (
        records.Record(record.key, row.previous, body_before, records.labels_of(body_before))
        if body_before is not None
        else None
    )
    return records.Change(records.EVENT_NAMES[row.event], record, before)
