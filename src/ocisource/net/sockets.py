"""The sockets of a client's connectors, so that none outlives the client.

Whoever connects may be cancelled just when the TLS handshake is done. asyncio then says goodbye in
order and gives the peer half a minute for its part, and the connector does not know the connection:
a program that ends, or a loop that is closed, before that would leave an open socket behind.
"""

import asyncio
import contextlib
import socket
import typing
import weakref
from collections.abc import Callable

_TURNS = 50  # of the loop, in which connections that were cut off end; a few are enough

Info = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, typing.Any]


class Sockets:
    """Makes the sockets of connectors (their ``socket_factory``) and ends those that are left.

    ``prepare`` sets options on each.
    """

    def __init__(self, *, prepare: Callable[[socket.socket], object] | None = None) -> None:
        self._prepare = prepare
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, info: Info) -> socket.socket:
        """A socket for an address as ``getaddrinfo`` gives it."""
        made = socket.socket(info[0], info[1], info[2])
        if self._prepare is not None:
            self._prepare(made)
        self._made.add(made)
        return made

    async def end(self) -> None:
        """Cut off what is still open when the connectors are closed."""
        for _ in range(_TURNS):
            left = [each for each in self._made if each.fileno() >= 0]
            if not left:
                return
            for each in left:
                # Its transport reads the end of the stream, and closes.
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0)
