"""Which kind of place an address is, and who may be sent there.

A registry names other places: redirect targets, token realms, descriptor URLs. None of them may
turn this process into a way around a firewall, so each is judged twice: by its literal, before a
request is built, and by the address its name resolved to, before a connection is made.

Rules, first match wins (``check``):

1. A metadata address (a cloud's credential service) is never contacted.
2. A link-local address is contacted only if the registry's own host is that literal's kind.
3. For places a registry named (redirects, realms): loopback only from a registry on loopback,
   private only from a registry on a private network or on loopback.

An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, Teredo) is judged as the IPv4 address.

Example::

    >>> kind_of_host("10.0.0.1"), kind_of_host("example.com")
    (<Kind.PRIVATE: 'private'>, <Kind.NAME: 'name'>)
"""

import enum
import ipaddress

from ocisource import errors

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Kind(enum.Enum):
    """Where an address leads."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    UNUSABLE = "unusable"  # multicast, broadcast, reserved: no registry is there
    NAME = "name"  # not a literal: known only once it is resolved


# Credential services of AWS (and most others), ECS tasks, EKS pods, Alibaba, Azure, Oracle.
_METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})

_RFC1918 = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
# RFC 6598: what carriers and some clouds use inside, not reachable from outside.
_CARRIER = ipaddress.IPv4Network("100.64.0.0/10")
# RFC 6052: the IPv4 address stands in the last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
# RFC 4193, and the site-local range it replaced.
_UNIQUE_LOCAL = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fec0::/10"))
_LOCALHOST = "localhost"


def split_port(host: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` into the bare host (brackets off) and the port, None if absent.

    Raises ValueError if the part after the colon is no port.
    """
    if host.startswith("["):
        bare, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("not a host with an optional port")
        return bare, _port(rest[1:]) if rest else None
    if host.count(":") > 1:
        raise ValueError("not a host with an optional port")
    bare, colon, port = host.partition(":")
    return bare, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):  # noqa: PLR2004 - 65535
        raise ValueError("not a port between 1 and 65535")
    number = int(text)
    if not 0 < number < 1 << 16:
        raise ValueError("not a port between 1 and 65535")
    return number


def literal(host: str) -> IPAddress | None:
    """The address that a bare host (no port, brackets optional) spells out; None for a name.

    Only the canonical spellings count: ``127.1`` or ``0x7f000001`` are names here, and are judged
    by what they resolve to.
    """
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def kind_of_host(host: str) -> Kind:
    """Kind of a bare host as written: literals by their address, names by a few known ones."""
    address = literal(host)
    if address is not None:
        return kind_of(address)
    name = host.rstrip(".").lower()
    if name in _METADATA_NAMES:
        return Kind.METADATA
    if name == _LOCALHOST or name.endswith("." + _LOCALHOST):  # RFC 6761, 6.3
        return Kind.LOOPBACK
    return Kind.NAME


def kind_of(address: IPAddress) -> Kind:
    """Kind of an address, looking through IPv4 addresses carried inside IPv6 ones."""
    if address in _METADATA_ADDRESSES:
        return Kind.METADATA
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded(address)
        return _kind_of_v6(address) if embedded is None else kind_of(embedded)
    if address.is_loopback or address in ipaddress.IPv4Network("0.0.0.0/8"):
        return Kind.LOOPBACK  # Linux connects 0.0.0.0 to this machine
    if address.is_link_local:
        return Kind.LINK_LOCAL
    if address in _CARRIER or any(address in network for network in _RFC1918):
        return Kind.PRIVATE
    if address.is_multicast or address.is_reserved:
        return Kind.UNUSABLE
    return Kind.PUBLIC


def _kind_of_v6(address: ipaddress.IPv6Address) -> Kind:
    if address.is_loopback or address.is_unspecified:
        return Kind.LOOPBACK
    if address.is_link_local:
        return Kind.LINK_LOCAL
    if any(address in network for network in _UNIQUE_LOCAL):
        return Kind.PRIVATE
    return Kind.UNUSABLE if address.is_multicast else Kind.PUBLIC


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address.is_loopback or address.is_unspecified:
        return None
    if address in _NAT64 or address in _IPV4_COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def is_plain_http_host(host: str) -> bool:
    """Whether plain HTTP is allowed to a bare host without ``insecure``.

    Loopback literals, RFC 1918 IPv4 literals, ``localhost`` and names below it: traffic to them
    stays on this machine or on a network its owner chose. Judged on the host itself, so
    ``127.0.0.1.example.com`` is an ordinary name.
    """
    if kind_of_host(host) is Kind.LOOPBACK:
        return True
    address = literal(host)
    return isinstance(address, ipaddress.IPv4Address) and any(
        address in network for network in _RFC1918
    )


def check(target: Kind, *, registry: Kind, is_named_by_registry: bool, where: str) -> None:
    """Raise ForbiddenAddressError if a place of kind ``target`` must not be contacted.

    ``registry`` is the kind of the registry's own host (its literal, or what it resolved to; NAME
    while unknown, which allows the least), ``is_named_by_registry`` says that the place comes from
    a redirect, realm or URL in an answer, and ``where`` names it for the message (no credentials).
    """
    if target in {Kind.METADATA, Kind.UNUSABLE}:
        is_refused = True
    elif target is Kind.LINK_LOCAL:
        is_refused = registry is not Kind.LINK_LOCAL
    elif target is Kind.LOOPBACK:
        is_refused = is_named_by_registry and registry is not Kind.LOOPBACK
    elif target is Kind.PRIVATE:
        is_refused = is_named_by_registry and registry not in {Kind.PRIVATE, Kind.LOOPBACK}
    else:
        is_refused = False
    if is_refused:
        raise errors.ForbiddenAddressError(
            f"refused to contact {where}: it leads to a {target.value} address"
        )
