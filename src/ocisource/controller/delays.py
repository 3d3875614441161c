"""Keys that wait for a moment, served by one timer set for the earliest of them."""

import asyncio
import heapq
import math
import typing
from collections.abc import Awaitable, Callable, Hashable

from ocisource.controller import request

K = typing.TypeVar("K", bound=Hashable)

# Keys that are due within the same moment are added together: waking up for each of thousands of
# keys by itself costs several times their work. A moment is a small part of the delay, far less
# than intervals vary anyway; a binary fraction, so that sums stay exact.
_PART = 32  # of a delay: a key may be late by one of so many parts
_LONGEST_MOMENT = 0.25  # seconds by which a key may be late at most
_COARSE = 1.0  # seconds; shorter delays are kept to the point
_SLACK = 64  # dead entries of the heap that are not worth clearing away


class Delayed(typing.Generic[K]):
    """Adds keys later, by one timer set for the earliest of them."""

    def __init__(
        self,
        add: Callable[[K, request.Priority], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._add = add
        self._clock = clock
        self._sleep = sleep
        self._serial = 0
        # An entry of the heap counts only while _entries still names its serial number.
        self._heap: list[tuple[float, int, K]] = []
        self._entries: dict[K, tuple[float, int, request.Priority]] = {}
        self._timer: asyncio.Task[None] | None = None
        self._set_for = 0.0

    def due(self, key: K) -> float | None:
        """When a key is due."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: K, delay: float, priority: request.Priority) -> None:
        """Add a key in ``delay`` seconds, unless it is due earlier."""
        at = self._clock() + delay
        if delay >= _COARSE:
            moment = _moment(delay)
            at = math.ceil(at / moment) * moment
        entry = self._entries.get(key)
        if entry is not None:
            priority = min(priority, entry[2])
            if entry[0] <= at:
                self._entries[key] = (entry[0], entry[1], priority)
                return
        self._serial += 1
        self._entries[key] = (at, self._serial, priority)
        heapq.heappush(self._heap, (at, self._serial, key))
        self._arm()

    def drop(self, key: K) -> None:
        """Forget a key."""
        self._entries.pop(key, None)
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._heap = [item for item in self._heap if self._is_live(item)]
            heapq.heapify(self._heap)

    def stop(self) -> None:
        """Forget all keys and the timer."""
        self._entries.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_live(self, item: tuple[float, int, K]) -> bool:
        entry = self._entries.get(item[2])
        return entry is not None and entry[1] == item[1]

    def _arm(self) -> None:
        if self._timer is not None:
            if self._set_for <= self._heap[0][0]:
                return
            self._timer.cancel()
        self._set_for = self._heap[0][0]
        self._timer = asyncio.get_running_loop().create_task(self._tick(), name="delays")

    async def _tick(self) -> None:
        while self._heap:
            self._set_for = self._heap[0][0]
            wait = self._set_for - self._clock()
            if wait > 0:
                await self._sleep(wait)
                continue
            item = heapq.heappop(self._heap)
            if self._is_live(item):
                _, _, priority = self._entries.pop(item[2])
                self._add(item[2], priority)
        self._timer = None


def _moment(delay: float) -> float:
    """How late a key may be: the power of two (of seconds) next below its part of the delay."""
    _, exponent = math.frexp(delay / _PART)
    return min(math.ldexp(0.5, exponent), _LONGEST_MOMENT)
