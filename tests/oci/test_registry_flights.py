"""Shared work: joined, not remembered, and not ended by one caller's end."""

import asyncio

import pytest

from ocisource import errors
from ocisource.oci import flights
from tests.simulators import faketime


class Work:
    """Work that waits for an event, and counts its starts and ends."""

    def __init__(self, result: str = "done", error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.started = self.ended = self.cancelled = 0
        self._result = result
        self._error = error

    async def __call__(self) -> str:
        """Wait, then give the result or raise the error."""
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        if self._error is not None:
            raise self._error
        return self._result


async def start(shared: flights.Flights[str], work: Work, count: int) -> list[asyncio.Task[str]]:
    """So many callers that wait for the same key."""
    tasks = [asyncio.create_task(shared.share("key", work)) for _ in range(count)]
    await faketime.until(lambda: work.started)
    return tasks


async def test_all_callers_get_one_result() -> None:
    """Started once, for everybody."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work()
    tasks = await start(shared, work, 5)
    work.go.set()
    assert await asyncio.gather(*tasks) == ["done"] * 5
    assert (work.started, work.ended) == (1, 1)
    assert len(shared) == 0


async def test_all_callers_get_one_error() -> None:
    """What the work raises."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work(error=errors.TransportError("no"))
    tasks = await start(shared, work, 3)
    work.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(each) for each in found] == ["no"] * 3
    assert len(shared) == 0


async def test_nothing_is_remembered() -> None:
    """The next caller starts anew."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work()
    work.go.set()
    await shared.share("key", work)
    await shared.share("key", work)
    assert work.started == 2


async def test_keys_do_not_mix() -> None:
    """Another key is other work."""
    shared: flights.Flights[str] = flights.Flights()
    one, two = Work("one"), Work("two")
    one.go.set()
    two.go.set()
    found = await asyncio.gather(shared.share(1, one), shared.share(2, two))
    assert list(found) == ["one", "two"]


async def test_the_first_callers_end_is_not_the_works() -> None:
    """Cancelled or timed out, the others still get the one result."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work()
    tasks = await start(shared, work, 3)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    work.go.set()
    assert await asyncio.gather(*tasks[1:]) == ["done"] * 2
    assert (work.started, work.cancelled) == (1, 0)


async def test_work_nobody_waits_for_is_ended() -> None:
    """And a caller that comes meanwhile gets fresh work."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work()
    for task in await start(shared, work, 2):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    work.go.set()
    assert await shared.share("key", work) == "done"
    assert (work.started, work.cancelled) == (2, 1)


async def test_close_tells_the_callers() -> None:
    """They are not cancelled themselves, and must not look as if they were."""
    shared: flights.Flights[str] = flights.Flights()
    work = Work()
    tasks = await start(shared, work, 2)
    await shared.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [errors.AbandonedError] * 2


async def test_work_may_share_other_work() -> None:
    """As a probe does with a token."""
    shared: flights.Flights[str] = flights.Flights()
    inner = Work("inner")
    inner.go.set()

    async def outer() -> str:
        return "outer " + await shared.share("inner", inner)

    assert await shared.share("outer", outer) == "outer inner"
