"""The push side: is a blob there, upload it, put a manifest.

Rules (distribution-spec, "Push"):

1. Bytes at hand go in one piece (POST, PUT); if the registry finds them too big (413, Quay), and
   for streams, they go in chunks (POST, PATCH …, PUT), each with its `Content-Range`.
2. A chunk that was cut is continued where the registry says it got to (`GET` of the upload).
3. `Location` may lead to another host: it is followed without credentials, and never from https to
   http; an address of the registry's own name is reached the way the registry is reached.
4. What is sent is hashed, and committed only if it is what the descriptor says.
"""

import contextlib
import http
import re
import urllib.parse
from collections.abc import AsyncIterable, AsyncIterator

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import redact
from ocisource.oci.grammar import manifest, reference
from ocisource.oci.hosts import answers, places
from ocisource.oci.transport import transport

_BYTES = "application/octet-stream"
_SHOWN_DIGEST = 80  # characters of what a registry calls a digest
_DIGEST_HEADER = "Docker-Content-Digest"
_CREATED = frozenset({200, 201, 202, 204})
_RANGE = re.compile(r"(?:bytes=)?0-(?P<last>\d{1,18})")
_CHUNK_MAX = 64 * 1024 * 1024  # bytes; a registry's wish for bigger chunks is granted up to here
_CONTINUED_STATUSES = frozenset({408, 416, 499, 500, 502, 503, 504, 522})


async def has_blob(
    connection: transport.Transport,
    repository: reference.Repository,
    descriptor: manifest.Descriptor,
    *,
    scope: str,
) -> bool:
    """Whether the registry holds a blob; raises RegistryError and its leaves, TransportError."""
    request = transport.Request(method="HEAD", path=_blob_path(repository, descriptor), scope=scope)
    answer = await connection.fetch(request)
    if answer.status == http.HTTPStatus.OK:
        return True
    if answer.status == http.HTTPStatus.NOT_FOUND:
        return False
    raise connection.refusal(answer)


async def put_manifest(
    connection: transport.Transport,
    repository: reference.Repository,
    body: bytes,
    *,
    media_type: str,
    identifier: str,
    scope: str,
) -> manifest.Descriptor:
    """Put a manifest under a tag or digest; returns its descriptor.

    Raises RegistryError and its leaves, TransportError, ContentError if the registry has stored
    something else.
    """
    descriptor = manifest.Descriptor(
        media_type=media_type, size=len(body), digest=digests.Digest.of(body)
    )
    quoted = urllib.parse.quote(identifier, safe=":")
    answer = await connection.fetch(
        transport.Request(
            method="PUT",
            path=f"/v2/{repository.path}/manifests/{quoted}",
            scope=scope,
            headers={"Content-Type": media_type},
            body=body,
        )
    )
    if answer.status not in _CREATED:
        raise connection.refusal(answer)
    stored = answer.headers.get(_DIGEST_HEADER)
    if stored is not None and stored != str(descriptor.digest):
        shown = redact.foreign(stored[:_SHOWN_DIGEST])
        raise errors.ContentError(
            f'the registry stored the manifest under "{shown}", want "{descriptor.digest}"'
        )
    return descriptor


async def upload_blob(
    connection: transport.Transport,
    repository: reference.Repository,
    descriptor: manifest.Descriptor,
    content: AsyncIterable[bytes] | bytes,
    *,
    scope: str,
) -> None:
    """Upload a blob, without asking first whether it is there.

    Raises ContentError if the content is not what the descriptor says (nothing is committed then),
    RegistryError and its leaves, TransportError.
    """
    upload = _Upload(connection, repository, descriptor, scope=scope)
    if not isinstance(content, bytes):
        await upload.in_chunks(content)
        return
    verifier = digests.Verifier(expected=descriptor.digest, expected_size=descriptor.size)
    verifier.update(content)
    verifier.finish()
    try:
        await upload.in_one_piece(content)
    except errors.RegistryError as error:
        if error.status != http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
    else:
        return
    await _Upload(connection, repository, descriptor, scope=scope).in_chunks(_pieces(content))


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _blob_path(repository: reference.Repository, descriptor: manifest.Descriptor) -> str:
    return f"/v2/{repository.path}/blobs/{descriptor.digest}"


class _Upload:
    """One upload session."""

    def __init__(
        self,
        connection: transport.Transport,
        repository: reference.Repository,
        descriptor: manifest.Descriptor,
        *,
        scope: str,
    ) -> None:
        self._connection = connection
        self._repository = repository
        self._descriptor = descriptor
        self._scope = scope
        self._location = ""
        self._sent = 0  # bytes the registry has acknowledged
        self._chunk = connection.settings.upload_chunk

    async def in_one_piece(self, content: bytes) -> None:
        """POST, then PUT with everything."""
        await self._start()
        await self._commit(content)

    async def in_chunks(self, content: AsyncIterable[bytes]) -> None:
        """POST, PATCH for each chunk, PUT."""
        verifier = digests.Verifier(
            expected=self._descriptor.digest, expected_size=self._descriptor.size
        )
        await self._start()
        try:
            buffer = bytearray()
            async for piece in content:
                verifier.update(piece)
                buffer += piece
                while len(buffer) >= self._chunk:
                    await self._patch(bytes(buffer[: self._chunk]))
                    del buffer[: self._chunk]
            verifier.finish()
            if buffer:
                await self._patch(bytes(buffer))
        except BaseException:
            await self._abandon()
            raise
        await self._commit(b"")

    async def _start(self) -> None:
        answer = await self._fetch("POST", f"/v2/{self._repository.path}/blobs/uploads/")
        if answer.status not in _CREATED:
            raise self._connection.refusal(answer)
        self._move(answer, is_required=True)
        with contextlib.suppress(ValueError):
            wanted = int(answer.headers.get("OCI-Chunk-Min-Length", "")[:18])
            self._chunk = max(self._chunk, min(wanted, _CHUNK_MAX))

    async def _patch(self, chunk: bytes) -> None:
        """Send one chunk; what the registry did not take is sent again from where it stopped."""
        start = self._sent
        end = start + len(chunk)
        for retry in range(self._connection.settings.retries.attempts):
            rest = chunk[self._sent - start :]
            headers = {
                "Content-Type": _BYTES,
                "Content-Range": f"{self._sent}-{end - 1}",
            }
            failure: errors.OcisourceError
            try:
                answer = await self._fetch("PATCH", self._location, headers=headers, body=rest)
            except errors.ConnectionLostError as error:
                failure = error
            except errors.RegistryError as error:
                if error.status not in _CONTINUED_STATUSES:
                    raise
                failure = error
            else:
                if answer.status in _CREATED:
                    self._move(answer)
                    self._sent = end
                    return
                failure = self._connection.refusal(answer)
                if answer.status not in _CONTINUED_STATUSES:
                    raise failure
            await self._connection.pause(retry)
            self._sent = await self._acknowledged(low=start, high=end, failure=failure)
            if self._sent == end:
                return
        raise failure

    async def _acknowledged(self, *, low: int, high: int, failure: errors.OcisourceError) -> int:
        """How many bytes the registry has; raises ``failure`` if it cannot be continued there."""
        answer = await self._fetch("GET", self._location)
        if answer.status not in _CREATED:
            raise failure
        self._move(answer)
        found = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        # "0-0" stands for nothing as well as for one byte; one byte more or less is not worth it.
        last = int(found["last"]) if found else 0
        size = last + 1 if last else 0
        if not low <= size <= high:
            raise failure
        return size

    async def _commit(self, content: bytes) -> None:
        separator = "&" if "?" in self._location else "?"
        digest = urllib.parse.quote(str(self._descriptor.digest), safe=":")
        path = f"{self._location}{separator}digest={digest}"
        headers = {"Content-Type": _BYTES}
        try:
            answer = await self._fetch("PUT", path, headers=headers, body=content)
        except errors.ConnectionLostError:
            if not await self._is_there():
                raise
            return
        if answer.status in _CREATED:
            return
        # A commit whose answer was lost, and that was sent again, meets no upload any more.
        if answer.status != http.HTTPStatus.NOT_FOUND or not await self._is_there():
            raise self._connection.refusal(answer)

    async def _is_there(self) -> bool:
        return await has_blob(
            self._connection, self._repository, self._descriptor, scope=self._scope
        )

    async def _abandon(self) -> None:
        """Tell the registry that the upload will not be finished; it expires there anyway."""
        with contextlib.suppress(errors.OcisourceError):
            await self._fetch("DELETE", self._location)

    async def _fetch(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> answers.Answer:
        return await self._connection.fetch(
            transport.Request(
                method=method,
                path=path,
                scope=self._scope,
                headers=headers or {},
                body=body,
                # A PATCH must not be repeated blindly: part of it may have been taken.
                attempts=1 if method in {"PATCH", "DELETE"} else None,
            )
        )

    def _move(self, answer: answers.Answer, *, is_required: bool = False) -> None:
        """Go on at the `Location` of an answer; raises RegistryError, ForbiddenAddressError."""
        location = answer.headers.get("Location", "")
        if location:
            self._location = places.location(answer.url, location)
        elif is_required:
            raise errors.RegistryError(
                f"{answer.where}: the registry opened an upload but did not say where",
                method=answer.method,
                status=answer.status,
            )
