"""Work that several callers want at the same time, done once.

Rules:

1. The first caller for a key starts the work in a task of its own; later callers join it.
2. A caller's cancellation or timeout ends that caller's wait only.
3. Work that nobody waits for any more is cancelled.
4. Nothing is remembered: once the work is done, the next caller starts anew.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar, TypeVarTuple

from ocisource import errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Flight(set["asyncio.Future[T]"]):
    """A future for each caller that waits, and the task of the work under way."""

    __slots__ = ("task",)
    task: asyncio.Task[None] | None


class Flights(Generic[T]):
    """In-flight work by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        # The work is nobody's in particular: it sees no caller's context variables.
        self._context = contextvars.Context()

    def __len__(self) -> int:
        return len(self._flights)

    async def share(
        self, key: Hashable, work: Callable[[*Ts], Coroutine[Any, Any, T]], *arguments: *Ts
    ) -> T:
        """Result of the work under way for ``key``, which ``work(*arguments)`` starts if none is.

        Raises what the work raised; AbandonedError if close() ended it.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight()
            self._flights[key] = flight
            flying = self._fly(key, flight, work, arguments)
            flight.task = loop.create_task(flying, context=self._context)
        waiter: asyncio.Future[T] = loop.create_future()
        flight.add(waiter)
        try:
            return await waiter
        finally:
            flight.discard(waiter)
            if not flight and flight.task is not None:
                self._land(key, flight)  # a caller that comes now must not join a dying task
                flight.task.cancel()

    async def _fly(
        self,
        key: Hashable,
        flight: _Flight[T],
        work: Callable[[*Ts], Coroutine[Any, Any, T]],
        arguments: tuple[*Ts],
    ) -> None:
        # Results are handed out here and not by a done callback: that is one turn of the loop less
        # for each of the many checks that nobody else waits for.
        try:
            result = await work(*arguments)
        except asyncio.CancelledError:
            self._land(key, flight)
            for waiter in flight:
                if not waiter.done():
                    waiter.set_exception(errors.AbandonedError("the registry client was closed"))
            raise
        except BaseException as error:  # noqa: BLE001 - the callers are told
            self._land(key, flight)
            for waiter in flight:
                if not waiter.done():
                    waiter.set_exception(error)
        else:
            self._land(key, flight)
            for waiter in flight:
                if not waiter.done():
                    waiter.set_result(result)
        flight.task = None

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def close(self) -> None:
        """End all work; its callers get AbandonedError."""
        flying = list(self._flights.values())
        tasks = [each.task for each in flying if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for flight in flying:  # work that was ended before its first step has told nobody
            for waiter in flight:
                if not waiter.done():
                    waiter.set_exception(errors.AbandonedError("the registry client was closed"))
        self._flights.clear()
