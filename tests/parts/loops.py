"""A watch over the event loop: what a test leaves behind is a failure of that test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_SETTLE_TURNS = 20  # turns of the loop in which closed transports may finish their callbacks


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """The running loop; AssertionError when tasks are left or an error reached only the loop."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    complaints: list[str] = []

    def complain(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    handler = loop.get_exception_handler()
    loop.set_exception_handler(complain)
    try:
        yield loop
    finally:
        left = await _settled(before)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        loop.set_exception_handler(handler)
    assert not left, f"the test left tasks behind: {left}"
    assert not complaints, f"errors reached only the event loop: {complaints}"


async def _settled(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    # All turns, even with no task left: a TLS connection that was given up in its handshake closes
    # its socket a few turns later.
    for _ in range(_SETTLE_TURNS):
        await asyncio.sleep(0)
    return _left(before)


def _left(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task not in before and task is not current}
