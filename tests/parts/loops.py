"""A watch over the event loop: what a test leaves behind is a failure of that test."""

import asyncio
import contextlib
from asyncio import sslproto
from collections.abc import AsyncIterator

_SETTLE_TURNS = 20  # turns of the loop in which closed transports may finish their callbacks
_LEAVING = (sslproto.SSLProtocolState.FLUSHING, sslproto.SSLProtocolState.SHUTDOWN)


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
    if _cut_farewells():
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)
    return _left(before)


def _cut_farewells() -> int:
    """End the connections that nobody has any more and that still say goodbye; how many.

    Whoever connects is cancelled just when the TLS handshake is done: asyncio closes in order and
    gives the peer half a minute for its part. A program may wait for that; the loop of a test ends
    before, and the socket would be found open by the collector, in whatever test that runs in.
    """
    found = 0
    transports = getattr(asyncio.get_running_loop(), "_transports", {})  # a selector loop's
    for transport in list(transports.values()):
        protocol = transport.get_protocol()
        if getattr(protocol, "_state", None) in _LEAVING:
            transport.abort()
            found += 1
    return found


def _left(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task not in before and task is not current}
