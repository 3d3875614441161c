"""A registry's answers: read within bounds, and turned into errors.

Error texts have the shape that users of other registry clients know::

    {METHOD} {URL}: {CODE}: {message}[; {detail}]
    {METHOD} {URL}: multiple errors returned: {CODE}: {message}; {CODE}: {message}
    {METHOD} {URL}: unexpected status code 404 Not Found: {body}

URLs are redacted, and at most 256 printable characters of a body are shown.
"""

import dataclasses
import http
import re
from typing import Any

import aiohttp
import msgspec
import multidict
import yarl

from ocisource import errors
from ocisource.net import redact
from ocisource.oci.grammar import manifest
from ocisource.oci.hosts import failures

_CHUNK = 64 * 1024  # bytes read at once
_CODES_MAX = 8  # errors of one body that are shown
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_JSON_STARTS = (b"{", b"[")
_SNIFFED = 64  # bytes of a body that are looked at
_HTML_STARTS = frozenset({b"<html", b"<!doc"})
HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; ``address`` is where it came from in the end."""

    method: str
    address: yarl.URL
    status: int
    headers: multidict.CIMultiDictProxy[str] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(default=b"", repr=False)  # a token, perhaps

    @property
    def url(self) -> str:
        """Where it came from, not redacted."""
        return str(self.address)

    @property
    def content_type(self) -> str:
        """The bare media type, "" if the answer has none."""
        return manifest.bare_media_type(self.headers.get("Content-Type", ""))

    @property
    def is_html(self) -> bool:
        """Whether this is a page for humans: some front-ends send one with status 200."""
        if self.content_type in HTML_TYPES:
            return True
        return self.body[:_SNIFFED].lstrip()[:5].lower() in _HTML_STARTS

    @property
    def link_values(self) -> list[str]:
        """All ``Link`` headers."""
        return self.headers.getall("Link", [])

    @property
    def where(self) -> str:
        """Method and redacted URL, for texts."""
        return f"{self.method} {redact.url(self.url)}"


class _Diagnostic(msgspec.Struct):
    code: str = ""
    message: str | None = None
    detail: Any = None

    def __str__(self) -> str:
        text = f"{self.code}: {self.message or ''}".rstrip(": ")
        if self.detail in (None, "", {}, []):
            return text
        shown = (
            self.detail
            if isinstance(self.detail, str)
            else msgspec.json.encode(self.detail).decode()
        )
        return f"{text}; {shown}"


class _Diagnostics(msgspec.Struct):
    errors: list[_Diagnostic] = []


def bare(response: aiohttp.ClientResponse) -> Answer:
    """A response that has no body."""
    return Answer(
        method=response.method,
        address=response.url,
        status=response.status,
        headers=response.headers,
    )


async def read(response: aiohttp.ClientResponse, *, bound: int, what: str) -> Answer:
    """Read a response to its end and free its connection.

    Raises ContentError if the body is longer than ``bound`` bytes (``what`` names it), and
    TransportError if the connection breaks.
    """
    method, url = response.method, str(response.url)
    chunks: list[bytes] = []
    size = 0
    try:
        with failures.translated(method, url):
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > bound:
                    raise errors.ContentError(
                        f"{method} {redact.url(url)}: {what} is bigger than {bound} bytes"
                    )
                chunks.append(chunk)
    finally:
        # Closes the connection unless the body was read to its end.
        response.release()
    return Answer(
        method=method,
        address=response.url,
        status=response.status,
        headers=response.headers,
        body=b"".join(chunks),
    )


async def read_head(response: aiohttp.ClientResponse, *, bound: int) -> Answer:
    """Read at most the first ``bound`` bytes of an error's body, and free the connection."""
    method, url = response.method, str(response.url)
    body = b""
    try:
        with failures.translated(method, url):
            while len(body) < bound:
                chunk = await response.content.read(bound - len(body))
                if not chunk:
                    break
                body += chunk
    except errors.TransportError:
        pass  # the status is the message; a broken body takes nothing from it
    finally:
        response.release()
    return Answer(
        method=method,
        address=response.url,
        status=response.status,
        headers=response.headers,
        body=body,
    )


def refusal(
    answer: Answer,
    *,
    retry_after: float | None = None,
    hint: str = "",
    kind: type[errors.RegistryError] | None = None,
) -> errors.RegistryError:
    """The error that an answer is; ``hint`` says what the user can do about it.

    ``kind`` is the error's class where the status alone would mislead.
    """
    diagnostics = _diagnostics(answer.body)
    codes = tuple(each.code for each in diagnostics if _CODE.fullmatch(each.code))
    if not diagnostics:
        text = _unexpected(answer, has_hint=bool(hint))
    else:
        text = redact.foreign("; ".join(str(each) for each in diagnostics))
        if len(diagnostics) > 1:
            text = f"multiple errors returned: {text}"
    if hint:
        text = f"{text} ({hint})"
    kind = kind or _kind(answer)
    return kind(
        f"{answer.where}: {text}",
        method=answer.method,
        url=redact.url(answer.url),
        status=answer.status,
        codes=codes,
        retry_after=retry_after,
    )


def _kind(answer: Answer) -> type[errors.RegistryError]:
    status = answer.status
    if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
        return errors.UnauthorizedError
    # A web server that is no registry knows no repository either: that is not what it says.
    if status == http.HTTPStatus.NOT_FOUND and not answer.is_html:
        return errors.NotFoundError
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return errors.TooManyRequestsError
    return errors.RegistryError


def _diagnostics(body: bytes) -> list[_Diagnostic]:
    if not body.lstrip()[:1].startswith(_JSON_STARTS):
        return []
    try:
        return msgspec.json.decode(body, type=_Diagnostics).errors[:_CODES_MAX]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []


def _unexpected(answer: Answer, *, has_hint: bool) -> str:
    try:
        phrase = http.HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    text = f"unexpected status code {answer.status} {phrase}".rstrip()
    if answer.method == "HEAD":
        if has_hint:
            return text
        return f"{text} (HEAD responses have no body, use GET for details)"
    if answer.is_html:
        return f"{text} (the answer is an HTML page, not a registry's)"
    body = redact.foreign(answer.body)
    return f"{text}: {body}" if body else text


def not_json(answer: Answer, what: str, *, is_secret: bool = False) -> errors.RegistryError:
    """The error for a good status whose body is not what was asked for.

    ``is_secret``: the body may hold a credential, and is not shown.
    """
    if answer.is_html:
        found = "an HTML page"
    elif is_secret:
        found = f"{len(answer.body)} bytes that are none"
    else:
        found = f"'{redact.foreign(answer.body)}'"
    return errors.RegistryError(
        f"{answer.where}: expected {what}, got {found}; is this address a registry?",
        method=answer.method,
        url=redact.url(answer.url),
        status=answer.status,
    )
