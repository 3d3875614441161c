"""Forward proxies that real ones are too big or too rare for: SOCKS5, and CONNECT over TLS."""

import asyncio
import base64
import contextlib
import dataclasses
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

_VERSION, _NO_AUTH, _PASSWORD, _REFUSED_AUTH = 5, 0, 2, 0xFF
_IPV4, _NAME, _IPV6 = 1, 3, 4
_REFUSED = 5

_Greet = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter, "Proxy"], Awaitable[tuple[str, int] | None]
]
_Answer = Callable[[bool], bytes]


@dataclasses.dataclass(slots=True)
class Proxy:
    """A running proxy, and the ``host:port`` targets it was asked for, in order."""

    port: int = 0
    targets: list[str] = dataclasses.field(default_factory=list)
    routes: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    """Where targets are in truth, for names that no resolver knows."""
    connections: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)


@contextlib.asynccontextmanager
async def socks5(*, username: str = "", password: str = "") -> AsyncIterator[Proxy]:
    """A SOCKS5 proxy; with ``username`` it wants RFC 1929 authentication."""

    async def greet(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy
    ) -> tuple[str, int] | None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = _PASSWORD if username else _NO_AUTH
        if wanted not in offered:
            writer.write(bytes((_VERSION, _REFUSED_AUTH)))
            return None
        writer.write(bytes((_VERSION, wanted)))
        if username:
            await reader.readexactly(1)
            given = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
            is_right = given == [username.encode(), password.encode()]
            writer.write(bytes((1, 0 if is_right else 1)))
            if not is_right:
                return None
        _, _, _, kind = await reader.readexactly(4)
        if kind == _NAME:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            packed = await reader.readexactly(4 if kind == _IPV4 else 16)
            host = str(ipaddress.ip_address(packed))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        return host, port

    def answer(is_open: bool) -> bytes:
        return bytes((_VERSION, 0 if is_open else _REFUSED, 0, _IPV4, 0, 0, 0, 0, 0, 0))

    async with _serving(greet, answer) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def connect(
    *, tls: ssl.SSLContext | None = None, username: str = "", password: str = ""
) -> AsyncIterator[Proxy]:
    """An HTTP proxy that knows CONNECT only, over TLS if there is a context."""
    wanted = base64.b64encode(f"{username}:{password}".encode()).decode()

    async def greet(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy
    ) -> tuple[str, int] | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        if username and f"Proxy-Authorization: Basic {wanted}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return None
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        return host.strip("[]"), int(port)

    def answer(is_open: bool) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n" if is_open else b"HTTP/1.1 502 Bad Gateway\r\n\r\n"

    async with _serving(greet, answer, tls=tls) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def _serving(
    greet: _Greet, answer: _Answer, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Proxy]:
    proxy = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        proxy.connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await _relay(reader, writer, proxy)
        except asyncio.CancelledError:
            pass  # the proxy is being stopped
        finally:
            proxy.connections.discard(task)
            writer.close()

    async def _relay(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy
    ) -> None:
        target = await greet(reader, writer, proxy)
        if target is None:
            await writer.drain()
            return
        name = f"{target[0]}:{target[1]}"
        proxy.targets.append(name)
        try:
            up_reader, up_writer = await asyncio.open_connection(*proxy.routes.get(name, target))
        except OSError:
            writer.write(answer(False))
            await writer.drain()
            return
        writer.write(answer(True))
        try:
            await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        finally:
            up_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        left = list(proxy.connections)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await server.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
