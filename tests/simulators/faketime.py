"""Time that passes only when told to: a clock and a sleep that belong together."""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class FakeTime:
    """``clock()`` stands still between ``advance`` calls, which wake sleepers in order."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()

    def clock(self) -> float:
        """The time, in seconds."""
        return self.now

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Sleep until enough time was advanced."""
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._serial), future))
        await future

    async def skip(self, seconds: float) -> None:
        """A sleep that takes no real time: the clock jumps (for code that sleeps alone)."""
        self.slept.append(seconds)
        self.now += max(seconds, 0.0)
        await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its own moment."""
        await settle()  # who is about to sleep does so from now
        target = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self.now = max(self.now, at)
            future.set_result(None)
            await settle()
        self.now = target
        await settle()


async def settle(turns: int = 20) -> None:
    """Let everything run that can run without waiting."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], *, turns: int = 2000) -> None:
    """Wait for a condition that real I/O brings about; fails after some 20 seconds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition never came true")
