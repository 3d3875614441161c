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
_LONGEST_MOMENT = 1.0  # seconds by which a key may be late at most
_COARSE = 1.0  # seconds; shorter delays are kept to the point
_SLACK = 64  # moments without keys that are not worth clearing away


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
        # Most keys share their moment with many others, so that the heap is small: it holds the
        # moments, of which one without keys is passed over.
        self._moments: list[float] = []
        self._keys: dict[float, dict[K, request.Priority]] = {}
        self._due: dict[K, float] = {}
        self._timer: asyncio.Task[None] | None = None
        self._set_for = 0.0

    def due(self, key: K) -> float | None:
        """When a key is due."""
        return self._due.get(key)

    def put(self, key: K, delay: float, priority: request.Priority) -> None:
        """Add a key in ``delay`` seconds, unless it is due earlier."""
        at = self._clock() + delay
        if delay >= _COARSE:
            moment = _moment(delay)
            at = math.ceil(at / moment) * moment
        before = self._due.get(key)
        if before is not None:
            priority = min(priority, self._keys[before][key])
            if before <= at:
                self._keys[before][key] = priority
                return
            self.drop(key)
        self._due[key] = at
        keys = self._keys.get(at)
        if keys is None:
            keys = self._keys[at] = {}
            heapq.heappush(self._moments, at)
        keys[key] = priority
        self._arm()

    def drop(self, key: K) -> None:
        """Forget a key."""
        at = self._due.pop(key, None)
        if at is None:
            return
        keys = self._keys[at]
        del keys[key]
        if not keys:
            del self._keys[at]
            if len(self._moments) > 2 * len(self._keys) + _SLACK:
                self._moments = sorted(self._keys)  # which is a heap

    def stop(self) -> None:
        """Forget all keys and the timer."""
        self._due.clear()
        self._keys.clear()
        self._moments.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            if self._set_for <= self._moments[0]:
                return
            self._timer.cancel()
        self._set_for = self._moments[0]
        self._timer = asyncio.get_running_loop().create_task(self._tick(), name="delays")

    async def _tick(self) -> None:
        while self._moments:
            self._set_for = self._moments[0]
            wait = self._set_for - self._clock()
            if wait > 0:
                await self._sleep(wait)
                continue
            for key, priority in self._keys.pop(heapq.heappop(self._moments), {}).items():
                del self._due[key]
                self._add(key, priority)
        self._timer = None


def _moment(delay: float) -> float:
    """How late a key may be: the power of two (of seconds) next below its part of the delay."""
    _, exponent = math.frexp(delay / _PART)
    return min(math.ldexp(0.5, exponent), _LONGEST_MOMENT)
