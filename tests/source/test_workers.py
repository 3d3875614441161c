"""The pools: how many packers there are, and what becomes of work nobody waits for any more."""

import asyncio
import pathlib
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource.source import workers


@pytest.fixture
async def pools() -> AsyncIterator[workers.Workers]:
    """One packer, one thread for blocking calls."""
    made = workers.Workers(packers=1, blocking=1)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("cores", "quota", "wanted"),
    [
        (4, "max 100000", 4),
        (4, "100000 100000", 1),
        (64, "150000 100000", 2),
        (4, "5000 100000", 1),
        (2, "900000 100000", 2),
        (64, "max 100000", workers.MAX_PACKERS),
        (4, "", 4),
        (4, "1 0", 4),
        (4, "nonsense here", 4),
    ],
)
def test_packers_are_as_many_as_the_process_may_use(
    cores: int, quota: str, wanted: int, tmp_path: pathlib.Path
) -> None:
    """A container's limit counts, not its node's cores; memory sets an upper bound."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert workers.packer_threads(cores=cores, quota=file) == wanted
    assert workers.packer_threads(cores=cores, quota=tmp_path / "none") == min(cores, 8)


async def test_work_nobody_waits_for_is_told_so_and_its_result_discarded(
    pools: workers.Workers,
) -> None:
    """The thread goes on until it looks at its token; what it still returns is not leaked."""
    has_begun, discarded = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    results: list[str] = []

    def job(is_cancelled: Callable[[], bool]) -> str:
        has_begun.set()
        while not is_cancelled():
            pass
        return "late"

    def discard(result: str) -> None:
        results.append(result)
        loop.call_soon_threadsafe(discarded.set)

    waiting = asyncio.create_task(pools.pack(job, discard=discard))
    await asyncio.to_thread(has_begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await discarded.wait()
    assert results == ["late"]


async def test_work_called_off_before_it_began_sees_its_token_at_once(
    pools: workers.Workers,
) -> None:
    """Behind another in the queue, cancelled there: it need not do anything."""
    is_free, seen = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    tokens: list[bool] = []

    def second(is_cancelled: Callable[[], bool]) -> None:
        tokens.append(is_cancelled())
        loop.call_soon_threadsafe(seen.set)
        raise ValueError("nobody is told")

    first = asyncio.create_task(pools.pack(lambda _token: is_free.wait(), discard=bool))
    waiting = asyncio.create_task(pools.pack(second, discard=bool))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    is_free.set()
    assert await first
    await seen.wait()
    assert tokens == [True]
