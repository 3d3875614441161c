"""Watches: the lines of a stream of changes, from a revision on or after the present objects.

1. What is there already, when the client wants it: ``ADDED`` for each object, and with
   ``sendInitialEvents`` a bookmark that says where the beginning ends.
2. Every change since, turned into ``ADDED`` and ``DELETED`` where it moves an object into or out
   of the selection.
3. Bookmarks, when asked for: about once a minute and just before the end.
"""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator

import msgspec

from ocisource.apiserver import reading, requests, selection
from ocisource.apiserver.forms import presenting
from ocisource.apiserver.history import feeds, records, store
from ocisource.apiserver.wording import failures

BOOKMARK_SECONDS = 60.0
MIN_SECONDS = 1800.0  # of a watch without timeoutSeconds; up to twice that, so that ends spread
CHUNK = 128 * 1024  # bytes of the beginning sent at once
# Between two sends to one watcher: under load, many changes share a send. A change that comes
# after a quiet spell is sent at once.
PACE_SECONDS = 0.005


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """Where a watch takes time from.

    ``wall`` gives seconds since the epoch, ``monotonic`` seconds that only go forward, ``spread``
    a random number from 0 to 1; ``sleep`` waits for some seconds.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    spread: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Watch:
    """One client's watch."""

    def __init__(
        self,
        held: store.Store,
        wanted: selection.Selection,
        options: requests.ListOptions,
        *,
        presenter: presenting.Presenter,
        clock: Clock,
    ) -> None:
        self._store = held
        self._wanted = wanted
        self._options = options
        self._presenter = presenter
        self._clock = clock
        self._has_headers = presenter.form.is_table
        self._told = 0
        resource = wanted.kind.resource.stored_as
        self._feed = feeds.Feed(resource, wanted.where, wanted.name)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Chunks of whole lines until the time is over, the client is too slow or we stop.

        The first chunk is empty: it tells that the watch has begun.

        Raises APIStatusError, StorageError before the first line only.
        """
        try:
            async for chunk in self._beginning():
                yield chunk
            async for chunk in self._changes():
                yield chunk
        except store.TooOldError as error:
            # Known before anything was told; the stream says it, as clients expect.
            status = failures.status(failures.gone(str(error)))
            yield b""
            yield presenting.error_event(status)
        finally:
            self._store.unwatch(self._feed)

    async def _beginning(self) -> AsyncIterator[bytes]:
        options = self._options
        since = options.revision or 0
        shows_present = options.sends_initial
        if shows_present is None:
            shows_present = not since
        if options.sends_initial and since:
            await reading.Reader(self._store).wait_for(since)
        if not shows_present:
            async for chunk in self._past(since):
                yield chunk
            return
        self._told = self._store.revision
        self._store.subscribe(self._feed)
        # Taken at once: what changes from here on comes afterwards, from the feed.
        wanted = self._wanted
        present = self._store.scan(wanted.kind.resource.stored_as, wanted.where, name=wanted.name)
        held = [record for record in present if wanted.admits(record)]
        yield b""
        for chunk in _chunks(self._line(records.ADDED, record) for record in held):
            yield chunk
        if options.sends_initial and options.has_bookmarks:
            yield self._presenter.bookmark(self._told, is_initial_end=True, now=self._clock.wall())

    async def _past(self, since: int) -> AsyncIterator[bytes]:
        self._told = since or self._store.revision
        if not since:
            self._store.subscribe(self._feed)
            yield b""
            return
        changes = await self._store.watch(self._feed, since=since)
        yield b""
        for chunk in _chunks(self._lines_of(changes)):
            yield chunk

    async def _changes(self) -> AsyncIterator[bytes]:
        monotonic = self._clock.monotonic
        end = monotonic() + self._seconds()
        bookmark = monotonic() + BOOKMARK_SECONDS
        sent = monotonic() - PACE_SECONDS
        while not self._feed.is_closed and not self._feed.is_overrun:
            now = monotonic()
            due = min(end, bookmark) if self._options.has_bookmarks else end
            changes = await self._feed.take(max(due - now, 0))
            if changes and (early := sent + PACE_SECONDS - monotonic()) > 0:
                await self._clock.sleep(early)
                changes += self._feed.drain()
            if chunk := b"".join(self._lines_of(changes)):
                yield chunk
                sent = monotonic()
            if self._options.has_bookmarks and monotonic() >= min(bookmark, end):
                bookmark = monotonic() + BOOKMARK_SECONDS
                yield self._bookmark()
            if monotonic() >= end:
                return

    def _seconds(self) -> float:
        if self._options.timeout:
            return float(self._options.timeout)
        return MIN_SECONDS * (1 + self._clock.spread())

    def _bookmark(self) -> bytes:
        if self._feed.is_empty:
            # Everything up to the store's revision has been told.
            self._told = max(self._told, self._store.revision)
        return self._presenter.bookmark(self._told, is_initial_end=False, now=self._clock.wall())

    def _lines_of(self, changes: Iterable[records.Change]) -> Iterator[bytes]:
        for change in changes:
            # A revision of the future: what happens before it is not wanted.
            if change.revision > self._told:
                self._told = change.revision
                if line := self._change(change):
                    yield line

    def _change(self, change: records.Change) -> bytes | None:
        was = self._wanted.admits(change.before)
        if change.event == records.DELETED:
            return self._kept(change, records.DELETED) if was else None
        if self._wanted.admits(change.record):
            return self._kept(change, records.MODIFIED if was else records.ADDED)
        if was:
            assert change.before is not None
            return self._line(records.DELETED, _left(change.before, change.revision))
        return None

    def _kept(self, change: records.Change, event: str) -> bytes:
        if not self._presenter.is_plain:
            # Ages in a Table are of the moment.
            return self._line(event, change.record)
        key = self._presenter.key(event)
        line = change.encoded.get(key)
        if line is None:
            line = change.encoded[key] = self._line(event, change.record)
        return line

    def _line(self, event: str, record: records.Record) -> bytes:
        has_headers, self._has_headers = self._has_headers, False
        return self._presenter.event(event, record, now=self._clock.wall(), has_headers=has_headers)


def _left(before: records.Record, revision: int) -> records.Record:
    """An object that no longer belongs to the selection: as it was, at the revision it left."""
    obj = before.decode()
    obj["metadata"]["resourceVersion"] = str(revision)
    return records.Record(before.key, revision, msgspec.json.encode(obj), before.labels)


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
