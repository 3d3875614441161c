"""The watch over the loop ends what asyncio would end too late."""

import asyncio
import contextlib
import pathlib
import socket
import ssl
import threading
from asyncio import sslproto
from collections.abc import Iterator

from tests.parts import certificates, loops

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


def _transports() -> list[asyncio.Transport]:
    return list(getattr(asyncio.get_running_loop(), "_transports", {}).values())


async def _shaken() -> asyncio.Transport:
    """The transport whose handshake is done, before its owner has been told."""
    while True:
        for transport in _transports():
            if getattr(transport.get_protocol(), "_state", None) is _WRAPPED:
                return transport
        await asyncio.sleep(0)


async def test_a_connection_that_was_given_up_just_after_its_handshake_is_ended(
    tmp_path: pathlib.Path, authority: certificates.Authority
) -> None:
    """Its peer says no goodbye; a program would wait for that, a test does not."""
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    loop = asyncio.get_running_loop()
    with _silent_peer(tmp_path, authority) as port:
        async with loops.watched(), asyncio.timeout(_SECONDS):
            connecting = asyncio.create_task(
                loop.create_connection(asyncio.Protocol, "127.0.0.1", port, ssl=context)
            )
            transport = await _shaken()
            assert not connecting.done()
            connecting.cancel()
            await asyncio.wait([connecting])
            assert connecting.cancelled()
            assert not transport.is_closing()
        assert transport.is_closing()
        assert transport not in _transports() or transport.get_extra_info("socket").fileno() == -1
