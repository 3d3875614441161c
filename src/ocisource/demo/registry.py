"""An OCI registry in this process, on loopback, with its content in memory.

It speaks the distribution spec's pull, push and tag listing, with paging, ranges, chunked and
monolithic uploads and mounts, without authentication. Made for ``--demo`` and for tests, so every
bound is small and nothing outlives the process.

Example::

    registry = Registry()
    host = await registry.start()      # "127.0.0.1:41235"
    ...
    await registry.stop()
"""

import re
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from ocisource import errors
from ocisource.demo import content as contents
from ocisource.oci.grammar import manifest as manifests

LOOPBACK = "127.0.0.1"
BLOB_MAX = 128 << 20  # bytes of one blob
UPLOADS_MAX = 64  # unfinished uploads; the oldest is given up for a new one
PAGE_MAX = 1000  # tags in one answer

_SHUTDOWN_SECONDS = 1.0
_CHUNK = 1 << 18  # bytes taken from a request body at once
_REPOSITORY = "/v2/{name:.+}"
_RANGE = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"(?P<first>[0-9]+)-(?P<last>[0-9]+)", re.ASCII)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Registry:
    """A registry to start and stop; ``content`` is what was pushed."""

    def __init__(self, content: contents.Content | None = None) -> None:
        self.content = contents.Content() if content is None else content
        self._uploads: dict[str, bytearray] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, *, port: int = 0) -> str:
        """Listen on loopback and return ``127.0.0.1:port``; OSError when the port is taken."""
        application = web.Application(middlewares=[_answer_refusals])
        application.add_routes(
            [
                web.get("/v2/", self._ping),
                web.get(_REPOSITORY + "/tags/list", self._tags),
                web.get(_REPOSITORY + "/manifests/{reference}", self._get_manifest),
                web.put(_REPOSITORY + "/manifests/{reference}", self._put_manifest),
                web.post(_REPOSITORY + "/blobs/uploads/", self._start_upload),
                web.get(_REPOSITORY + "/blobs/uploads/{upload}", self._upload_state),
                web.patch(_REPOSITORY + "/blobs/uploads/{upload}", self._extend_upload),
                web.put(_REPOSITORY + "/blobs/uploads/{upload}", self._finish_upload),
                web.delete(_REPOSITORY + "/blobs/uploads/{upload}", self._cancel_upload),
                web.get(_REPOSITORY + "/blobs/{digest}", self._get_blob),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return f"{LOOPBACK}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close every connection; the content stays."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({}, headers=_VERSION)

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        tags = self.content.tags(name)
        last = request.query.get("last", "")
        left = [tag for tag in tags if tag > last]
        size = min(_number(request.query.get("n"), PAGE_MAX), PAGE_MAX)
        page = left[:size]
        headers = dict(_VERSION)
        if page and len(left) > size:
            query = urllib.parse.urlencode({"n": size, "last": page[-1]})
            headers["Link"] = f'</v2/{name}/tags/list?{query}>; rel="next"'
        return web.json_response({"name": name, "tags": page}, headers=headers)

    async def _get_manifest(self, request: web.Request) -> web.Response:
        found = self.content.manifest(request.match_info["name"], request.match_info["reference"])
        headers = {**_VERSION, **_digest_header(found.digest), "Content-Type": found.media_type}
        return web.Response(body=found.body, headers=headers)

    async def _put_manifest(self, request: web.Request) -> web.Response:
        name, reference = request.match_info["name"], request.match_info["reference"]
        body = bytearray()
        async for chunk in request.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > manifests.BODY_MAX:
                text = f"a manifest has at most {manifests.BODY_MAX} bytes"
                raise contents.refusal("SIZE_INVALID", text, status=413)
        media_type = manifests.bare_media_type(request.headers.get("Content-Type", ""))
        digest = self.content.put_manifest(name, reference, bytes(body), media_type=media_type)
        location = f"/v2/{name}/manifests/{digest}"
        return _created(location, digest)

    async def _get_blob(self, request: web.Request) -> web.Response:
        digest = contents.parse_digest(request.match_info["digest"])
        data = self.content.blob(request.match_info["name"], digest)
        headers = {
            **_VERSION,
            **_digest_header(digest),
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
        }
        wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
        if wanted is None:
            return web.Response(body=data, headers=headers)
        span = _span(wanted["first"], wanted["last"], len(data))
        if span is None:
            headers["Content-Range"] = f"bytes */{len(data)}"
            return web.Response(status=416, headers=headers)
        first, end = span
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
        return web.Response(status=206, body=data[first:end], headers=headers)

    async def _start_upload(self, request: web.Request) -> web.Response:
        name, query = request.match_info["name"], request.query
        self.content.check_name(name)
        if "mount" in query:
            digest = contents.parse_digest(query["mount"])
            if self.content.mount(name, digest, source=query.get("from", "")):
                return _created(f"/v2/{name}/blobs/{digest}", digest)
        upload = uuid.uuid4().hex
        while len(self._uploads) >= UPLOADS_MAX:
            self._drop(next(iter(self._uploads)))
        self._uploads[upload] = bytearray()
        if "digest" in query:  # a monolithic upload in a single POST
            return await self._finish(request, upload)
        return self._accepted(name, upload)

    async def _upload_state(self, request: web.Request) -> web.Response:
        upload = request.match_info["upload"]
        self._data(upload)
        return self._accepted(request.match_info["name"], upload, status=204)

    async def _extend_upload(self, request: web.Request) -> web.Response:
        upload = request.match_info["upload"]
        await self._receive(request, upload)
        return self._accepted(request.match_info["name"], upload)

    async def _finish_upload(self, request: web.Request) -> web.Response:
        return await self._finish(request, request.match_info["upload"])

    async def _cancel_upload(self, request: web.Request) -> web.Response:
        self._data(request.match_info["upload"])
        self._drop(request.match_info["upload"])
        return web.Response(status=204, headers=_VERSION)

    async def _finish(self, request: web.Request, upload: str) -> web.Response:
        name = request.match_info["name"]
        digest = contents.parse_digest(request.query.get("digest", ""))
        await self._receive(request, upload)
        data = self._uploads.pop(upload)
        try:
            self.content.put_blob(name, bytes(data), digest=digest)
        except errors.RegistryError:
            self.content.release(len(data))
            raise
        return _created(f"/v2/{name}/blobs/{digest}", digest)

    async def _receive(self, request: web.Request, upload: str) -> None:
        data = self._data(upload)
        sent = _CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if sent is not None and int(sent["first"]) != len(data):
            text = f"this upload goes on at byte {len(data)}"
            raise contents.refusal("BLOB_UPLOAD_INVALID", text, status=416)
        async for chunk in request.content.iter_chunked(_CHUNK):
            data = self._data(upload)  # gone if it was given up meanwhile
            if len(data) + len(chunk) > BLOB_MAX:
                self._drop(upload)
                text = f"a blob has at most {BLOB_MAX} bytes"
                raise contents.refusal("SIZE_INVALID", text, status=413)
            self.content.reserve(len(chunk))
            data += chunk
        self._data(upload)

    def _data(self, upload: str) -> bytearray:
        try:
            return self._uploads[upload]
        except KeyError:
            text = "blob upload unknown to registry"
            raise contents.refusal("BLOB_UPLOAD_UNKNOWN", text, status=404) from None

    def _drop(self, upload: str) -> None:
        self.content.release(len(self._uploads.pop(upload)))

    def _accepted(self, name: str, upload: str, *, status: int = 202) -> web.Response:
        headers = {
            **_VERSION,
            "Location": f"/v2/{name}/blobs/uploads/{upload}",
            "Range": f"0-{max(len(self._uploads[upload]) - 1, 0)}",
            "Docker-Upload-UUID": upload,
        }
        return web.Response(status=status, headers=headers)


_VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}


@web.middleware
async def _answer_refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.RegistryError as error:
        detail = {"code": error.codes[0], "message": error.text}
        return web.json_response({"errors": [detail]}, status=error.status, headers=_VERSION)


def _digest_header(digest: object) -> dict[str, str]:
    return {"Docker-Content-Digest": str(digest)}


def _created(location: str, digest: object) -> web.Response:
    headers = {**_VERSION, **_digest_header(digest), "Location": location}
    return web.Response(status=201, headers=headers)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _span(first: str, last: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a range (RFC 9110, 14.1.2); None if nothing of it is there."""
    if not first:
        length = min(int(last or "0"), size)
        return (size - length, size) if length else None
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None
