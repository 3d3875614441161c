"""Addresses: what clients on this machine are told, and who else is let in."""

import pytest

from ocisource.apiserver.identity import addresses


@pytest.mark.parametrize(
    ("host", "bound", "shown"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1", "localhost"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),  # noqa: S104 - compared, not bound
        ("::", "::", "::1"),
        ("::1", "::1", "::1"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_listener_is_reached_where_it_is_said_to_be(host: str, bound: str, shown: str) -> None:
    """The loopback of the same family stands in for every address."""
    assert addresses.reachable(host, bound) == shown


def test_the_loopback_is_told_from_the_rest() -> None:
    """Whatever is not known to be the loopback is warned of."""
    inside = ("localhost", "127.0.0.1", "127.8.8.8", "::1")
    outside = ("0.0.0.0", "::", "192.0.2.1", "localhost.example.com", "")  # noqa: S104
    assert all(map(addresses.is_loopback, inside))
    assert not any(map(addresses.is_loopback, outside))
