"""Where an answer may send us: pure rules on URLs.

A registry names places in `Location`, in a challenge's realm and in descriptors. The rules here
judge the text; what a name resolves to is judged at the moment of the connection (``guard.py``).

1. Never from https to http, never to another scheme, never with a user in the URL.
2. A realm is https, or http for a registry that is itself spoken to over http.
3. A credential goes over plain HTTP only with `insecure`, or to this machine.
4. A `Location` with the registry's own name is reached the way the registry is reached, whatever
   scheme or port the proxy in front of it made it believe.

GHSA-28r5-37g7-p6mp, GHSA-xf85-363p-868w (realms), GHSA-jxpm-75mh-9fp7 (upload locations),
GHSA-vh4v-2xq2-g5cg (redirects).
"""

import contextlib
import urllib.parse

from ocisource import errors
from ocisource.net import address, redact

DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """Scheme, bare host and port of a URL, to compare; raises TransportError."""
    with contextlib.suppress(ValueError):
        parts = urllib.parse.urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        return parts.scheme, (parts.hostname or "").lower(), port
    raise errors.TransportError(f"no URL: {redact.foreign(url)}")


def redirect_target(url: str, location: str) -> str:
    """Absolute target of a redirect from ``url``; raises ForbiddenAddressError, TransportError."""
    target = _joined(url, location)
    parts = urllib.parse.urlsplit(target)
    if parts.scheme not in DEFAULT_PORTS or (
        parts.scheme == "http" and not url.startswith("http:")
    ):
        raise errors.ForbiddenAddressError(
            f"refused to go on from {redact.url(url)} to {redact.url(target)}"
        )
    if parts.username is not None or parts.password is not None:
        raise errors.ForbiddenAddressError(
            f"refused to go on from {redact.url(url)}: the target holds a user"
        )
    return urllib.parse.urlunsplit(parts._replace(fragment=""))


def location(url: str, text: str) -> str:
    """Where the `Location` of an upload leads, as rule 4 has it; raises as redirect_target()."""
    here = urllib.parse.urlsplit(url)
    target = urllib.parse.urlsplit(_joined(url, text))
    is_same_place = target.hostname == here.hostname and (
        target.port == here.port or target.port in {None, *DEFAULT_PORTS.values()}
    )
    if is_same_place and target.scheme in DEFAULT_PORTS:
        return target._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()
    return redirect_target(url, text)


def check_realm(realm: str, *, registry: str) -> None:
    """Raise ForbiddenAddressError unless a realm may be asked for a token.

    ``registry`` is the base URL of the registry that named it.
    """
    where = redact.url(realm.partition("?")[0])
    name = address.split_port(urllib.parse.urlsplit(registry).netloc)[0]
    try:
        parts = urllib.parse.urlsplit(realm)
        is_usable = bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise errors.ForbiddenAddressError(
            f"{name} names a realm that cannot be used: {redact.foreign(where)}"
        )
    if parts.scheme == "https" or (parts.scheme == "http" and registry.startswith("http:")):
        return
    raise errors.ForbiddenAddressError(f"{name} names a realm that is not https: {where}")


def check_clear(url: str, *, is_insecure: bool) -> None:
    """Raise CredentialError if a credential would go over the network in the clear."""
    scheme, name, _ = origin_of(url)
    if scheme == "https" or is_insecure or address.kind_of_host(name) is address.Kind.LOOPBACK:
        return
    raise errors.CredentialError(
        f"refused to send a credential to {name} over plain HTTP; "
        "set insecure to allow it, or give the registry TLS"
    )


def _joined(url: str, text: str) -> str:
    try:
        target = urllib.parse.urljoin(url, text)
        urllib.parse.urlsplit(target).port  # noqa: B018 - raises ValueError for a bad port
    except ValueError:
        raise errors.TransportError(
            f"{redact.url(url)} leads to something that is no URL: {redact.foreign(text)}"
        ) from None
    return target
