"""Names of hosts, looked up in threads of their own.

A name server that says nothing holds a thread for as long as the system goes on asking it, ten
seconds and more. So that the registries of one zone do not hold up all others, look-ups share no
threads with other work, each name is asked for once at a time whoever wants it, and nobody waits
longer than for a connection.
"""

import asyncio
import functools
import socket
from collections.abc import Callable, Sequence

from aiohttp import abc

from ocisource.net import daemons
from ocisource.oci import flights

THREADS = 64  # look-ups at once; names beyond wait for one of them

Found = Sequence[abc.ResolveResult]
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Names:
    """The look-ups under way; nothing is remembered here."""

    def __init__(self, *, timeout: float) -> None:
        """``timeout`` is what a look-up may take, in seconds."""
        self._timeout = timeout
        self._free = asyncio.Semaphore(THREADS)
        self._flights: flights.Flights[Found] = flights.Flights()

    async def look_up(self, host: str, port: int, family: socket.AddressFamily) -> Found:
        """The addresses of a host; raises socket.gaierror."""
        return await self._flights.share((host, port, family), self._ask, host, port, family)

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> Found:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
                return await self._start(functools.partial(_addresses, host, port, family))
        except TimeoutError:
            raise socket.gaierror(
                socket.EAI_AGAIN, f"the name server gave no answer in {self._timeout:g} s"
            ) from None

    def _start(self, call: Callable[[], Found]) -> "asyncio.Future[Found]":
        try:
            # The place is free when the thread has ended, and not when its waiter gave up.
            return daemons.start(call, name="look-up", ended=self._free.release)
        except RuntimeError as error:
            self._free.release()
            raise socket.gaierror(socket.EAI_AGAIN, f"no thread for a look-up: {error}") from None

    async def close(self) -> None:
        """End what is under way; a thread that still waits for its answer is not waited for."""
        await self._flights.close()


def _addresses(host: str, port: int, family: socket.AddressFamily) -> Found:
    found = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        abc.ResolveResult(
            hostname=host,
            host=str(address[0]),  # with the zone of a link-local one: fe80::1%eth0
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in found
    ]
