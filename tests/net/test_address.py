"""Addresses are told apart, and nobody is sent where he must not go."""

import contextlib
import ipaddress

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.net import address
from ocisource.net.address import Kind
from tests.parts import fuzz


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("8.8.8.8", Kind.PUBLIC),
        ("2606:4700::1111", Kind.PUBLIC),
        ("127.0.0.1", Kind.LOOPBACK),
        ("127.255.0.9", Kind.LOOPBACK),
        ("0.0.0.0", Kind.LOOPBACK),  # noqa: S104 - this machine, to whoever connects
        ("::1", Kind.LOOPBACK),
        ("[::1]", Kind.LOOPBACK),
        ("::", Kind.LOOPBACK),
        ("localhost", Kind.LOOPBACK),
        ("LocalHost.", Kind.LOOPBACK),
        ("reg.localhost", Kind.LOOPBACK),
        ("10.0.0.1", Kind.PRIVATE),
        ("172.16.0.1", Kind.PRIVATE),
        ("172.31.255.255", Kind.PRIVATE),
        ("172.32.0.1", Kind.PUBLIC),
        ("192.168.0.1", Kind.PRIVATE),
        ("100.64.0.1", Kind.PRIVATE),
        ("fd00::1", Kind.PRIVATE),
        ("fec0::1", Kind.PRIVATE),
        ("169.254.0.1", Kind.LINK_LOCAL),
        ("fe80::1", Kind.LINK_LOCAL),
        ("169.254.169.254", Kind.METADATA),
        ("169.254.170.2", Kind.METADATA),
        ("100.100.100.200", Kind.METADATA),
        ("168.63.129.16", Kind.METADATA),
        ("fd00:ec2::254", Kind.METADATA),
        ("metadata.google.internal", Kind.METADATA),
        ("METADATA.google.internal.", Kind.METADATA),
        ("224.0.0.1", Kind.UNUSABLE),
        ("255.255.255.255", Kind.UNUSABLE),
        ("240.0.0.1", Kind.UNUSABLE),
        ("ff02::1", Kind.UNUSABLE),
        ("ghcr.io", Kind.NAME),
        ("127.0.0.1.example.com", Kind.NAME),
        ("localhost.example.com", Kind.NAME),
        ("127.1", Kind.NAME),
        ("2130706433", Kind.NAME),
        ("0x7f.0.0.1", Kind.NAME),
        ("", Kind.NAME),
        # An IPv4 address inside an IPv6 one is judged as what it is.
        ("::ffff:127.0.0.1", Kind.LOOPBACK),
        ("::ffff:10.0.0.1", Kind.PRIVATE),
        ("::ffff:169.254.169.254", Kind.METADATA),
        ("::127.0.0.1", Kind.LOOPBACK),
        ("64:ff9b::a9fe:a9fe", Kind.METADATA),
        ("64:ff9b::808:808", Kind.PUBLIC),
        ("2002:7f00:1::", Kind.LOOPBACK),
        ("2002:0a00:1::", Kind.PRIVATE),
        ("2001:0:4136:e378:8000:63bf:5601:5601", Kind.METADATA),  # Teredo, the address inverted
    ],
)
def test_hosts_have_kinds(host: str, expected: Kind) -> None:
    """Literals by their address, a few names by themselves, all others unknown."""
    assert address.kind_of_host(host) is expected


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("reg.localhost", True),
        ("10.1.2.3", True),
        ("172.20.0.1", True),
        ("192.168.1.1", True),
        ("100.64.0.1", False),
        ("169.254.1.1", False),
        ("fd00::1", False),
        ("reg.local", False),
        ("ghcr.io", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_plain_http_is_for_loopback_and_private_literals(host: str, *, is_allowed: bool) -> None:
    """The list of the behaviour reference, judged on the parsed host."""
    assert address.is_plain_http_host(host) is is_allowed


# Kind of the target, kind of the registry, named by the registry: refused?
REFUSED = [
    (Kind.PUBLIC, Kind.PUBLIC, True, False),
    (Kind.NAME, Kind.PUBLIC, True, False),
    (Kind.LOOPBACK, Kind.LOOPBACK, False, False),
    (Kind.LOOPBACK, Kind.NAME, False, False),
    (Kind.LOOPBACK, Kind.LOOPBACK, True, False),
    (Kind.LOOPBACK, Kind.PRIVATE, True, True),
    (Kind.LOOPBACK, Kind.PUBLIC, True, True),
    (Kind.LOOPBACK, Kind.NAME, True, True),
    (Kind.PRIVATE, Kind.PUBLIC, False, False),
    (Kind.PRIVATE, Kind.PRIVATE, True, False),
    (Kind.PRIVATE, Kind.LOOPBACK, True, False),
    (Kind.PRIVATE, Kind.PUBLIC, True, True),
    (Kind.PRIVATE, Kind.NAME, True, True),
    (Kind.LINK_LOCAL, Kind.NAME, False, True),
    (Kind.LINK_LOCAL, Kind.PRIVATE, True, True),
    (Kind.LINK_LOCAL, Kind.LINK_LOCAL, False, False),
    (Kind.METADATA, Kind.LINK_LOCAL, False, True),
    (Kind.METADATA, Kind.METADATA, False, True),
    (Kind.METADATA, Kind.LOOPBACK, True, True),
    (Kind.UNUSABLE, Kind.NAME, False, True),
]


@pytest.mark.parametrize(("target", "registry", "is_named", "is_refused"), REFUSED)
def test_attack_forbidden_places_are_refused(
    target: Kind, registry: Kind, *, is_named: bool, is_refused: bool
) -> None:
    """A registry cannot send its client to a place that it could not reach itself."""
    context: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if is_refused:
        text = f"^refused to contact https://x/y: it leads to a {target.value} address$"
        context = pytest.raises(errors.ForbiddenAddressError, match=text)
    with context:
        address.check(target, registry=registry, is_named_by_registry=is_named, where="https://x/y")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ghcr.io", ("ghcr.io", None)),
        ("ghcr.io:443", ("ghcr.io", 443)),
        ("[::1]", ("::1", None)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_ports_are_split_off(host: str, expected: tuple[str, int | None]) -> None:
    """Names and bracketed IPv6 literals."""
    assert address.split_port(host) == expected


@pytest.mark.parametrize(
    "host", ["a:", "a:0", "a:65536", "a:x", "a:1:2", "::1", "[::1", "[::1]5", "a:\u0661", "a:+1"]
)
def test_what_is_no_port_raises(host: str) -> None:
    """ValueError, which callers turn into an error of theirs."""
    with pytest.raises(ValueError, match=r"^not a (port|host) "):
        address.split_port(host)


@fuzz.counted()
@hypothesis.given(packed=strategies.integers(0, 2**32 - 1))
def test_an_embedded_address_is_never_judged_milder(packed: int) -> None:
    """Property: mapped and NAT64 forms have the kind of the IPv4 address inside."""
    inner = ipaddress.IPv4Address(packed)
    kind = address.kind_of(inner)
    prefixes = (0xFFFF << 32, int(ipaddress.IPv6Address("64:ff9b::")))
    for prefix in prefixes:
        assert address.kind_of(ipaddress.IPv6Address(prefix | packed)) is kind


@fuzz.counted()
@hypothesis.given(host=strategies.text())
def test_any_host_has_a_kind(host: str) -> None:
    """Fuzz: no host raises."""
    assert address.kind_of_host(host) in Kind
    assert address.is_plain_http_host(host) in {True, False}
