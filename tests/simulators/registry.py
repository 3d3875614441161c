"""An OCI registry in memory, speaking pull and push, with faults that tests switch on.

Example::

    async with registry.Simulator() as simulator:
        digest = simulator.add_image("org/app", "1.0", layers=[b"content"])
        simulator.on("HEAD", "/manifests/", faults.status(503), times=2)
        ...
        assert [seen.method for seen in simulator.seen] == ["HEAD", "HEAD", "HEAD"]
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import ssl
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from ocisource.oci.grammar import manifest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Fault = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

_MANIFEST = re.compile(r"/v2/(?P<repo>.+)/manifests/(?P<reference>[^/]+)")
_BLOB = re.compile(r"/v2/(?P<repo>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
_UPLOADS = re.compile(r"/v2/(?P<repo>.+)/blobs/uploads/")
_UPLOAD = re.compile(r"/v2/(?P<repo>.+)/blobs/uploads/(?P<id>[0-9a-f-]+)")
_TAGS = re.compile(r"/v2/(?P<repo>.+)/tags/list")
_BODY_MAX = 1 << 30  # bytes


def digest_of(data: bytes) -> str:
    """``sha256:{hex}``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One request that came in, before any fault."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> str:
        """The ``Authorization`` header, "" if there was none."""
        return self.headers.get("Authorization", "")


@dataclasses.dataclass(slots=True)
class Rule:
    """A fault, where it strikes and how often still (None: always)."""

    method: str
    part: str
    fault: Fault
    times: int | None

    def strikes(self, request: web.Request) -> bool:
        """Whether this request meets the fault."""
        return (
            self.times != 0
            and self.method in {"*", request.method}
            and self.part in request.rel_url.raw_path_qs
        )


@dataclasses.dataclass(slots=True)
class Repository:
    """The content of one repository."""

    manifests: dict[str, tuple[str, bytes]] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    blobs: dict[str, bytes] = dataclasses.field(default_factory=dict)
    uploads: dict[str, bytearray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Tokens:
    """The token service at ``/token``: what it answers, and what it was asked."""

    users: Mapping[str, str] = dataclasses.field(default_factory=dict)
    identity_tokens: frozenset[str] = frozenset()
    is_anonymous_allowed: bool = True
    expires_in: int | None = 300
    extra: Mapping[str, object] = dataclasses.field(default_factory=dict)
    field: str = "token"
    flows: frozenset[str] = frozenset({"GET", "POST"})
    valid: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    issued: int = 0

    def revoke(self) -> None:
        """Let every token issued so far expire."""
        self.valid.clear()

    def issue(self, scopes: Sequence[str]) -> dict[str, object]:
        """A new token for these scopes, as the answer's body."""
        self.issued += 1
        token = f"token-{self.issued}"
        self.valid[token] = frozenset(scopes)
        body: dict[str, object] = {self.field: token, **self.extra}
        if self.expires_in is not None:
            body["expires_in"] = self.expires_in
        return body


class Simulator:
    """A running registry on loopback.

    ``users`` alone means Basic; with ``tokens`` the registry wants a bearer token. ``expired`` is
    the status that answers a bearer token it does not know: 401 with a challenge, or 403 or 400
    without one, as Amazon's registries do.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        tokens: Tokens | None = None,
        realm: str | None = None,
        expired: int = 401,
        tls: ssl.SSLContext | None = None,
        page: int | None = None,
        is_range_supported: bool = True,
    ) -> None:
        self.users = users
        self.tokens = tokens
        self.realm = realm
        self.expired = expired
        self.page = page
        self.is_range_supported = is_range_supported
        self.seen: list[Seen] = []
        self.repositories: dict[str, Repository] = {}
        self._rules: list[Rule] = []
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_BODY_MAX)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def host(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, or https."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    # ------------------------------------------------------------------ content

    def repository(self, name: str) -> Repository:
        """A repository, made if there is none."""
        return self.repositories.setdefault(name, Repository())

    def add_blob(self, repository: str, data: bytes) -> str:
        """Store a blob and return its digest."""
        digest = digest_of(data)
        self.repository(repository).blobs[digest] = data
        return digest

    def add_image(
        self,
        repository: str,
        *tags: str,
        layers: Sequence[bytes] = (b"layer",),
        layer_fields: Mapping[str, object] | None = None,
    ) -> str:
        """Store an image under tags and return its manifest's digest."""
        config = b"{}"
        content = {
            "schemaVersion": 2,
            "mediaType": manifest.OCI_MANIFEST,
            "config": self._descriptor(repository, config, manifest.FLUX_CONFIG),
            "layers": [
                {
                    **self._descriptor(repository, layer, manifest.FLUX_CONTENT),
                    **(layer_fields or {}),
                }
                for layer in layers
            ],
        }
        return self.add_manifest(
            repository, json.dumps(content).encode(), *tags, media_type=manifest.OCI_MANIFEST
        )

    def add_manifest(self, repository: str, body: bytes, *tags: str, media_type: str) -> str:
        """Store a manifest under tags and return its digest."""
        digest = digest_of(body)
        target = self.repository(repository)
        target.manifests[digest] = (media_type, body)
        target.tags.update(dict.fromkeys(tags, digest))
        return digest

    def _descriptor(self, repository: str, data: bytes, media_type: str) -> dict[str, object]:
        digest = self.add_blob(repository, data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    # ------------------------------------------------------------------ faults

    def on(self, method: str, part: str, fault: Fault, *, times: int | None = None) -> None:
        """Let a fault strike requests by method ("*": any) and a part of their path and query."""
        self._rules.append(Rule(method, part, fault, times))

    def heal(self) -> None:
        """End all faults."""
        self._rules.clear()

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[Seen]]:
        """The requests that come in meanwhile."""
        start = len(self.seen)
        found: list[Seen] = []
        yield found
        found += self.seen[start:]

    # ------------------------------------------------------------------ serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.rel_url.raw_path,
                request.rel_url.raw_query_string,
                request.headers.copy(),
                body,
            )
        )
        for rule in self._rules:
            if rule.strikes(request):
                if rule.times is not None:
                    rule.times -= 1
                return await rule.fault(request, self._answer)
        return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return self._token(request, await request.read())
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if request.path == "/v2/":
            return web.json_response({})
        for pattern, handler in (
            (_MANIFEST, self._manifest),
            (_UPLOADS, self._start_upload),
            (_UPLOAD, self._upload),
            (_BLOB, self._blob),
            (_TAGS, self._tags),
        ):
            found = pattern.fullmatch(request.path)
            if found is not None:
                return await handler(request, **found.groupdict())
        return _error(404, "UNSUPPORTED", "no such place")

    async def _manifest(
        self, request: web.Request, repo: str, reference: str
    ) -> web.StreamResponse:
        if request.method == "PUT":
            body = await request.read()
            tags = () if reference.startswith("sha256:") else (reference,)
            digest = self.add_manifest(repo, body, *tags, media_type=request.content_type)
            return web.Response(
                status=201,
                headers={
                    "Docker-Content-Digest": digest,
                    "Location": f"/v2/{repo}/manifests/{digest}",
                },
            )
        if repo not in self.repositories:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        repository = self.repositories[repo]
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown", {"Tag": reference})
        media_type, body = repository.manifests[digest]
        return web.Response(
            body=body, headers={"Content-Type": media_type, "Docker-Content-Digest": digest}
        )

    async def _blob(self, request: web.Request, repo: str, digest: str) -> web.StreamResponse:
        data = self.repository(repo).blobs.get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if wanted is None or not self.is_range_supported:
            return web.Response(body=data, headers=headers)
        start = int(wanted[1])
        if start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:], headers=headers)

    async def _tags(self, request: web.Request, repo: str) -> web.StreamResponse:
        if repo not in self.repositories:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        tags = list(self.repositories[repo].tags)
        last = request.query.get("last")
        if last in tags:
            tags = tags[tags.index(last) + 1 :]
        headers = {}
        size = min(int(request.query.get("n", "1000")), self.page or 1000)
        if len(tags) > size:
            tags = tags[:size]
            headers["Link"] = f'</v2/{repo}/tags/list?last={tags[-1]}&n={size}>; rel="next"'
        return web.json_response({"name": repo, "tags": tags}, headers=headers)

    # ------------------------------------------------------------------ uploads

    async def _start_upload(self, request: web.Request, repo: str) -> web.StreamResponse:
        upload = str(uuid.UUID(int=len(self.repository(repo).uploads) + 1))
        self.repository(repo).uploads[upload] = bytearray()
        return self._upload_state(repo, upload)

    async def _upload(self, request: web.Request, repo: str, id: str) -> web.StreamResponse:  # noqa: A002
        repository = self.repository(repo)
        buffer = repository.uploads.get(id)
        if buffer is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        body = await request.read()
        if request.method == "DELETE":
            del repository.uploads[id]
            return web.Response(status=204)
        if request.method == "GET":
            return self._upload_state(repo, id, status=204)
        span = re.fullmatch(r"(\d+)-(\d+)", request.headers.get("Content-Range", ""))
        if span is not None and int(span[1]) != len(buffer):
            return self._upload_state(repo, id, status=416)
        buffer += body
        if request.method == "PATCH":
            return self._upload_state(repo, id)
        if digest_of(bytes(buffer)) != request.query.get("digest"):
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        del repository.uploads[id]
        digest = self.add_blob(repo, bytes(buffer))
        return web.Response(status=201, headers={"Docker-Content-Digest": digest})

    def _upload_state(self, repo: str, upload: str, *, status: int = 202) -> web.Response:
        size = len(self.repository(repo).uploads[upload])
        return web.Response(
            status=status,
            headers={
                "Location": f"/v2/{repo}/blobs/uploads/{upload}?state={size}",
                "Range": f"0-{max(0, size - 1)}",
            },
        )

    # ------------------------------------------------------------------ who is asking

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        shown = request.headers.get("Authorization", "")
        if self.tokens is not None:
            token = shown.removeprefix("Bearer ")
            scope = self._scope_of(request)
            if scope and any(scope in _parts(given) for given in self.tokens.valid.get(token, ())):
                return None
            if request.path == "/v2/" and token in self.tokens.valid:
                return None
            if shown and self.expired != 401:
                return _error(self.expired, "DENIED", "Your Authorization Token has expired.")
            realm = self.realm or f"{self.url}/token"
            names = f'realm="{realm}",service="simulator"'
            named = f',scope="{":".join(scope)}"' if scope else ""
            return _unauthorized(f"Bearer {names}{named}")
        if self.users is not None and _user(shown, self.users) is None:
            return _unauthorized('Basic realm="simulator, the one and only"')
        return None

    @staticmethod
    def _scope_of(request: web.Request) -> tuple[str, str, str] | None:
        found = re.fullmatch(r"/v2/(?P<repo>.+)/(?:manifests|blobs|tags)/.*", request.path)
        if found is None:
            return None
        is_pull = request.method in {"GET", "HEAD"} and "/uploads/" not in request.path
        return "repository", found["repo"], "pull" if is_pull else "push"

    def _token(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self.tokens is not None
        tokens = self.tokens
        if request.method not in tokens.flows:
            return web.Response(status=404 if request.method == "POST" else 405)
        if request.method == "POST":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            is_known = form.get("refresh_token") in tokens.identity_tokens or (
                form.get("grant_type") == "password"
                and tokens.users.get(form.get("username", "")) == form.get("password")
            )
            scopes = form.get("scope", "").split(" ")
        else:
            shown = request.headers.get("Authorization", "")
            is_known = (
                _user(shown, tokens.users) is not None if shown else tokens.is_anonymous_allowed
            )
            scopes = request.query.getall("scope", [])
        if not is_known:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        return web.json_response(tokens.issue(scopes))


def _parts(scope: str) -> Iterator[tuple[str, str, str]]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    for action in actions.split(","):
        yield kind, name, action


def _user(shown: str, users: Mapping[str, str]) -> str | None:
    scheme, _, encoded = shown.partition(" ")
    if scheme != "Basic":
        return None
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user if users.get(user) == password and user else None


def _unauthorized(challenge: str) -> web.Response:
    response = _error(401, "UNAUTHORIZED", "authentication required")
    response.headers["WWW-Authenticate"] = challenge
    return response


def _error(status: int, code: str, message: str, detail: object = None) -> web.Response:
    body: dict[str, object] = {"code": code, "message": message}
    if detail is not None:
        body["detail"] = detail
    return web.json_response({"errors": [body]}, status=status)
