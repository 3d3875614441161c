"""A TCP relay in front of a real server: its connections can be cut, refused, or left to hang."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_CHUNK = 64 * 1024  # bytes


class Relay:
    """Passes bytes on to ``target`` port on loopback; ``port`` is its own."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0  # ever accepted
        self._target = target
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def start(self) -> None:
        """Accept connections, on the same port as before if there was one."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections and cut those there are."""
        assert self._listener is not None
        self._listener.close()
        await self.cut()
        await self._listener.wait_closed()

    async def cut(self) -> None:
        """Cut all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hang(self) -> None:
        """Pass nothing on until ``resume``; connections stay open."""
        self._flows.clear()

    def resume(self) -> None:
        """Pass bytes on again."""
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # being cut is this task's purpose, not a failure
        finally:
            writer.transport.abort()
            await _gone(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        flows = [
            asyncio.create_task(self._pass_on(reader, far_writer)),
            asyncio.create_task(self._pass_on(far_reader, writer)),
        ]
        try:
            await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before anything is waited for: this task may be cancelled while it tidies up.
            far_writer.transport.abort()
            writer.transport.abort()
            for flow in flows:
                flow.cancel()
            await asyncio.gather(*flows, return_exceptions=True)
            await _gone(far_writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()


async def _gone(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def running(target: int) -> AsyncIterator[Relay]:
    """A relay that accepts connections."""
    relay = Relay(target)
    await relay.start()
    try:
        yield relay
    finally:
        with contextlib.suppress(AssertionError):
            await relay.refuse()
