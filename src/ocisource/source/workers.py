"""Two small pools of threads: packers that grind, and a pool for blocking calls.

A thread cannot be cancelled. Whoever gives up on a packer sets its token, which the packer reads
at each block; its result, should there still be one, goes to ``discard``.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import pathlib
import threading
import typing
from collections.abc import Callable

BLOCKING_THREADS = 8
MAX_PACKERS = 8  # each may hold 64 MiB; a pod's memory does not grow with its node's cores
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "{microseconds or max} {period}"

T = typing.TypeVar("T")


class Workers:
    """The pools; close() waits for what is under way."""

    def __init__(self, *, packers: int | None = None, blocking: int = BLOCKING_THREADS) -> None:
        self._packers = concurrent.futures.ThreadPoolExecutor(
            max_workers=packers or packer_threads(), thread_name_prefix="packer"
        )
        self._blocking = concurrent.futures.ThreadPoolExecutor(
            max_workers=blocking, thread_name_prefix="blocking"
        )

    async def block(self, call: Callable[[], T]) -> T:
        """Run a short blocking call (a rename, an fsync) and wait for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._blocking, call)

    def submit(self, call: Callable[[], T]) -> "concurrent.futures.Future[T]":
        """Have a short blocking call made; for whoever has to know when it has really ended."""
        return self._blocking.submit(call)

    async def finish(self, call: Callable[[], T]) -> T:
        """As block(), but a waiter that is cancelled is held until the call has ended.

        For what cannot be called off and must not be overtaken: whoever comes next finds it done.
        """
        future = asyncio.get_running_loop().run_in_executor(self._blocking, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            future.exception()  # nobody else will ask
            raise

    async def pack(
        self, job: Callable[[Callable[[], bool]], T], *, discard: Callable[[T], object]
    ) -> T:
        """Run ``job(is_cancelled)`` on a packer.

        When the waiter is cancelled, the job is told so and its late result is discarded.
        """
        token = threading.Event()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._packers, job, token.is_set)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            token.set()
            future.add_done_callback(lambda done: _drop(done, discard))
            raise

    async def close(self) -> None:
        """Wait for the threads to finish what they have begun."""
        await asyncio.to_thread(self._packers.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._blocking.shutdown)


def packer_threads(
    *, cores: int | None = None, quota: pathlib.Path = _QUOTA, most: int = MAX_PACKERS
) -> int:
    """How many packers there should be: one per core that this process may use, few in any case.

    ``cores`` are those it may run on; a container's CPU limit (``quota``) may be less than that.
    """
    if cores is None:
        can_tell = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1
    try:
        allowed, period = map(int, quota.read_text().split())
        cores = min(cores, -(-allowed // period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no cgroup v2, or no limit ("max")
    return max(1, min(cores, most))


def _drop(done: "asyncio.Future[T]", discard: Callable[[T], object]) -> None:
    if not done.cancelled() and done.exception() is None:
        discard(done.result())
