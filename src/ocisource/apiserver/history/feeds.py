"""How changes reach watchers: the recent past in memory, and a bounded queue for each watcher.

All of it belongs to the event loop's thread. A watcher that does not keep up is cut off with
"too old", as kube-apiserver's watch cache does, and comes back with a list.
"""

import asyncio
import collections
from collections.abc import Iterable

from ocisource.apiserver.history import records

RECENT_BYTES = 24 * 1024 * 1024  # of changes in memory; older ones come from the data file
WAITING_CHANGES = 20_000  # for one watcher; about 2 MB of references at most
WAITING_BYTES = 64 * 1024 * 1024  # of bodies that one watcher keeps from being forgotten


class Feed:
    """What one watcher has still to be told."""

    def __init__(self, resource: str, namespace: str, name: str) -> None:
        self.topic = records.Key(resource, namespace, name)
        self.is_overrun = False
        self.is_closed = False
        self._waiting: collections.deque[records.Change] = collections.deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()

    def push(self, change: records.Change) -> None:
        """Add a change; too many of them and the watcher is told so."""
        if len(self._waiting) >= WAITING_CHANGES or self._waiting_bytes >= WAITING_BYTES:
            self.is_overrun = True
            self.drain()
        elif not self.is_overrun:
            self._waiting.append(change)
            self._waiting_bytes += len(change.record.body)
        self._wake.set()

    @property
    def is_empty(self) -> bool:
        """Whether the watcher has been told everything."""
        return not self._waiting

    def close(self) -> None:
        """Wake the watcher for the last time."""
        self.is_closed = True
        self._wake.set()

    async def take(self, timeout: float) -> list[records.Change]:  # noqa: ASYNC109 - a quiet spell is no error
        """All waiting changes, or none after ``timeout`` seconds of silence."""
        if not self._waiting and not self.is_overrun and not self.is_closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return []
        return self.drain()

    def drain(self) -> list[records.Change]:
        """All waiting changes."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return taken


class Hub:
    """Recent changes and present watchers, by resource."""

    def __init__(self, *, floor: int, recent_bytes: int = RECENT_BYTES) -> None:
        self._floor = floor
        self._floors: dict[str, int] = {}
        self._recent_bytes = recent_bytes
        self._held_bytes = 0
        self._order: collections.deque[records.Change] = collections.deque()
        self._recent: dict[str, collections.deque[records.Change]] = {}
        self._feeds: dict[records.Key, set[Feed]] = {}

    def publish(self, change: records.Change) -> None:
        """Remember a change and tell those who watch for it."""
        resource, namespace, name = change.record.key
        self._remember(change, resource)
        topics = {
            records.Key(resource, where, who) for where in ("", namespace) for who in ("", name)
        }
        for topic in topics:
            for feed in self._feeds.get(topic, ()):
                feed.push(change)

    def subscribe(self, feed: Feed) -> None:
        """Begin to tell a watcher what happens from now on."""
        self._feeds.setdefault(feed.topic, set()).add(feed)

    def unsubscribe(self, feed: Feed) -> None:
        """Stop telling a watcher."""
        feeds = self._feeds.get(feed.topic)
        if feeds is not None:
            feeds.discard(feed)
            if not feeds:
                del self._feeds[feed.topic]

    def close_all(self, resource: str | None = None) -> None:
        """End the watches of a resource that is served no more, or all."""
        for topic, feeds in list(self._feeds.items()):
            if resource in (None, topic.resource):
                for feed in feeds:
                    feed.close()

    def since(self, resource: str, revision: int) -> Iterable[records.Change] | None:
        """Changes of a resource after a revision, oldest first; None when memory ends before."""
        if revision < self._floors.get(resource, self._floor):
            return None
        found: list[records.Change] = []
        for change in reversed(self._recent.get(resource, ())):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def _remember(self, change: records.Change, resource: str) -> None:
        self._order.append(change)
        self._recent.setdefault(resource, collections.deque()).append(change)
        # Twice: the line that was sent to watchers is kept with the change.
        self._held_bytes += 2 * len(change.record.body)
        while self._held_bytes > self._recent_bytes and self._order:
            oldest = self._order.popleft()
            self._recent[oldest.record.key.resource].popleft()
            self._floors[oldest.record.key.resource] = oldest.revision
            self._held_bytes -= 2 * len(oldest.record.body)
