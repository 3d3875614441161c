"""Text from outside, made fit for logs, events and conditions.

Two rules: of a URL neither userinfo nor query values are shown (presigned storage URLs carry their
credential there), except the few parameters known to be harmless; of a foreign body at most 256
printable characters are shown, on one line.

Example::

    >>> url("https://u:p@host/v2/?n=10&sig=abc")
    'https://redacted@host/v2/?n=10&sig=redacted'
"""

import re

FOREIGN_CHARACTERS = 256  # characters of a foreign text that are shown
_URL_CHARACTERS = 2048  # characters of a URL that are shown
_MARK = "redacted"

# What the distribution spec and the token spec put into queries.
_HARMLESS = frozenset(
    {"n", "last", "next_page", "service", "scope", "mount", "from", "digest", "artifactType"}
)
_USERINFO = re.compile(r"(?P<before>^|//)[^/?#]*@")
_EMBEDDED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")


def url(text: str) -> str:
    """A URL without userinfo, fragment and query values that may be credentials, on one line."""
    shown = _one_line(text, _URL_CHARACTERS)
    shown, _, _ = shown.partition("#")
    address, question, query = shown.partition("?")
    address = _USERINFO.sub(rf"\g<before>{_MARK}@", address, count=1)
    return address + question + "&".join(_parameter(part) for part in query.split("&"))


def _parameter(part: str) -> str:
    name, equals, _ = part.partition("=")
    # A part without "=" may itself be the credential (S3-like "?{signature}").
    if name in _HARMLESS or not part:
        return part
    return f"{name}={_MARK}" if equals else _MARK


def foreign(body: bytes | str) -> str:
    """At most 256 printable characters of a body that came from outside, on one line.

    Bytes that are not UTF-8 and characters that are not printable become one space; URLs inside
    are redacted.
    """
    if isinstance(body, bytes):
        # Bounded before decoding: a body may be megabytes, a character is at most 4 bytes.
        body = body[: FOREIGN_CHARACTERS * 16].decode("utf-8", errors="replace")
    body = _EMBEDDED_URL.sub(lambda match: url(match.group()), body[: FOREIGN_CHARACTERS * 16])
    return _one_line(body, FOREIGN_CHARACTERS)


def _one_line(text: str, limit: int) -> str:
    head = text[: limit * 16]
    printable = "".join(char if char.isprintable() and char != "�" else " " for char in head)
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
