"""Work in threads: what ends with its waiter, and what is finished all the same."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from ocisource import errors
from ocisource.source import workers
from tests.simulators import faketime


@pytest.fixture
async def pools() -> AsyncIterator[workers.Workers]:
    """Small pools."""
    made = workers.Workers(packers=1, blocking=1)
    yield made
    await made.close()


@pytest.mark.parametrize("is_failing", [False, True])
async def test_a_cancelled_waiter_is_held_until_the_call_has_ended(
    pools: workers.Workers, *, is_failing: bool
) -> None:
    """However often it is cancelled, and whatever becomes of the call."""
    released, has_ended = threading.Event(), threading.Event()

    def call() -> None:
        assert released.wait(60)
        has_ended.set()
        if is_failing:
            raise errors.StorageError("full")

    waiter = asyncio.create_task(pools.finish(call))
    await faketime.settle()
    for _ in range(3):
        waiter.cancel()
        await faketime.settle()
        assert not waiter.done()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert has_ended.is_set()


async def test_a_call_that_waits_for_a_thread_is_made_though_its_waiter_is_cancelled(
    pools: workers.Workers,
) -> None:
    """It would leave its file behind otherwise."""
    released = threading.Event()
    first = asyncio.create_task(pools.block(lambda: released.wait(60)))
    await faketime.settle()
    made: list[str] = []
    second = asyncio.create_task(pools.finish(lambda: made.append("second")))
    await faketime.settle()
    second.cancel()
    released.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert made == ["second"]


async def test_results_and_failures_come_back(pools: workers.Workers) -> None:
    """As from any call."""
    assert await pools.finish(lambda: 7) == 7

    def fail() -> None:
        raise errors.StorageError("full")

    with pytest.raises(errors.StorageError, match="full"):
        await pools.finish(fail)
