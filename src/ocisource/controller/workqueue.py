"""A deduplicating queue of keys, as client-go's workqueues behave, with two priorities.

1. A key waits at most once. Added again while it waits, it only gains priority.
2. A key is never handed out twice at once. Added while it is in work, it waits until done().
3. Delayed adds keep the earliest time of a key. Taking a key into work drops its delayed add:
   the run that begins decides anew.
4. Back-off is per key, doubled on each add_rate_limited(), gone with forget().
5. User actions go before interval work; so that a flood of them cannot starve it, every eighth
   key is taken from interval work if there is any.

Example::

    while (key := await queue.get()) is not None:
        try: ...
        finally: queue.done(key)
"""

import asyncio
import collections
import dataclasses
import time
import typing
from collections.abc import Awaitable, Callable, Hashable

from ocisource.controller import delays, request

K = typing.TypeVar("K", bound=Hashable)

FAIR_SHARE = 8  # of so many keys taken, one is interval work


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Per-key back-off: ``initial`` seconds, doubled on each failure up to ``cap`` seconds."""

    initial: float = 0.75
    cap: float = 900.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures before this one."""
        try:
            return min(self.initial * 2.0**failures, self.cap)
        except OverflowError:
            return self.cap


class Observer(typing.Protocol):
    """Whoever counts what happens in a queue."""

    def added(self) -> None:
        """A key began to wait."""
        ...

    def taken(self, *, waited: float) -> None:
        """A key went into work after ``waited`` seconds."""
        ...

    def finished(self, *, worked: float) -> None:
        """Work on a key ended after ``worked`` seconds."""
        ...

    def retried(self) -> None:
        """A key was added with its back-off."""
        ...


DEFAULT_RETRY: typing.Final = Retry()


class Workqueue(typing.Generic[K]):
    """The queue; to be used from one event loop."""

    def __init__(
        self,
        *,
        retry: Retry = DEFAULT_RETRY,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observer: Observer | None = None,
    ) -> None:
        self._retry = retry
        self._clock = clock
        self._observer = observer
        # What waits, ordered by arrival; the value is the time of arrival.
        self._users: collections.OrderedDict[K, float] = collections.OrderedDict()
        self._routine: collections.OrderedDict[K, float] = collections.OrderedDict()
        self._working: dict[K, float] = {}
        self._again: dict[K, request.Priority] = {}
        self._failures: dict[K, int] = {}
        self._delayed: delays.Delayed[K] = delays.Delayed(self.add, clock=clock, sleep=sleep)
        self._getters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._user_streak = 0
        self._is_shut_down = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._users) + len(self._routine)

    @property
    def is_shut_down(self) -> bool:
        """Whether no more keys are taken in."""
        return self._is_shut_down

    @property
    def in_work(self) -> typing.Mapping[K, float]:
        """Keys that were handed out and are not done, with the time they were taken."""
        return self._working

    def is_waiting(self, key: K) -> bool:
        """Whether a key waits, or will as soon as its present run is done."""
        return key in self._again or key in self._users or key in self._routine

    def delayed_until(self, key: K) -> float | None:
        """When a key's delayed add is due, by the queue's clock."""
        return self._delayed.due(key)

    def add(self, key: K, priority: request.Priority = request.Priority.USER) -> None:
        """Let a key wait for work, unless it does already."""
        if self._is_shut_down:
            return
        if key in self._working:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        if key in self._users:
            return
        is_users = priority is request.Priority.USER
        if key in self._routine:
            if is_users:
                self._users[key] = self._routine.pop(key)
            return
        (self._users if is_users else self._routine)[key] = self._clock()
        self._idle.clear()
        if self._observer is not None:
            self._observer.added()
        self._wake_one()

    def add_after(
        self, key: K, delay: float, priority: request.Priority = request.Priority.INTERVAL
    ) -> None:
        """Add a key ``delay`` seconds from now, or when an earlier delayed add of it is due."""
        if self._is_shut_down:
            return
        if delay <= 0:
            self.add(key, priority)
            return
        self._delayed.put(key, delay, priority)

    def add_rate_limited(
        self, key: K, priority: request.Priority = request.Priority.INTERVAL
    ) -> float:
        """Add a key after its back-off, which doubles; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._retry.delay(failures)
        if self._observer is not None:
            self._observer.retried()
        self.add_after(key, delay, priority)
        return delay

    def failures(self, key: K) -> int:
        """How often in a row a key was added with its back-off."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Let the key's back-off begin anew."""
        self._failures.pop(key, None)

    def discard(self, key: K) -> None:
        """Drop all that is known of a key that is not in work: waiting, delayed, back-off."""
        self._users.pop(key, None)
        self._routine.pop(key, None)
        self._again.pop(key, None)
        self._delayed.drop(key)
        self.forget(key)
        self._note_idle()

    async def get(self) -> K | None:
        """The next key, now in work until done(); None once the queue is shut down."""
        while not len(self):
            if self._is_shut_down:
                return None
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()  # the wake-up was meant for somebody who can use it
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key, arrived = self._next()
        now = self._clock()
        self._working[key] = now
        self._delayed.drop(key)
        if self._observer is not None:
            self._observer.taken(waited=now - arrived)
        return key

    def done(self, key: K) -> None:
        """End the work on a key; added meanwhile, it waits now."""
        began = self._working.pop(key)
        if self._observer is not None:
            self._observer.finished(worked=self._clock() - began)
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)
        self._note_idle()

    def shut_down(self) -> None:
        """Take in no more keys, drop those that wait, and let getters return None."""
        self._is_shut_down = True
        self._delayed.stop()
        self._users.clear()
        self._routine.clear()
        self._again.clear()
        while self._getters:
            self._wake_one()
        self._note_idle()

    async def wait_idle(self) -> None:
        """Wait until no key waits and none is in work (delayed ones do not count)."""
        await self._idle.wait()

    def _next(self) -> tuple[K, float]:
        is_routines_turn = self._user_streak >= FAIR_SHARE - 1
        if self._users and not (self._routine and is_routines_turn):
            self._user_streak += 1
            return self._users.popitem(last=False)
        self._user_streak = 0
        return self._routine.popitem(last=False)

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _note_idle(self) -> None:
        if not self._working and not len(self):
            self._idle.set()
        else:
            self._idle.clear()
