"""Names of hosts: each is asked for once at a time, whoever wants it.

So the registries of one zone whose name server says nothing do not hold up all others.
"""

import socket
from collections.abc import Sequence

from aiohttp import abc

from ocisource.net import names
from ocisource.oci import flights

Found = Sequence[abc.ResolveResult]


class Names:
    """The look-ups under way; nothing is remembered here."""

    def __init__(self, *, timeout: float) -> None:
        """``timeout`` is what a look-up may take, in seconds."""
        self._look_ups = names.LookUps(timeout=timeout)
        self._flights: flights.Flights[Found] = flights.Flights()

    async def look_up(self, host: str, port: int, family: socket.AddressFamily) -> Found:
        """The addresses of a host; raises socket.gaierror."""
        return await self._flights.share(
            (host, port, family), self._look_ups.look_up, host, port, family
        )

    async def close(self) -> None:
        """End what is under way; a thread that still waits for its answer is not waited for."""
        await self._flights.close()
