"""The connections of the file server: how many there may be, and how they end.

HTTP itself (parsing, keep-alive, the deadline for a request's header) is aiohttp's low-level
server. A connection is *idle* while it waits for a request and *busy* while one is answered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1024
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)
_LINGER = 1.0  # s to swallow the body of a request that should have none

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """aiohttp's connection, quiet about clients that do not speak HTTP."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed (400), or a fault of ours (500)."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client went away or was cut off
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.debug("bad request from %s: %s", request.remote, message)
        else:
            _log.error("failed to answer %s %s", request.method, request.raw_path, exc_info=exc)
        # A name, so that aiohttp does not tell its version and the interpreter's.
        answer = web.Response(status=status, headers={hdrs.SERVER: "ocisource"})
        answer.force_close()
        return answer


class Connections(web.Server):
    """All connections. At the limit a new one takes the place of the longest idle, or is refused.

    ``idle_timeout`` bounds the wait for a complete request header, in seconds.
    """

    def __init__(self, handler: Handler, *, idle_timeout: float, limit: int) -> None:
        super().__init__(self._tracked)
        self._handler = handler
        self._idle_timeout = idle_timeout
        self._limit = limit
        self._idle: dict[web.RequestHandler, asyncio.Transport] = {}
        self._busy: dict[web.RequestHandler, asyncio.Task[Any] | None] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.is_draining = False

    def __call__(self) -> web.RequestHandler:
        """A connection; asyncio's protocol factory."""
        options: dict[str, Any] = {
            "keepalive_timeout": self._idle_timeout,
            "lingering_time": _LINGER,
            "access_log": None,
            "logger": _log,
        }
        return Connection(self, loop=asyncio.get_running_loop(), **options)

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Admit a connection, or refuse it."""
        super().connection_made(handler, transport)
        # Whatever is not taken at once counts as unsent: the sender's time limit covers it all.
        transport.set_write_buffer_limits(high=0)
        if len(self) >= self._limit and not self._is_room_made():
            transport.write(REFUSAL)
            # Not at once: aiohttp wants to see its task begin before the connection ends.
            asyncio.get_running_loop().call_soon(handler.force_close)
            return
        self._idle[handler] = transport

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._idle.pop(handler, None)

    def _is_room_made(self) -> bool:
        for longest_idle in self._idle:
            longest_idle.force_close()
            del self._idle[longest_idle]
            return True
        return False

    async def _tracked(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        transport = self._idle.pop(connection, None)
        if transport is None:
            raise ConnectionResetError("the connection was closed meanwhile")
        self._busy[connection] = asyncio.current_task()
        self._quiet.clear()
        try:
            return await self._handler(request)
        except ConnectionError:
            transport.abort()
            raise
        except Exception as exc:
            _log.exception("failed to answer %s %s", request.method, request.raw_path)
            # Part of the answer may be under way: only an abort tells the client.
            transport.abort()
            raise ConnectionResetError(str(exc)) from exc
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            del self._busy[connection]
            if not transport.is_closing():
                self._idle[connection] = transport  # at the end: the latest to become idle
            if not self._busy:
                self._quiet.set()

    async def drain(self, grace: float) -> None:
        """Close idle connections, give busy ones ``grace`` seconds to finish, cut the rest."""
        self.is_draining = True
        for connection in tuple(self._idle):
            connection.force_close()
        try:
            async with asyncio.timeout(grace):
                await self._quiet.wait()
        except TimeoutError:
            _log.warning("cutting off %d downloads after %g s", len(self._busy), grace)
            # Aborting the transports would not wake a sendfile(2) that waits for its client.
            for task in tuple(self._busy.values()):
                if task is not None:
                    task.cancel()
            await self._quiet.wait()
        await self.shutdown(timeout=_LINGER)
