"""No socket outlives its client, not even one whose connection was given up at the last moment."""

import asyncio
import contextlib
import pathlib
import socket
import ssl
import threading
from asyncio import sslproto
from collections.abc import Iterator

import aiohttp

from ocisource.net import sockets
from tests.parts import certificates

_WRAPPED = sslproto.SSLProtocolState.WRAPPED
_SECONDS = 60.0  # a bound for what never comes


@contextlib.contextmanager
def _silent_peer(folder: pathlib.Path, authority: certificates.Authority) -> Iterator[int]:
    """The port of a TLS server that shakes hands and then does nothing at all."""
    files = authority.server("127.0.0.1").write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(_SECONDS)
            stack.enter_context(context.wrap_socket(connection, server_side=True))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(_SECONDS)


async def _shaken() -> asyncio.Transport:
    """The transport whose handshake is done, before whoever waits for it is told."""
    while True:
        transports = getattr(asyncio.get_running_loop(), "_transports", {})
        for transport in list(transports.values()):
            if getattr(transport.get_protocol(), "_state", None) is _WRAPPED:
                found: asyncio.Transport = transport
                return found
        await asyncio.sleep(0)


async def test_a_connection_given_up_just_after_its_handshake_is_ended(
    tmp_path: pathlib.Path, authority: certificates.Authority
) -> None:
    """Its peer says no goodbye, and the closed connector knows nothing of it."""
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    prepared: list[socket.socket] = []
    made = sockets.Sockets(prepare=prepared.append)
    connector = aiohttp.TCPConnector(ssl=context, socket_factory=made.make)
    with _silent_peer(tmp_path, authority) as port:
        async with (
            asyncio.timeout(_SECONDS),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            asking = asyncio.ensure_future(session.get(f"https://127.0.0.1:{port}/"))
            transport = await _shaken()
            assert not asking.done()
            asking.cancel()
            await asyncio.wait([asking])
        (only,) = prepared
        assert not transport.is_closing()
        assert only.fileno() >= 0
        await made.end()
        assert only.fileno() < 0
        assert transport.is_closing()


async def test_nothing_is_left_to_end_where_nothing_was_made() -> None:
    """Nor where all of it is closed."""
    made = sockets.Sockets()
    await made.end()
    made.make((socket.AF_INET, socket.SOCK_STREAM, 0, "", None)).close()
    await made.end()
