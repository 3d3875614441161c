"""Listeners that cannot listen: one kind of line, with what to do."""

import errno
import os
import socket

import pytest

from ocisource import errors
from ocisource.net import listening

FREE = "choose another port, or 0 for a free one"
HERE = "choose an address of this machine"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EADDRINUSE, "what asyncio says"), f"address already in use; {FREE}"),
        (
            PermissionError(errno.EACCES, "what asyncio says"),
            "permission denied; choose a port above 1023, or 0 for a free one",
        ),
        (OSError(errno.EADDRNOTAVAIL, "…"), f"cannot assign requested address; {HERE}"),
        # What asyncio raises when it tried all addresses of a name.
        (OSError("could not bind on any address"), f"cannot assign requested address; {HERE}"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            f"name or service not known; {HERE}",
        ),
        (UnicodeError("label too long"), f"that is no host name; {HERE}"),
        (
            OSError(errno.ENOBUFS, "…"),
            f"{os.strerror(errno.ENOBUFS).lower()}; choose another address",
        ),
    ],
)
def test_a_listener_that_cannot_listen_says_where_why_and_what_to_do(
    error: Exception, told: str
) -> None:
    """In the system's words; what asyncio adds would repeat the address."""
    with (
        pytest.raises(errors.UsageError) as found,
        listening.at("127.0.0.1", 9440, flag="--health-addr"),
    ):
        raise error
    assert str(found.value) == f"cannot listen on 127.0.0.1:9440 (--health-addr): {told}"


def test_an_address_is_written_as_a_flag_takes_it() -> None:
    """Every interface has no host; IPv6 has brackets."""
    assert listening.shown("", 9440) == ":9440"
    assert listening.shown("::1", 9440) == "[::1]:9440"
