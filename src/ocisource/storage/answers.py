"""The bytes of the file server's answers: status lines, header lines, multipart bodies."""

import dataclasses
import email.utils
from collections.abc import Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from ocisource.storage import filecache, preconditions

NOT_FOUND = b"404 page not found\n"
_HTTP_11 = (1, 1)
_PLAIN = "Content-Type: text/plain; charset=utf-8\r\n"


class Heads:
    """Puts header blocks together; the Date is formatted once a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = -1
        self._common: dict[tuple[HTTPStatus, str], bytes] = {}

    def head(self, status: HTTPStatus, fields: bytes, connection: str) -> bytes:
        """A complete header block: status, Date, Connection, then ``fields``."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._common.clear()
        common = self._common.get((status, connection))
        if common is None:
            date = email.utils.formatdate(second, usegmt=True)
            line = f"HTTP/1.1 {status} {status.phrase}\r\nDate: {date}\r\n{connection}"
            common = self._common[status, connection] = line.encode()
        return b"%b%b\r\n" % (common, fields)


def connection(request: web.BaseRequest, *, is_kept: bool) -> str:
    """The Connection line where the default of the client's HTTP version does not hold."""
    is_recent = request.version >= _HTTP_11
    if is_kept == is_recent:
        return ""
    return "Connection: keep-alive\r\n" if is_kept else "Connection: close\r\n"


def short(status: HTTPStatus) -> tuple[bytes, bytes]:
    """Header lines and body of an answer without a file."""
    body = NOT_FOUND if status == HTTPStatus.NOT_FOUND else f"{status} {status.phrase}\n".encode()
    if status == HTTPStatus.OK:
        body = b""
    allow = "Allow: GET, HEAD\r\n" if status == HTTPStatus.METHOD_NOT_ALLOWED else ""
    return f"Content-Length: {len(body)}\r\n{_PLAIN}{allow}".encode(), body


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to send as they are, then a span of the file."""

    text: bytes
    span: preconditions.Span


def partial(
    found: filecache.Entry, spans: Sequence[preconditions.Span], *, boundary: str
) -> tuple[bytes, Sequence[Piece], bytes]:
    """Header lines, pieces and end of a 206 answer: one range as it is, several as multipart."""
    size = found.subject.size
    lines = filecache.validators(found.subject)
    if len(spans) == 1:
        span = spans[0]
        fields = (
            f"Content-Length: {span.length}\r\nContent-Type: {found.content_type}\r\n"
            f"Content-Range: {span.content_range(size)}\r\n{lines}"
        )
        return fields.encode(), [Piece(b"", span)], b""
    pieces = [
        Piece(
            (
                f"\r\n--{boundary}\r\nContent-Type: {found.content_type}\r\n"
                f"Content-Range: {span.content_range(size)}\r\n\r\n"
            ).encode(),
            span,
        )
        for span in spans
    ]
    end = f"\r\n--{boundary}--\r\n".encode()
    total = sum(len(piece.text) + piece.span.length for piece in pieces) + len(end)
    fields = (
        f"Content-Length: {total}\r\n"
        f"Content-Type: multipart/byteranges; boundary={boundary}\r\n{lines}"
    )
    return fields.encode(), pieces, end


def unsatisfiable(subject: preconditions.Representation) -> bytes:
    """Header lines of a 416 answer."""
    return (
        f"Content-Length: 0\r\nContent-Range: bytes */{subject.size}\r\n"
        f"{filecache.validators(subject)}"
    ).encode()
