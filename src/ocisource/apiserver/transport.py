"""TLS connections whose buffers are bounded, so that a thousand watchers cost little.

asyncio gives each TLS connection a reading buffer of 256 KiB from the start; a watcher sends a
few hundred bytes in its life. One TLS record (16 KiB) at a time is as much as is ever decrypted.
"""

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable

READ_BUFFER = 16 * 1024  # bytes: the largest TLS record (RFC 8446, section 5.1)
WRITE_HIGH = 64 * 1024  # bytes a slow reader may leave unsent before its writer waits
HANDSHAKE_SECONDS = 10
SHUTDOWN_SECONDS = 3


class BoundedTLS(sslproto.SSLProtocol):
    """asyncio's TLS protocol with a smaller reading buffer."""

    max_size = READ_BUFFER


def secured(
    factory: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext
) -> Callable[[], asyncio.BaseProtocol]:
    """A protocol factory that speaks TLS, for ``loop.create_server`` without its own."""

    def make() -> asyncio.BaseProtocol:
        return BoundedTLS(
            asyncio.get_running_loop(),
            factory(),
            context,
            None,  # type: ignore[arg-type]  # nobody waits, as in loop.create_server
            server_side=True,
            call_connection_made=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )

    return make
