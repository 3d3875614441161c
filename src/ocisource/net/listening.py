"""Listeners: how their addresses are written, and what is wrong with one that cannot be had.

Every listener refuses in the same words, with the flag that names its address::

    cannot listen on 127.0.0.1:9440 (--health-addr): address already in use; choose another port, …
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from ocisource import errors

_ELSEWHERE = "choose an address of this machine"
_HINTS = {
    errno.EADDRINUSE: "choose another port, or 0 for a free one",
    errno.EACCES: "choose a port above 1023, or 0 for a free one",
    errno.EADDRNOTAVAIL: _ELSEWHERE,
}


def shown(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def at(host: str, port: int, *, flag: str) -> Iterator[None]:
    """The body begins to listen there; raises UsageError with the ``flag`` when it cannot."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        reason, hint = _reason(error)
        raise errors.UsageError(
            f"cannot listen on {shown(host, port)} ({flag}): {reason}; {hint}"
        ) from error


def _reason(error: OSError | UnicodeError) -> tuple[str, str]:
    """What is wrong, and what to do: asyncio's own text repeats the address."""
    if isinstance(error, UnicodeError):
        return "that is no host name", _ELSEWHERE
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower(), _ELSEWHERE
    # asyncio tells no number when none of a name's addresses is this machine's.
    number = error.errno or errno.EADDRNOTAVAIL
    return os.strerror(number).lower(), _HINTS.get(number, "choose another address")
