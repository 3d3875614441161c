"""``Link`` headers, as far as paging needs them.

Grammar (RFC 5988, 5; the same in RFC 8288, 3)::

    Link       = #link-value
    link-value = "<" URI-Reference ">" *( OWS ";" OWS link-param )
    link-param = token [ "=" ( token / quoted-string ) ]

The next page must stand on the same host: a registry may not send the client, and the credential
with it, somewhere else. A link whose scheme or port differs only because a proxy in front of the
registry speaks TLS for it is followed at the address the last page came from.
"""

import dataclasses
import re
import urllib.parse
from collections.abc import Iterable

from ocisource import errors
from ocisource.net import redact

HEADER_MAX = 16 * 1024  # characters of one header value that are looked at
_DEFAULT_PORTS = {"http": 80, "https": 443}

_TARGET = re.compile(r"[\s,]*<(?P<target>[^<>]*)>")
_PARAMETER = re.compile(
    r"\s*;\s*(?P<name>[^\s=;,\"<>]+)?\s*"
    r"(?:=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s;,\"]*)))?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A link: where it points (as sent) and its relations in lower case."""

    target: str
    relations: frozenset[str]


def parse(values: Iterable[str]) -> tuple[Link, ...]:
    """Links of all ``Link`` headers, in order; never raises, unreadable rest is passed over."""
    return tuple(link for value in values for link in _parse_value(value[:HEADER_MAX]))


def _parse_value(value: str) -> list[Link]:
    links = []
    position = 0
    while (start := value.find("<", position)) >= 0:
        target = _TARGET.match(value, start)
        if target is None:
            break
        position = target.end()
        relations: frozenset[str] | None = None
        while position < len(value) and (parameter := _PARAMETER.match(value, position)):
            position = parameter.end()
            # RFC 5988, 5.3: only the first rel counts.
            if (parameter["name"] or "").lower() == "rel" and relations is None:
                text = parameter["quoted"] or parameter["token"] or ""
                relations = frozenset(text.lower().split())
        links.append(Link(target["target"].strip(), relations or frozenset()))
    return links


def next_page(values: Iterable[str], *, page_url: str) -> str | None:
    """Absolute URL of the next page; None if this was the last.

    ``page_url`` is the page the headers came with. Raises ForbiddenAddressError for another host,
    RegistryError for a target that is no URL.
    """
    link = next((link for link in parse(values) if "next" in link.relations), None)
    if link is None or not link.target:
        return None
    try:
        page = urllib.parse.urlsplit(page_url)
        target = urllib.parse.urlsplit(urllib.parse.urljoin(page_url, link.target))
        is_same_host = (target.scheme, target.hostname) in {
            (scheme, page.hostname) for scheme in _DEFAULT_PORTS
        } and _port(target) == _port(page)
    except ValueError:
        raise errors.RegistryError(
            f"the registry sent a Link that is no URL: {redact.foreign(link.target)}", url=page_url
        ) from None
    if not is_same_host:
        raise errors.ForbiddenAddressError(
            f"refused to follow a Link from {page.hostname} to another host: "
            f"{redact.foreign(redact.url(link.target))}"
        )
    return urllib.parse.urlunsplit((page.scheme, page.netloc, target.path, target.query, ""))


def _port(parts: urllib.parse.SplitResult) -> int | None:
    """The port if it is not a scheme's default one."""
    return None if parts.port in _DEFAULT_PORTS.values() else parts.port
