"""One request to the file server and the answer to it."""

import secrets
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from ocisource.storage import answers, filecache, preconditions, transmission


class Exchange:
    """One request and its answer."""

    __slots__ = ("_connection", "_heads", "_is_head", "_request", "_way")

    def __init__(
        self,
        request: web.BaseRequest,
        *,
        heads: answers.Heads,
        connection: str,
        way: transmission.Transmission,
    ) -> None:
        self._request = request
        self._is_head = request.method == "HEAD"
        self._heads = heads
        self._connection = connection
        self._way = way

    async def short(self, status: HTTPStatus) -> None:
        """Answer without a file."""
        fields, body = answers.short(status)
        await self._send(status, fields, body)

    async def _send(self, status: HTTPStatus, fields: bytes, body: bytes = b"") -> None:
        head = self._heads.head(status, fields, self._connection)
        await self._way.send(head if self._is_head else head + body)

    async def file(self, found: filecache.Entry, descriptor: int | None) -> None:
        """Answer with a file: whole, in parts, or not at all if the conditions say so."""
        headers = self._request.headers
        verdict = preconditions.judge(headers, found.subject)
        if verdict is preconditions.Verdict.NOT_MODIFIED:
            fields = filecache.validators(found.subject).encode()
            await self._send(HTTPStatus.NOT_MODIFIED, fields)
        elif verdict is preconditions.Verdict.FAILED:
            await self.short(HTTPStatus.PRECONDITION_FAILED)
        elif self._is_head or "Range" not in headers:
            await self._whole(found, descriptor)
        else:
            try:
                spans = preconditions.spans(headers, found.subject)
            except preconditions.UnsatisfiableError:
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                await self._send(status, answers.unsatisfiable(found.subject))
            else:
                await self._parts(found, spans, descriptor)

    async def _whole(self, found: filecache.Entry, descriptor: int | None) -> None:
        await self._send(HTTPStatus.OK, found.head, found.body or b"")
        if descriptor is not None and not self._is_head:
            await self._way.send_file(descriptor, offset=0, count=found.subject.size)

    async def _parts(
        self,
        found: filecache.Entry,
        spans: Sequence[preconditions.Span] | None,
        descriptor: int | None,
    ) -> None:
        if spans is None:
            return await self._whole(found, descriptor)
        boundary = secrets.token_hex(16)
        fields, pieces, end = answers.partial(found, spans, boundary=boundary)
        head = self._heads.head(HTTPStatus.PARTIAL_CONTENT, fields, self._connection)
        for piece in pieces:
            offset, length = piece.span.offset, piece.span.length
            body = b"" if found.body is None else found.body[offset : offset + length]
            await self._way.send(head + piece.text + body)
            head = b""
            if descriptor is not None:
                await self._way.send_file(descriptor, offset=offset, count=length)
        return await self._way.send(end)
