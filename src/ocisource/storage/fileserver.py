"""The artifact server: GET and HEAD of the store's files, and nothing else.

``GET /`` answers 200 with nothing (probes ask it); folders, names that are not exactly a file's
path, links that lead out and files altered behind the store's back are 404, other methods 405.
The ETag is the file's digest, Last-Modified comes from the store's index.

Small files are sent from a bounded cache, whose entries stand as long as a stat says so; larger
ones with sendfile(2). HTTP is parsed by aiohttp; only the answers are put together here.

Example::

    server = FileServer(local_store)
    host, port = await server.start("", 9090)
    ...
    await server.stop(grace=5.0)
"""

import asyncio
import errno
import logging
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Callable
from concurrent import futures
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import listening
from ocisource.storage import (
    answers,
    connections,
    exchanges,
    filecache,
    integrity,
    store,
    transmission,
)

_log = logging.getLogger(__name__)

DEFAULT_PORT = 9090
IDLE_TIMEOUT = 75.0  # s without a complete request header
STALL_TIMEOUT = 60.0  # s in which a client must take 256 KiB of an answer
GRACE = 5.0  # s for downloads under way when the server stops

_BACKLOG = 1024
_ANY_IPV4 = "0.0.0.0"  # noqa: S104 - all interfaces are what was asked for
# "All interfaces" means both kinds of addresses, where the machine has both.
_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_METHODS = frozenset({"GET", "HEAD"})
_REOPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class FileServer:
    """Serves one LocalStore. ``executor`` runs what may block (default: the loop's own)."""

    def __init__(
        self,
        local: store.LocalStore,
        *,
        executor: futures.Executor | None = None,
        clock: Callable[[], float] = time.time,
        idle_timeout: float = IDLE_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
        max_connections: int = connections.MAX_CONNECTIONS,
        cache_bytes: int = filecache.MAX_BYTES,
    ) -> None:
        self._reader = local.reader
        self._executor = executor
        self._idle_timeout = idle_timeout
        self._stall_timeout = stall_timeout
        self._max_connections = max_connections
        self._cache = filecache.Cache(max_bytes=cache_bytes)
        self._loading: dict[str, asyncio.Lock] = {}
        self._clock = clock
        self._heads = answers.Heads(clock)
        self._kept = _Sent(is_kept=True)
        self._closed = _Sent(is_kept=False)
        self._connections: connections.Connections | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; an empty ``host`` means all interfaces, port 0 a free one. Returns the address.

        Raises UsageError when the address cannot be had.
        """
        self._connections = connections.Connections(
            self._answer, idle_timeout=self._idle_timeout, limit=self._max_connections
        )
        with listening.at(host, port, flag="--storage-addr"):
            self._server = await self._listen(host, port, self._connections)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    async def _listen(
        self, host: str, port: int, factory: connections.Connections
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(factory, host or None, port, backlog=_BACKLOG)
        except OSError as exc:
            if host or exc.errno not in _NO_IPV6:
                raise
        return await loop.create_server(factory, _ANY_IPV4, port, backlog=_BACKLOG)

    async def stop(self, grace: float = GRACE) -> None:
        """Stop listening, let downloads finish for ``grace`` seconds, close everything."""
        if self._server is None or self._connections is None:
            return
        self._server.close()
        await self._connections.drain(grace)
        await self._server.wait_closed()
        self._server = self._connections = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        server = self._connections
        transport = request.transport
        if server is None or transport is None:
            raise ConnectionResetError("the connection is closed")
        is_kept = request.keep_alive and not server.is_draining
        exchange = exchanges.Exchange(
            request,
            heads=self._heads,
            connection=answers.connection(request, is_kept=is_kept),
            way=transmission.Transmission(
                transport, drain=request.writer.drain, stall=self._stall_timeout
            ),
        )
        if request.method not in _METHODS:
            await exchange.short(HTTPStatus.METHOD_NOT_ALLOWED)
        elif not (name := _name(request)):
            await exchange.short(HTTPStatus.NOT_FOUND if name is None else HTTPStatus.OK)
        else:
            await self._send(exchange, name)
        return self._kept if is_kept else self._closed

    async def _send(self, exchange: exchanges.Exchange, name: str) -> None:
        found = self._cache.get(name)
        descriptor = None
        if found is not None and found.body is None:
            descriptor = _reopen(found)
        if found is None or (found.body is None and descriptor is None):
            try:
                found, descriptor = await self._load(name)
            except (FileNotFoundError, errors.StorageError):
                return await exchange.short(HTTPStatus.NOT_FOUND)
            except PermissionError:
                return await exchange.short(HTTPStatus.FORBIDDEN)
            except (OSError, sqlite3.Error):
                _log.exception("failed to read %s", name)
                return await exchange.short(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            await exchange.file(found, descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    async def _load(self, name: str) -> tuple[filecache.Entry, int | None]:
        """Open a file that is not in the cache; several requests for one wait for the first."""
        lock = self._loading.setdefault(name, asyncio.Lock())
        try:
            async with lock:
                found = self._cache.get(name)
                if found is not None and found.body is not None:
                    return found, None
                loop = asyncio.get_running_loop()
                fresh, descriptor, is_settled = await loop.run_in_executor(
                    self._executor, self._read, name
                )
                if is_settled:
                    self._cache.put(name, fresh)
                return fresh, descriptor
        finally:
            if not lock.locked():
                self._loading.pop(name, None)

    def _read(self, name: str) -> tuple[filecache.Entry, int | None, bool]:
        opened = self._reader.open(name)
        location = self._reader.root / name
        if opened.signature.size > filecache.MAX_BODY:
            found = filecache.entry(location, opened, None, now=self._clock())
            return found, opened.descriptor, opened.is_settled
        with os.fdopen(opened.descriptor, "rb", buffering=0) as file:
            body = file.read(filecache.MAX_BODY + 1)
        if digests.Digest.of(body) != opened.digest:
            raise FileNotFoundError(f"{name} changed while it was read")
        found = filecache.entry(location, opened, body, now=self._clock())
        return found, None, opened.is_settled


class _Sent(web.StreamResponse):
    """Tells aiohttp that the answer is on its way and whether the connection stays."""

    def __init__(self, *, is_kept: bool) -> None:
        super().__init__()
        self._is_kept = is_kept

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays."""
        return self._is_kept

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do."""


def _name(request: web.BaseRequest) -> str | None:
    """The path asked for, without its leading slash; None if it cannot be one."""
    target = request.raw_path
    if not target.startswith("/"):
        target = request.rel_url.raw_path  # absolute-form, as sent to proxies
    path = target.partition("?")[0]
    try:
        return (urllib.parse.unquote(path, errors="strict") if "%" in path else path)[1:]
    except UnicodeDecodeError:
        return None


def _reopen(found: filecache.Entry) -> int | None:
    """A descriptor of the very file the entry describes; None if it is no longer that."""
    try:
        descriptor = os.open(found.location, _REOPEN)
    except OSError:
        return None
    if integrity.Signature.of(os.fstat(descriptor)) == found.signature:
        return descriptor
    os.close(descriptor)
    return None
