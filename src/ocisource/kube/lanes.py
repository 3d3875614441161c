"""A lane: events that wait to be written, in order, each repetition in the first one's place.

News and routine wait in lanes of their own, so that neither takes the other's room: however many
events say that nothing is new, a failure finds its place.

Example::

    lane = Lane(1000)
    lane.put(key, event)
    key, event = await lane.take()
    ...
    lane.done(key)
"""

import asyncio
import collections

from ocisource.kube import correlator, resources


class Lane:
    """Events by what they are a repetition of; ``size`` of them wait at most.

    One key is never with two writers at once: a repetition waits for the writing before it.
    """

    __slots__ = ("_has_work", "_idle", "_in_work", "_size", "_waiting")

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: collections.OrderedDict[correlator.Key, resources.Event] = (
            collections.OrderedDict()
        )
        self._in_work: set[correlator.Key] = set()
        self._has_work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether an event of a new kind would find no room."""
        return len(self._waiting) >= self._size

    def put(self, key: correlator.Key, event: resources.Event) -> bool:
        """Let an event wait, in the place of the one it repeats; False if there is no room."""
        if self.is_full and key not in self._waiting:
            return False
        self._waiting[key] = event
        self._idle.clear()
        self._has_work.set()
        return True

    async def take(self) -> tuple[correlator.Key, resources.Event]:
        """The event that has waited longest; it is in work until done()."""
        while (found := self.take_now()) is None:
            self._has_work.clear()
            await self._has_work.wait()
        return found

    def take_now(self) -> tuple[correlator.Key, resources.Event] | None:
        """As take(), or None where that would wait."""
        for key in self._waiting:
            if key not in self._in_work:
                self._in_work.add(key)
                return key, self._waiting.pop(key)
        return None

    def newest(self, key: correlator.Key, event: resources.Event) -> resources.Event:
        """What was recorded since ``event`` was taken, and holds it, or else ``event``."""
        return self._waiting.pop(key, event)

    def done(self, key: correlator.Key) -> None:
        """The writing of a key has ended."""
        self._in_work.discard(key)
        if key in self._waiting:
            self._has_work.set()
        elif not self._waiting and not self._in_work:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until nothing waits and nothing is in work."""
        await self._idle.wait()
