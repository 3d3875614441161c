"""Clouds on loopback: servers that answer as a test says, and a proxy that leads to them by name.

Example::

    async with clouds.forward({"foo.azurecr.io:443": ("127.0.0.1", port)}) as proxy: ...
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
from aiohttp import web

from ocisource import digest as digests
from ocisource.net import proxy as proxies
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import manifest, reference

_KEPT_HEADERS = ("Authorization", "Accept", "Range")
_SENT_HEADERS = ("WWW-Authenticate", "Content-Type", "Docker-Content-Digest", "Content-Length")


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A request that a cloud got."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(urllib.parse.parse_qsl(self.body))


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """An answer; ``body`` that is no text goes out as JSON."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def response(self) -> web.Response:
        """As aiohttp has it."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        kind = "text/plain" if isinstance(self.body, str) else "application/json"
        return web.Response(
            text=text, status=self.status, content_type=kind, headers=dict(self.headers)
        )


Answer = Said | Callable[[Received], Said]


@dataclasses.dataclass(slots=True)
class Cloud:
    """A server; ``answers`` by "METHOD /path", what it ``received``, where ``/v2/`` leads.

    ``refused`` are ``Authorization`` values that ``/v2/`` answers with a status of its own.
    """

    answers: dict[str, Answer] = dataclasses.field(default_factory=dict)
    received: list[Received] = dataclasses.field(default_factory=list)
    upstream: str = ""
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    port: int = 0
    is_silent: bool = False
    transports: set[asyncio.BaseTransport] = dataclasses.field(default_factory=set)
    is_asked: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    is_over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if request.transport is not None:
            self.transports.add(request.transport)
        if self.upstream and request.path.startswith("/v2/"):
            return await self._relay(request)
        got = Received(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            await request.text(),
        )
        self.received.append(got)
        self.is_asked.set()
        if self.is_silent:
            await self.is_over.wait()
        answer = self.answers.get(f"{got.method} {got.path}", Said("no such place", 404))
        return (answer if isinstance(answer, Said) else answer(got)).response()

    async def _relay(self, request: web.Request) -> web.Response:
        refusal = self.refused.get(request.headers.get("Authorization", ""))
        if refusal is not None:
            return web.Response(status=refusal)
        headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, f"{self.upstream}{request.raw_path}", headers=headers
            ) as found,
        ):
            body = await found.read()
            sent = {name: found.headers[name] for name in _SENT_HEADERS if name in found.headers}
            if request.method != "HEAD":
                sent.pop("Content-Length", None)
            return web.Response(body=body or None, status=found.status, headers=sent)


@contextlib.asynccontextmanager
async def serve(
    answers: Mapping[str, Answer] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    upstream: str = "",
) -> AsyncIterator[Cloud]:
    """A cloud on a free port of loopback."""
    cloud = Cloud(dict(answers or {}), upstream=upstream)
    runner = web.ServerRunner(web.Server(cloud.handle), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    cloud.port = runner.addresses[0][1]
    try:
        yield cloud
    finally:
        cloud.is_over.set()
        await asyncio.sleep(0)
        for transport in cloud.transports:  # not waiting for the other side's goodbye
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()
        await runner.cleanup()
        await asyncio.sleep(0)


@dataclasses.dataclass(slots=True)
class Forward:
    """A forward proxy: CONNECT and absolute URLs; ``targets`` are the ``host:port`` asked for."""

    routes: dict[str, tuple[str, int]]
    targets: list[str] = dataclasses.field(default_factory=list)
    port: int = 0
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    @property
    def proxy(self) -> proxies.Proxy:
        """As an object's Secret would name it."""
        return proxies.Proxy.parse(f"http://127.0.0.1:{self.port}")

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self.tasks.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, _, rest = head.partition("\r\n")
        method, target, version = line.split(" ")
        opening = ""
        if method != "CONNECT":
            url = urllib.parse.urlsplit(target)
            path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            opening = f"{method} {path} {version}\r\nConnection: close\r\n{rest}"
            target = f"{url.hostname}:{url.port or 80}"
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(
            *self.routes.get(target, (host, int(port)))
        )
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        up_writer.write(opening.encode())
        try:
            await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        finally:
            up_writer.transport.abort()


@contextlib.asynccontextmanager
async def forward(routes: Mapping[str, tuple[str, int]]) -> AsyncIterator[Forward]:
    """A forward proxy that knows where names are in truth."""
    running = Forward(dict(routes))
    server = await asyncio.start_server(running.handle, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        left = list(running.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


CONTENT = b"apiVersion: v1\n"


async def push(host: str, credential: credentials.Credential, access: registry.Access) -> None:
    """Put an image with one layer at ``{host}/app:latest``."""
    given = dataclasses.replace(access, keychain=credentials.StaticKeychain(credential))
    registries = registry.Registries()
    try:
        remote = registries.repository(reference.Repository(host, "app"), given)
        layer = manifest.Descriptor("application/octet-stream", len(CONTENT), _digest(CONTENT))
        config = manifest.Descriptor("application/json", 2, _digest(b"{}"))
        await remote.upload_blob(layer, CONTENT)
        await remote.upload_blob(config, b"{}")
        body = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": manifest.OCI_MANIFEST,
                "config": _plain(config),
                "layers": [_plain(layer)],
            }
        ).encode()
        await remote.put_manifest(body, media_type=manifest.OCI_MANIFEST, reference="latest")
    finally:
        await registries.close()


async def pull(host: str, access: registry.Access) -> bytes:
    """The content of the layer of ``{host}/app:latest``."""
    registries = registry.Registries()
    try:
        remote = registries.repository(reference.Repository(host, "app"), access)
        found = await remote.resolve("latest")
        _, body = await remote.manifest(found.digest)
        image = manifest.parse(body, media_type=manifest.OCI_MANIFEST)
        assert isinstance(image, manifest.Manifest)
        return b"".join([chunk async for chunk in remote.blob(image.layers[0])])
    finally:
        await registries.close()


def _digest(content: bytes) -> digests.Digest:
    return digests.Digest.of(content)


def _plain(each: manifest.Descriptor) -> dict[str, object]:
    return {"mediaType": each.media_type, "size": each.size, "digest": str(each.digest)}


def jwt(expires_at: float) -> str:
    """A token with an expiry, short enough for bcrypt."""
    payload = json.dumps({"exp": int(expires_at)}, separators=(",", ":")).encode()
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.sig"
