"""From an HTTP request to its answer: who asks, what for, and every refusal as a Status.

1. Health is told to anybody; everything else needs a token.
2. Documents (discovery, version, OpenAPI) are found by their path.
3. Resource paths are resolved in the registry, allowed or not, and handed to the verbs.
"""

import contextlib
import dataclasses
import hashlib
import logging
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from ocisource import errors
from ocisource.apiserver import kinds, requests, resources, subresources, verbs
from ocisource.apiserver.catalog import discovery, documents
from ocisource.apiserver.forms import answers, bodies, negotiation
from ocisource.apiserver.identity import access, impersonation
from ocisource.apiserver.wording import failures, faults

_logger = logging.getLogger(__name__)

HEALTH = frozenset({"healthz", "livez", "readyz"})
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the endpoint hands requests to; ``is_ready`` answers ``/readyz``."""

    registry: resources.Registry
    authority: access.Authority
    documents: documents.Documents
    verbs: verbs.Verbs
    subresources: subresources.Subresources
    now: Callable[[], float]
    is_ready: Callable[[], bool]


class Endpoint:
    """Answers requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kinds: dict[tuple[str, str, int], kinds.Kind] = {}
        self.address = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but when the connection is lost."""
        is_pretty = _is_pretty(request)
        try:
            answer = await self._answer(request, is_pretty=is_pretty)
            if isinstance(answer, answers.Stream):
                # A stream may be refused until its first chunk, which is empty.
                await anext(answer.chunks, None)
        except errors.APIStatusError as error:
            answer = answers.refusal(error, is_pretty=is_pretty)
        except errors.OcisourceError as error:
            _logger.error("the API could not answer: %s", error.text)
            answer = answers.refusal(failures.internal(error.text), is_pretty=is_pretty)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - a client gets a Status, never a traceback
            _logger.error("the API failed: %s", faults.place(error))
            answer = answers.refusal(failures.internal("unexpected failure"), is_pretty=is_pretty)
        if isinstance(answer, answers.Stream):
            return await _stream(request, answer)
        return _response(request, answer)

    async def _answer(
        self, request: web.BaseRequest, *, is_pretty: bool
    ) -> answers.Answer | answers.Stream:
        path = urllib.parse.unquote(request.rel_url.raw_path)
        first = path.strip("/").partition("/")[0]
        if first in HEALTH:
            return self._health(first)
        header = request.headers.get("Authorization", "")
        user = self._parts.authority.authenticate(header, now=self._parts.now())
        user = impersonation.asked_for(user, request.headers)
        target = requests.Target.parse(path)
        if target is None:
            return self._document(request, path, user, is_pretty=is_pretty)
        return await self._resource(request, target, user, is_pretty=is_pretty)

    def _health(self, name: str) -> answers.Answer:
        if name == "readyz" and not self._parts.is_ready():
            return answers.text("not ready", code=500)
        return answers.text("ok")

    def _document(
        self, request: web.BaseRequest, path: str, user: access.User, *, is_pretty: bool
    ) -> answers.Answer:
        access.check(user, access.Question(request.method.lower(), path=path))
        if request.method not in {"GET", "HEAD"}:
            raise failures.method_not_allowed()
        accept = request.headers.get("Accept", "")
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["openapi"]:
            found = self._parts.documents.find(parts[1:], accept=accept)
            if found is None:
                raise failures.NoPageError
            return found
        is_root = parts in (["api"], ["apis"])
        shapes = negotiation.DISCOVERY_SHAPES if is_root else negotiation.NO_SHAPES
        form = negotiation.choose(accept, shapes=shapes, is_pretty=is_pretty)
        if is_root:
            return self._root(form, is_core=parts[0] == "api")
        shown = self._described(parts)
        if shown is None:
            raise failures.no_such_path() if parts[0] == "api" else failures.NoPageError()
        return answers.document(shown, form)

    def _described(self, parts: list[str]) -> Mapping[str, Any] | None:
        registry = self._parts.registry
        match parts:
            case ["version"]:
                return discovery.VERSION
            case []:
                return discovery.paths(registry)
            case ["api", version]:
                return discovery.resource_list(registry, "", version)
            case ["apis", group]:
                return discovery.group(registry, group)
            case ["apis", group, version]:
                return discovery.resource_list(registry, group, version)
        return None

    def _root(self, form: negotiation.Form, *, is_core: bool) -> answers.Answer:
        registry = self._parts.registry
        if form.shape:
            shown = discovery.aggregated(registry, form, is_core=is_core)
        elif is_core:
            shown = discovery.core_versions(self.address)
        else:
            shown = discovery.group_list(registry)
        answer = answers.document(shown, form)
        etag = f'"{hashlib.sha256(answer.body).hexdigest().upper()}"'
        return dataclasses.replace(answer, headers={"ETag": etag, "Vary": "Accept"})

    async def _resource(
        self,
        request: web.BaseRequest,
        target: requests.Target,
        user: access.User,
        *,
        is_pretty: bool,
    ) -> answers.Answer | answers.Stream:
        query = requests.Query(list(request.query.items()))
        verb = _verb(request.method, target, query)
        access.check(user, access.Question.of(verb, target))
        kind = self._kind(target)
        form = negotiation.choose(
            request.headers.get("Accept", ""),
            shapes=negotiation.OBJECT_SHAPES,
            is_pretty=is_pretty,
            is_custom=kind.resource.is_custom,
        )
        call = verbs.Call(
            method=request.method,
            kind=kind,
            target=target,
            query=query,
            form=form,
            content_type=bodies.media_type(request.headers.get("Content-Type", bodies.JSON)),
            user_agent=request.headers.get("User-Agent", ""),
            body=_body_reader(request),
        )
        if self._parts.subresources.handles(call):
            return await self._parts.subresources.answer(call, user)
        if target.subresource and not (target.subresource == "status" and kind.version.has_status):
            if kind.resource.is_custom:
                raise failures.not_found(kind.resource, target.name)
            raise failures.no_such_path()
        if verb not in kind.resource.verbs:
            raise failures.method_not_allowed()
        if kind.builtin is None and not target.name and verb in {"update", "patch"}:
            raise failures.bad_request("name must be provided")
        return await self._parts.verbs.answer(call)

    def _kind(self, target: requests.Target) -> kinds.Kind:
        registry = self._parts.registry
        found = registry.find(target.group, target.version, target.plural)
        if found is None:
            raise self._nothing(target.group, target.version)
        resource, version = found
        is_misplaced = bool(target.namespace) and not resource.is_namespaced
        is_homeless = bool(target.name) and resource.is_namespaced and not target.namespace
        if is_misplaced or is_homeless:
            raise self._nothing(target.group, target.version)
        slot = (resource.qualified, version.name, registry.generation)
        kind = self._kinds.get(slot)
        if kind is None:
            if len(self._kinds) > _KEPT_KINDS:
                self._kinds.clear()
            kind = self._kinds[slot] = kinds.Kind.of(resource, version)
        return kind

    def _nothing(self, group: str, version: str) -> errors.APIStatusError:
        """The refusal of a resource that is not served; groups of CRDs refuse in plain text."""
        served = [each for each in self._parts.registry if each.group == group]
        is_builtin = any(not each.is_custom and each.version(version) for each in served)
        return failures.no_such_path() if is_builtin else failures.NoPageError()


_KEPT_KINDS = 256


def _verb(method: str, target: requests.Target, query: requests.Query) -> str:
    if method in {"GET", "HEAD"}:
        if target.is_watch or (not target.name and query.flag("watch")):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    if method not in _VERBS:
        raise failures.method_not_allowed()
    return _VERBS[method]


def _is_pretty(request: web.BaseRequest) -> bool:
    asked = request.query.get("pretty")
    if asked is not None:
        return asked.lower() not in {"false", "0"}
    return request.headers.get("User-Agent", "").startswith(_PRETTY_AGENTS)


def _body_reader(request: web.BaseRequest) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        if (request.content_length or 0) > bodies.MAX_BODY:
            raise bodies.too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # aiohttp counts it as a part of the answer, which has not begun.
            request.writer.output_size = 0
        held = bytearray()
        while chunk := await request.content.readany():
            held += chunk
            if len(held) > bodies.MAX_BODY:
                raise bodies.too_large()
        return bytes(held)

    return read


def _response(request: web.BaseRequest, answer: answers.Answer) -> web.Response:
    # Documents end with a line end, as Go's encoder writes them; terminals like it.
    is_open = answer.content_type.startswith(negotiation.JSON) and not answer.body.endswith(b"\n")
    body = answer.body + b"\n" if is_open else answer.body
    response = web.Response(body=body, status=answer.code)
    response.headers["Content-Type"] = answer.content_type
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers.update(answer.headers)
    for value in answers.warning_headers(answer.warnings):
        response.headers.add("Warning", value)
    etag = answer.headers.get("ETag")
    if etag and request.headers.get("If-None-Match") == etag:
        response.set_status(304)
        response.body = None
    return response


async def _stream(request: web.BaseRequest, answer: answers.Stream) -> web.StreamResponse:
    response = web.StreamResponse()
    response.headers["Content-Type"] = answer.content_type
    response.headers["Cache-Control"] = "no-cache, private"
    for value in answers.warning_headers(answer.warnings):
        response.headers.add("Warning", value)
    response.enable_chunked_encoding()
    async with contextlib.aclosing(answer.chunks):
        await response.prepare(request)
        try:
            async for chunk in answer.chunks:
                if chunk:
                    await response.write(chunk)
        except errors.OcisourceError as error:
            _logger.warning("a watch ended: %s", error.text)
    await response.write_eof()
    return response
