"""HTTPS or plain HTTP: found out once, where both are allowed.

HTTPS is tried first; plain HTTP 300 ms later, or at once if HTTPS failed; the first that answers
`GET /v2/` like a registry is taken (behaviour.md, 3.1) and remembered until a connection fails.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ocisource import errors
from ocisource.oci import flights

SECURE, PLAIN = "https", "http"
# What a registry answers at its door. An HTTPS port answers 400 to plain HTTP, and a web server
# that wants HTTPS redirects: neither is a registry that speaks plain HTTP.
_PLAIN_ANSWERS = frozenset({200, 401, 403, 404, 405, 429})


class Scheme:
    """The scheme of one host; ``known`` once it has been found out."""

    def __init__(
        self,
        probe: Callable[[str], Awaitable[int]],
        *,
        is_plain_http_allowed: bool,
        head_start: float,
    ) -> None:
        self._probe = probe
        self._is_plain_http_allowed = is_plain_http_allowed
        self._head_start = head_start
        self.known: str | None = None if is_plain_http_allowed else SECURE
        self._races: flights.Flights[str] = flights.Flights()

    async def get(self) -> str:
        """``https`` or ``http``; raises TransportError if neither answers."""
        if self.known is None:
            return await self._races.share("scheme", self._race)
        return self.known

    def forget(self) -> None:
        """Find out anew next time: the host may have changed."""
        if self._is_plain_http_allowed:
            self.known = None

    async def close(self) -> None:
        """End a probe under way."""
        await self._races.close()

    async def _race(self) -> str:
        secure = asyncio.create_task(self._try(SECURE))
        plain: asyncio.Task[errors.OcisourceError | None] | None = None
        try:
            await asyncio.wait({secure}, timeout=self._head_start)
            if secure.done() and secure.result() is None:
                return self._remember(SECURE)
            plain = asyncio.create_task(self._try(PLAIN))
            pending = {secure, plain} if not secure.done() else {plain}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                # Both at once: HTTPS is better.
                for task, scheme in ((secure, SECURE), (plain, PLAIN)):
                    if task in done and task.result() is None:
                        return self._remember(scheme)
            raise _neither(secure.result(), plain.result())
        finally:
            left = [task for task in (secure, plain) if task is not None and not task.done()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _remember(self, scheme: str) -> str:
        self.known = scheme
        return scheme

    async def _try(self, scheme: str) -> errors.OcisourceError | None:
        """None if the scheme works, else why not."""
        try:
            status = await self._probe(scheme)
        except errors.TransportError as error:
            return error
        if scheme == SECURE or status in _PLAIN_ANSWERS:
            return None
        return errors.RegistryError(f"plain HTTP is answered by status {status}", status=status)


def _neither(
    secure: errors.OcisourceError | None, plain: errors.OcisourceError | None
) -> errors.OcisourceError:
    """The error of HTTPS, which is what should work, with a word on plain HTTP."""
    assert secure is not None
    if plain is None:
        return secure
    return type(secure)(f"{secure} (and plain HTTP: {_tail(plain)})")


def _tail(error: errors.OcisourceError) -> str:
    """An error without its ``METHOD URL: ``, which stands before it already."""
    text = str(error)
    return text.partition(": ")[2] or text if text.startswith("GET ") else text
