"""The token bucket."""

import asyncio
import contextlib

from ocisource.kube import ratelimit
from tests.simulators import faketime


def bucket(time: faketime.FakeTime, *, qps: float, burst: int) -> ratelimit.TokenBucket:
    """A bucket on made-up time."""
    return ratelimit.TokenBucket(qps=qps, burst=burst, clock=time.clock, sleep=time.sleep)


async def test_a_burst_passes_and_the_rest_in_order() -> None:
    """Two at once, then one every half second, first come, first served."""
    time = faketime.FakeTime()
    tokens = bucket(time, qps=2, burst=2)
    passed: list[int] = []

    async def take(number: int) -> None:
        await tokens.take()
        passed.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await faketime.settle()
    assert passed == [0, 1]
    await time.advance(0.5)
    assert passed == [0, 1, 2]
    await time.advance(1.0)
    assert passed == [0, 1, 2, 3, 4]
    await asyncio.gather(*tasks)


async def test_idle_time_fills_no_more_than_the_burst() -> None:
    """A quiet night allows no flood in the morning."""
    time = faketime.FakeTime()
    tokens = bucket(time, qps=1, burst=3)
    time.now += 1000
    assert [tokens.try_take() for _ in range(5)] == [True, True, True, False, False]


async def test_waits_that_end_at_the_same_moment_end_together() -> None:
    """By then there is a token for each, and the pace stays what it was."""
    time = faketime.FakeTime()
    tokens = ratelimit.TokenBucket(qps=4, burst=4, clock=time.clock, sleep=time.sleep, moment=1.0)
    assert [tokens.try_take() for _ in range(4)] == [True] * 4
    time.now += 0.125
    waiter = asyncio.create_task(tokens.take())
    await time.advance(0.75)
    assert not waiter.done()
    await time.advance(0.125)
    assert waiter.done()
    assert [tokens.try_take() for _ in range(4)] == [True, True, True, False]


async def test_a_cancelled_waiter_gives_its_token_back() -> None:
    """Requests that are called off use up nothing."""
    time = faketime.FakeTime()
    tokens = bucket(time, qps=1, burst=1)
    await tokens.take()
    waiter = asyncio.create_task(tokens.take())
    await faketime.settle()
    waiter.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    time.now += 1
    assert tokens.try_take()


async def test_no_qps_means_no_limit() -> None:
    """0 limits nothing; a limit can be lifted."""
    time = faketime.FakeTime()
    free, lifted = bucket(time, qps=0, burst=1), bucket(time, qps=1, burst=1)
    lifted.lift()
    for tokens in (free, lifted):
        for _ in range(10):
            await tokens.take()
        assert tokens.try_take()
