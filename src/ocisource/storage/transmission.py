"""Sending bytes to clients that may be slow: every wait is bounded by what it moves."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

_FIRST_SLICE = 1 << 18  # bytes a client must take within one stall limit
_LAST_SLICE = 1 << 24  # bytes; larger ones save nothing
_QUICK = 0.5  # s; a slice taken sooner is followed by a larger one

_Result = TypeVar("_Result")


class Transmission:
    """One answer on its way over a transport.

    A client that takes less than 256 KiB in ``stall`` seconds is cut off: the connection is
    aborted and ConnectionResetError raised. So it is when the file turns out shorter than said.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        drain: Callable[[], Awaitable[None]],
        stall: float,
    ) -> None:
        self._transport = transport
        self._drain = drain
        self._stall = stall

    async def send(self, data: bytes) -> None:
        """Send bytes; returns when the system has taken them all."""
        for start in range(0, len(data), _FIRST_SLICE):
            part = data if len(data) <= _FIRST_SLICE else data[start : start + _FIRST_SLICE]
            self._transport.write(part)
            if self._transport.get_write_buffer_size():
                await self._bounded(self._drain())

    async def send_file(self, descriptor: int, *, offset: int, count: int) -> None:
        """Send a part of an open file without copying it through this process."""
        loop = asyncio.get_running_loop()
        slice_size = _FIRST_SLICE
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            while count:
                length = min(count, slice_size)
                began = loop.time()
                sent = await self._bounded(loop.sendfile(self._transport, file, offset, length))
                if sent != length:
                    self.abort("the file became shorter")
                offset += length
                count -= length
                if loop.time() - began < _QUICK:
                    slice_size = min(slice_size * 2, _LAST_SLICE)

    def abort(self, reason: str) -> NoReturn:
        """Cut the connection, so that the client cannot take a part for the whole."""
        self._transport.abort()
        raise ConnectionResetError(reason)

    async def _bounded(self, work: Awaitable[_Result]) -> _Result:
        try:
            async with asyncio.timeout(self._stall):
                return await work
        except TimeoutError:
            self.abort("the client is too slow")
        except RuntimeError as exc:  # asyncio's word for a transport that is closing
            raise ConnectionResetError(str(exc)) from exc
