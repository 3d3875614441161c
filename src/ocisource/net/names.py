"""Names of hosts, looked up in threads that the process does not wait for.

A name server that says nothing holds a thread for as long as the system goes on asking it, ten
seconds and more. asyncio's own look-ups share their threads with other blocking work, and the
interpreter joins those at its end: a program that is to leave would stay for as long.

Example::

    connector = aiohttp.TCPConnector(resolver=Resolver(LookUps(timeout=10.0)))
"""

import asyncio
import functools
import socket
from collections.abc import Callable

from aiohttp import abc

from ocisource.net import daemons

THREADS = 64  # look-ups at once; names beyond wait for one of them

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

Found = list[abc.ResolveResult]


class LookUps:
    """Look-ups in THREADS threads at most; ``timeout`` is what one may take, in seconds."""

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._free = asyncio.Semaphore(THREADS)

    async def look_up(self, host: str, port: int, family: socket.AddressFamily) -> Found:
        """The addresses of a host; raises socket.gaierror, also when the time is over."""
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


class Resolver(abc.AbstractResolver):
    """For a connector of aiohttp, which keeps what was found for a few seconds."""

    def __init__(self, look_ups: LookUps) -> None:
        self._look_ups = look_ups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Found:
        """The addresses of a host; raises socket.gaierror."""
        return await self._look_ups.look_up(host, port, family)

    async def close(self) -> None:
        """Nothing is held; a thread that still waits for its answer is not waited for."""


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
