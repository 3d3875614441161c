"""A small Kubernetes API in memory, which fails in the ways real ones do.

It keeps any kind of object, lists in pages, watches with or without bookmarks, and takes creates,
updates, merge patches and deletes. Faults: ``fail`` answers with a status, ``reset`` cuts the
connection, ``hold`` lets requests wait, ``cut_watches`` ends streams, ``compact`` makes every
version too old (as HTTP or as an event), ``stop``/``start`` refuse connections on the same port.
"""

import asyncio
import contextlib
import copy
import dataclasses
import itertools
import json
import re
import typing
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from ocisource.wire import mergepatch, status

Object = dict[str, typing.Any]
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>status))?"
)
_EPOCH = "2026-01-01T00:00:00Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        """Whether it asked for a watch."""
        return "watch" in self.query


@dataclasses.dataclass(slots=True)
class _Fault:
    pattern: re.Pattern[str]
    times: int
    response: typing.Callable[[web.Request], web.StreamResponse] | None = None
    gate: asyncio.Event | None = None


@dataclasses.dataclass(eq=False, slots=True)
class _Stream:
    collection: str
    namespace: str
    queue: asyncio.Queue[Object | None]
    request: web.Request


class KubeAPI:
    """The simulator."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self.has_bookmarks = True
        self.is_gone_an_event = True  # how a version that is too old is told: ERROR event or HTTP
        self.bodies: dict[str, Object] = {}  # fixed documents by path, for discovery
        self.tokens: set[str] = set()  # accepted bearer tokens; empty: everybody is let in
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._history: list[tuple[int, str, Object]] = []
        self._version = 100
        self._oldest = 0
        self._streams: set[_Stream] = set()
        self._faults: list[_Fault] = []
        self._uids = itertools.count(1)
        self._port = 0
        self._runner: web.AppRunner | None = None

    # The server itself.

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Refuse connections and end those there are."""
        self.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    # Faults.

    def fail(
        self,
        pattern: str,
        code: int,
        *,
        times: int = 1,
        reason: str = "",
        message: str = "made to fail",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next requests whose "METHOD path?query" matches with a Status."""
        body = json.dumps(status.failure(code, reason, message))
        self._faults.append(
            _Fault(
                re.compile(pattern),
                times,
                lambda _: web.Response(
                    status=code, text=body, content_type="application/json", headers=headers
                ),
            )
        )

    def answer(self, pattern: str, body: bytes, *, code: int = 200, times: int = 1) -> None:
        """Answer the next matching requests with these bytes."""
        self._faults.append(
            _Fault(re.compile(pattern), times, lambda _: web.Response(status=code, body=body))
        )

    def reset(self, pattern: str, *, times: int = 1) -> None:
        """Cut the connection of the next matching requests without an answer."""

        def cut(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self._faults.append(_Fault(re.compile(pattern), times, cut))

    def hold(self, pattern: str, *, times: int = 1) -> asyncio.Event:
        """Let the next matching requests wait until the event is set."""
        gate = asyncio.Event()
        self._faults.append(_Fault(re.compile(pattern), times, gate=gate))
        return gate

    def cut_watches(self) -> None:
        """End all watches."""
        for stream in self._streams:
            stream.queue.put_nowait(None)

    def abort_watches(self) -> None:
        """Cut the connections of all watches in the middle of a chunk."""
        for stream in self._streams:
            if stream.request.transport is not None:
                stream.request.transport.abort()

    def compact(self) -> None:
        """Forget the history: all versions but the newest are too old."""
        self._version += 1
        self._oldest = self._version
        self._history.clear()

    def forget(self) -> None:
        """Cut all watches and lose the history they would go on from."""
        self.abort_watches()
        self.compact()

    def restore_backup(self, version: int) -> None:
        """Go back to an older resourceVersion, as after a restore of etcd."""
        self._version = version
        self._history.clear()
        self._oldest = 0

    # Its content.

    @property
    def watches(self) -> int:
        """Watches open now."""
        return len(self._streams)

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._version

    def count(self, pattern: str) -> int:
        """Requests so far whose "METHOD path?query" matches."""
        return sum(bool(re.search(pattern, _line(seen))) for seen in self.seen)

    def get(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        """An object, by plural alone."""
        for (collection, object_namespace, object_name), obj in self._objects.items():
            if (object_namespace, object_name) == (namespace, name) and collection.endswith(
                "/" + plural
            ):
                return obj
        return None

    def put(self, root: str, obj: Object) -> Object:
        """Create or replace an object in the collection ``root`` ("api/v1/secrets")."""
        metadata = obj.setdefault("metadata", {})
        key = (f"/{root}", metadata.get("namespace", ""), metadata["name"])
        old = self._objects.get(key)
        metadata.setdefault("creationTimestamp", _EPOCH)
        metadata["uid"] = old["metadata"]["uid"] if old else f"uid-{next(self._uids)}"
        self._store(key, obj, "MODIFIED" if old else "ADDED")
        return obj

    def drop(self, root: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        key = (f"/{root}", namespace, name)
        obj = copy.deepcopy(self._objects.pop(key))
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self._publish(key, {"type": "DELETED", "object": obj})

    def bookmark(self) -> None:
        """Send a bookmark into all watches, if they are in fashion."""
        if not self.has_bookmarks:
            return
        obj = {"metadata": {"resourceVersion": str(self._version)}}
        for stream in self._streams:
            stream.queue.put_nowait({"type": "BOOKMARK", "object": obj})

    def send_raw(self, event: Object) -> None:
        """Send any event into all watches."""
        for stream in self._streams:
            stream.queue.put_nowait(event)

    # Answers.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            await request.read(),
        )
        self.seen.append(seen)
        if (response := await self._faulty(request, seen)) is not None:
            return response
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens and token not in self.tokens:
            return _refusal(401, "Unauthorized", "Unauthorized")
        if request.path in self.bodies:
            return web.json_response(self.bodies[request.path])
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _refusal(404, "NotFound", "the server could not find the requested resource")
        group = f"/apis/{match['group']}" if match["group"] else "/api"
        key = (
            f"{group}/{match['version']}/{match['plural']}",
            match["namespace"] or "",
            match["name"] or "",
        )
        if request.method == "GET" and seen.is_watch:
            return await self._watch(request, seen, key)
        return self._answer(seen, key)

    async def _faulty(self, request: web.Request, seen: Seen) -> web.StreamResponse | None:
        for fault in self._faults:
            if fault.times and fault.pattern.search(_line(seen)):
                fault.times -= 1
                if fault.gate is not None:
                    await fault.gate.wait()
                    return None
                assert fault.response is not None
                return fault.response(request)
        return None

    def _answer(self, seen: Seen, key: tuple[str, str, str]) -> web.Response:
        plural = key[0].rpartition("/")[2]
        old = self._objects.get(key)
        if seen.method == "POST":
            return self._create(seen, key)
        if not key[2]:
            return self._list(seen, key)
        if old is None:
            return _refusal(404, "NotFound", f'{plural} "{key[2]}" not found')
        if seen.method == "GET":
            return web.json_response(old)
        if seen.method == "DELETE":
            self.drop(key[0].removeprefix("/"), key[2], key[1])
            return web.json_response(status.success())
        new = json.loads(seen.body)
        wanted = new.get("metadata", {}).get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            return _refusal(
                409, "Conflict", f'Operation cannot be fulfilled on {plural} "{key[2]}"'
            )
        if seen.method == "PATCH":
            new = mergepatch.apply(copy.deepcopy(old), new)
        new["metadata"] = {**old["metadata"], **new["metadata"]}
        if new != old:
            self._store(key, new, "MODIFIED")
        return web.json_response(new)

    def _create(self, seen: Seen, key: tuple[str, str, str]) -> web.Response:
        obj = json.loads(seen.body)
        metadata = obj["metadata"]
        plural = key[0].rpartition("/")[2]
        if (key[0], key[1], metadata["name"]) in self._objects:
            return _refusal(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        metadata["namespace"] = key[1]
        return web.json_response(self.put(key[0].removeprefix("/"), obj), status=201)

    def _list(self, seen: Seen, key: tuple[str, str, str]) -> web.Response:
        items = [
            obj
            for (collection, namespace, _), obj in sorted(self._objects.items())
            if collection == key[0] and key[1] in {"", namespace}
        ]
        version, start = self._version, 0
        if token := seen.query.get("continue"):
            version, start = map(int, token.split(":"))
            if version < self._oldest:
                return _refusal(410, "Expired", "The provided continue parameter is too old")
        limit = int(seen.query.get("limit", "0")) or len(items)
        metadata = {"resourceVersion": str(version)}
        if start + limit < len(items):
            metadata["continue"] = f"{version}:{start + limit}"
        return web.json_response({"metadata": metadata, "items": items[start : start + limit]})

    async def _watch(
        self, request: web.Request, seen: Seen, key: tuple[str, str, str]
    ) -> web.StreamResponse:
        since = int(seen.query.get("resourceVersion", "0"))
        if since < self._oldest:
            gone = status.failure(410, "Expired", f"too old resource version: {since}")
            if not self.is_gone_an_event:
                return web.json_response(gone, status=410)
            line = json.dumps({"type": "ERROR", "object": gone}) + "\n"
            return web.Response(text=line, content_type="application/json")
        stream = _Stream(key[0], key[1], asyncio.Queue(), request)
        for version, collection, past in self._history:
            if version > since and collection == key[0] and key[1] in {"", _namespace(past)}:
                stream.queue.put_nowait(past)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._streams.add(stream)
        try:
            while (event := await stream.queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._streams.discard(stream)
        return response

    def _store(self, key: tuple[str, str, str], obj: Object, kind: str) -> None:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key] = obj
        self._publish(key, {"type": kind, "object": copy.deepcopy(obj)})

    def _publish(self, key: tuple[str, str, str], event: Object) -> None:
        self._history.append((self._version, key[0], event))
        for stream in self._streams:
            if stream.collection == key[0] and stream.namespace in {"", key[1]}:
                stream.queue.put_nowait(event)


def _refusal(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(status.failure(code, reason, message), status=code)


def _namespace(event: Object) -> str:
    return str(event["object"]["metadata"].get("namespace", ""))


def _line(seen: Seen) -> str:
    query = "&".join(f"{key}={value}" for key, value in seen.query.items())
    return f"{seen.method} {seen.path}?{query}"


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[KubeAPI]:
    """A simulator that listens."""
    api = KubeAPI()
    await api.start()
    try:
        yield api
    finally:
        await api.stop()
