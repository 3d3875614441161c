"""Blobs: streamed, verified, taken up again after a cut.

Rules:

1. A descriptor with inline `data` needs no request.
2. Size and sha256 of the descriptor are what counts; a `Content-Length` is not believed (Harbor
   sends wrong ones): too small a one is a cut, too big a one is a broken connection after the end.
3. After a cut the rest is asked for with `Range`; a registry that answers with the whole blob again
   is read from its beginning, and what we have already is passed over.
4. If the registry refuses, the descriptor's first few `urls` are tried in order, without
   credentials.
5. The last chunk is given out before the checks: nothing may be used before the iterator has ended.
"""

import contextlib
import http
import re
from collections.abc import AsyncGenerator, AsyncIterator

import aiohttp
import msgspec

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import redact
from ocisource.oci.grammar import manifest, reference
from ocisource.oci.hosts import answers, failures
from ocisource.oci.transport import transport

CHUNK = 256 * 1024  # bytes given out at once, at most
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d{1,19})-\d{1,19}/(?:\d{1,19}|\*)")


async def stream(
    connection: transport.Transport,
    repository: reference.Repository,
    descriptor: manifest.Descriptor,
    *,
    scope: str,
) -> AsyncGenerator[bytes, None]:
    """The blob's bytes; raises ContentError at the end if size or sha256 differ.

    Raises NotFoundError, UnauthorizedError, TooManyRequestsError, RegistryError, TransportError.
    """
    inline = descriptor.inline()
    if inline is not None:
        yield inline
        return
    path = f"/v2/{repository.path}/blobs/{descriptor.digest}"
    sources = [transport.Request(method="GET", path=path, scope=scope)]
    urls = descriptor.urls[: connection.settings.blob_urls]
    sources += [transport.Request(method="GET", path=url) for url in urls]
    verifier = digests.Verifier(expected=descriptor.digest, expected_size=descriptor.size)
    first_error: errors.OcisourceError | None = None
    for source in sources:
        try:
            async with contextlib.aclosing(_from(connection, source, verifier)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except errors.TooManyRequestsError:
            raise
        except (errors.RegistryError, errors.TransportError) as error:
            first_error = first_error or error  # what the registry itself said is worth showing
        else:
            verifier.finish()
            return
    assert first_error is not None
    raise first_error


async def _from(
    connection: transport.Transport, source: transport.Request, verifier: digests.Verifier
) -> AsyncGenerator[bytes, None]:
    """What is missing of a blob, from one source, through as many cuts as the settings allow."""
    resumes = 0
    while True:
        start = verifier.size
        request = source
        if start:
            request = msgspec.structs.replace(source, headers={"Range": f"bytes={start}-"})
        cut: errors.TransportError | None = None
        async with connection.open(request) as response:
            position = await _position(connection, response, start=start)
            if position is None:
                return
            try:
                async for chunk in _body(response):
                    # What a source without Range sends again has been given out already.
                    fresh = chunk[max(0, start - position) :] if position < start else chunk
                    position += len(chunk)
                    if fresh:
                        verifier.update(fresh)
                        yield fresh
                    if _is_complete(verifier):
                        return
            except (errors.ConnectionLostError, errors.DeadlineError) as error:
                cut = error
        has_moved = verifier.size > start
        if verifier.size >= verifier.expected_size or (cut is None and not has_moved):
            return  # it ends here; finish() says what is wrong
        resumes += 1
        if resumes > connection.settings.resumes:
            raise cut or errors.TransportError(
                f"GET {redact.url(request.path)}: the blob came in more than {resumes} pieces"
            )
        await connection.pause(0 if has_moved else resumes - 1)


def _is_complete(verifier: digests.Verifier) -> bool:
    """Whether all is here and right; what a wrong Content-Length still promises is not awaited."""
    return verifier.size == verifier.expected_size and verifier.digest == verifier.expected


async def _position(
    connection: transport.Transport, response: aiohttp.ClientResponse, *, start: int
) -> int | None:
    """The offset of a response's first byte; None if there is nothing behind ``start``.

    Raises RegistryError for a refusal, and for an answer that is no part of a blob.
    """
    if response.status == http.HTTPStatus.OK and _is_page(response):
        answer = await answers.read_head(response, bound=connection.settings.error_size)
        raise answers.not_json(answer, "a blob")
    if response.status == http.HTTPStatus.OK:
        return 0
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is not None and int(found["first"]) <= start:
            return int(found["first"])
        raise errors.RegistryError(
            f"GET {redact.url(str(response.url))}: asked for bytes from {start} on, got other ones",
            method="GET",
            url=redact.url(str(response.url)),
            status=response.status,
        )
    if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        return None
    answer = await answers.read_head(response, bound=connection.settings.error_size)
    raise connection.refusal(answer)


def _is_page(response: aiohttp.ClientResponse) -> bool:
    return manifest.bare_media_type(response.headers.get("Content-Type", "")) == "text/html"


async def _body(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with failures.translated(response.method, str(response.url)):
        async for chunk in response.content.iter_chunked(CHUNK):
            yield chunk
