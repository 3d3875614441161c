"""Addresses to listen on: what they are called, and who reaches them."""

import ipaddress

LOOPBACK = "127.0.0.1"
LOOPBACK_6 = "::1"


def names(host: str) -> tuple[str, ...]:
    """What a certificate must call the host besides the loopback: nothing for every address."""
    return () if host in {"", "0.0.0.0", "::"} else (host,)  # noqa: S104 - compared, not bound


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(host: str, bound: str) -> str:
    """The name under which this machine's own clients reach the listener."""
    if host == "::":
        return LOOPBACK_6  # a listener of IPv6 alone, as asyncio opens it
    if host == "localhost":
        return host
    return bound if names(host) else LOOPBACK
