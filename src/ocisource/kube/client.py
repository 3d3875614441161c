"""A thin typed client: get, list, watch, create, update, patch, delete, discover.

Every call passes the rate limiter, carries the login of the moment, has a deadline, reads a bounded
answer, and is briefly retried (``exchange``).

Example::

    client = Client(config.load())
    secret = await client.get(resources.SECRETS, "pull", namespace="apps")
"""

import asyncio
import contextlib
import dataclasses
import os
import random
import time
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

import aiohttp
import msgspec

from ocisource import errors, logs, metrics
from ocisource.kube import answers, config, exchange, patch, resources, transport

T = typing.TypeVar("T")

_log = logs.get("kube")


@dataclasses.dataclass(frozen=True, slots=True)
class Listing(typing.Generic[T]):
    """A whole list and the version that a watch goes on from."""

    items: tuple[T, ...]
    resource_version: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a kind: an empty namespace means all, an empty selector any."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""

    def query(self) -> tuple[tuple[str, str], ...]:
        """As query parameters."""
        pairs = (("labelSelector", self.label_selector), ("fieldSelector", self.field_selector))
        return tuple(pair for pair in pairs if pair[1])


EVERYTHING: typing.Final = Scope()


class Client:
    """Speaks to one API server; make it inside a running loop, close it at the end."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        *,
        settings: exchange.ClientSettings = exchange.DEFAULTS,
        observed: metrics.Metrics | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self._readers: dict[resources.Resource[typing.Any], answers.Reader[typing.Any]] = {}
        self._exchange = exchange.Exchange(
            cluster,
            settings=settings,
            observed=observed,
            environ=environ,
            clock=clock,
            wall=wall,
            sleep=sleep,
            rng=rng,
            warn=warn,
        )

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._exchange.close()

    def guard(self, may_write: Callable[[], None]) -> None:
        """Ask ``may_write`` just before each write; see Exchange.guard."""
        self._exchange.guard(may_write)

    # Reading.

    async def get(
        self,
        resource: resources.Resource[T],
        name: str,
        *,
        namespace: str = "",
        is_limited: bool = True,
    ) -> T:
        """An object; raises APIStatusError (404 when there is none) and TransportError.

        ``is_limited`` False passes the rate limiter by, here and below: for what must be in time.
        """
        call = transport.Call(
            "GET",
            resource.path(namespace=namespace, name=name),
            accept=_accept(resource),
            is_idempotent=True,
            is_limited=is_limited,
        )
        return self._reader(resource).object(await self._exchange.send(call))

    async def list(self, resource: resources.Resource[T], scope: Scope = EVERYTHING) -> Listing[T]:
        """All objects as of one moment; raises APIStatusError and TransportError."""
        items: list[T] = []
        version = ""
        async for page in self.pages(resource, scope):
            items += page.items
            version = page.resource_version
        return Listing(tuple(items), version)

    async def pages(
        self, resource: resources.Resource[T], scope: Scope = EVERYTHING
    ) -> AsyncGenerator[answers.Page[T], None]:
        """The pages of a list as of one moment, from the newest state (no resourceVersion).

        Raises APIStatusError and TransportError; a token that expires on the way is a 410.
        """
        token = ""
        while True:
            page = await self.page(resource, scope, token=token, limit=self.settings.page_size)
            yield page
            if not page.next_token:
                return
            token = page.next_token

    async def page(
        self, resource: resources.Resource[T], scope: Scope, *, token: str, limit: int
    ) -> answers.Page[T]:
        """One page of a list; a ``limit`` of 0 asks for the whole list."""
        query = scope.query()
        if limit:
            query += (("limit", str(limit)),)
        if token:
            query += (("continue", token),)
        call = transport.Call(
            "GET",
            resource.path(namespace=scope.namespace),
            query=query,
            accept=_accept(resource, is_list=True),
            is_idempotent=True,
        )
        return self._reader(resource).page(await self._exchange.send(call))

    async def watch(
        self,
        resource: resources.Resource[T],
        scope: Scope = EVERYTHING,
        *,
        resource_version: str = "",
        duration: float = 300.0,
        inactivity: float = 120.0,
    ) -> AsyncGenerator[answers.WatchEvent[T], None]:
        """Changes after ``resource_version``, until the server ends the stream.

        ``duration`` seconds are asked of the server, ``inactivity`` seconds of silence end the
        stream with DeadlineError. Raises APIStatusError (410, as HTTP or as an event, when the
        version is too old) and TransportError. Bookmarks are asked for, but may not come.
        """
        query = (
            *scope.query(),
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(max(int(duration), 1))),
        )
        if resource_version:
            query += (("resourceVersion", resource_version),)
        call = transport.Call(
            "GET",
            resource.path(namespace=scope.namespace),
            query=query,
            accept=_accept(resource),
            is_idempotent=True,
        )
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=transport.CONNECT_TIMEOUT, sock_read=inactivity
        )
        reader = self._reader(resource)
        async with (
            self._exchange.opened(call, limits) as response,
            contextlib.aclosing(answers.lines(response)) as lines,
        ):
            async for line in lines:
                if (event := reader.event(line)) is not None:
                    yield event

    # Writing.

    async def create(
        self,
        resource: resources.Resource[T],
        obj: T | Mapping[str, typing.Any],
        *,
        namespace: str = "",
        is_limited: bool = True,
    ) -> T:
        """Create an object; raises APIStatusError (409 AlreadyExists) and TransportError."""
        call = transport.Call(
            "POST",
            resource.path(namespace=namespace),
            query=(("fieldManager", self.settings.field_manager),),
            body=msgspec.json.encode(obj),
            accept=_accept(resource),
            is_limited=is_limited,
        )
        return self._reader(resource).object(await self._exchange.send(call))

    async def create_token(
        self, account: str, *, namespace: str, audiences: Sequence[str] = ()
    ) -> str:
        """A token of a ServiceAccount for these audiences (TokenRequest).

        Raises APIStatusError (404 when there is no such account) and TransportError.
        """
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": list(audiences)},
        }
        path = resources.SERVICE_ACCOUNTS.path(
            namespace=namespace, name=account, subresource="token"
        )
        body = await self._exchange.send(
            transport.Call("POST", path, body=msgspec.json.encode(request))
        )
        return answers.token(body)

    async def update(
        self,
        resource: resources.Resource[T],
        name: str,
        obj: T,
        *,
        namespace: str = "",
        subresource: str = "",
        is_limited: bool = True,
    ) -> T:
        """Replace an object, whose type must hold all that the object holds.

        Raises APIStatusError (409 when its resourceVersion is not the newest), TransportError.
        """
        call = transport.Call(
            "PUT",
            resource.path(namespace=namespace, name=name, subresource=subresource),
            query=(("fieldManager", self.settings.field_manager),),
            body=msgspec.json.encode(obj),
            accept=_accept(resource),
            is_limited=is_limited,
        )
        return self._reader(resource).object(await self._exchange.send(call))

    async def patch(
        self,
        resource: resources.Resource[T],
        name: str,
        change: patch.Patch,
        *,
        namespace: str = "",
        subresource: str = "",
        is_forced: bool = False,
    ) -> T:
        """Change an object and return what it now is; raises APIStatusError and TransportError.

        ``is_forced`` lets a server-side apply take fields from other managers.
        """
        query: tuple[tuple[str, str], ...] = (("fieldManager", self.settings.field_manager),)
        if is_forced:
            query += (("force", "true"),)
        call = transport.Call(
            "PATCH",
            resource.path(namespace=namespace, name=name, subresource=subresource),
            query=query,
            body=change.body,
            content_type=change.content_type,
            accept=_accept(resource),
            is_idempotent=change.is_idempotent,
        )
        return self._reader(resource).object(await self._exchange.send(call))

    async def delete(
        self,
        resource: resources.Resource[typing.Any],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        propagation: str = "Background",
    ) -> None:
        """Delete an object, only if it still has ``uid`` when one is given.

        Raises APIStatusError (404, 409 for another uid) and TransportError.
        """
        options: dict[str, typing.Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if uid:
            options["preconditions"] = {"uid": uid}
        call = transport.Call(
            "DELETE",
            resource.path(namespace=namespace, name=name),
            body=msgspec.json.encode(options),
        )
        await self._exchange.send(call)

    # The server itself.

    async def versions(self, group: str) -> tuple[str, ...]:
        """Versions that the server serves of a group, its preferred one first; () for none."""
        try:
            found = await self.document(f"/apis/{group}")
        except errors.APIStatusError as exc:
            if answers.is_not_found(exc):
                return ()
            raise
        served = [str(entry.get("version", "")) for entry in found.get("versions") or ()]
        preferred = (found.get("preferredVersion") or {}).get("version")
        return tuple(sorted(served, key=lambda version: version != preferred))

    async def discover(self, group: str, version: str) -> tuple[str, ...]:
        """Plurals that the server serves in a group and version; () when it has neither."""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            found = await self.document(root)
        except errors.APIStatusError as exc:
            if answers.is_not_found(exc):
                return ()
            raise
        return tuple(str(entry.get("name", "")) for entry in found.get("resources") or ())

    async def document(
        self, path: str, *, accept: str = "application/json"
    ) -> dict[str, typing.Any]:
        """Any JSON document of the API, as it is; raises APIStatusError and TransportError."""
        body = await self._exchange.send(
            transport.Call("GET", path, accept=accept, is_idempotent=True)
        )
        try:
            decoded = msgspec.json.decode(body)
        except answers.UNREADABLE as exc:
            raise errors.TransportError(f"unreadable answer to {path}: {exc}") from exc
        if not isinstance(decoded, dict):
            raise errors.TransportError(f"unreadable answer to {path}: not an object")
        return decoded

    async def text_lines(
        self, path: str, *, query: tuple[tuple[str, str], ...] = (), inactivity: float = 300.0
    ) -> AsyncGenerator[bytes, None]:
        """Lines of a text as they come, such as a Pod's log, until the server ends it.

        ``inactivity`` seconds of silence end it with DeadlineError. Raises APIStatusError and
        TransportError.
        """
        call = transport.Call("GET", path, query=query, accept="*/*", is_idempotent=True)
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=transport.CONNECT_TIMEOUT, sock_read=inactivity
        )
        async with (
            self._exchange.opened(call, limits) as response,
            contextlib.aclosing(answers.lines(response)) as lines,
        ):
            async for line in lines:
                yield line

    async def adopt_server_fairness(self) -> bool:
        """Limit ourselves no more if the server queues fairly (API priority and fairness).

        Raises APIStatusError and TransportError.
        """
        # Every answer tells it, and this one may be read by every account.
        call = transport.Call("GET", "/version", accept="*/*", is_idempotent=True)
        async with self._exchange.opened(call) as response:
            is_fair = "X-Kubernetes-PF-FlowSchema-UID" in response.headers
        if is_fair:
            self._exchange.lift_limit()
        return is_fair

    def _reader(self, resource: resources.Resource[T]) -> answers.Reader[T]:
        reader = self._readers.get(resource)
        if reader is None:
            reader = answers.Reader(resource, complain=_log.error)
            self._readers[resource] = reader
        return reader


def _accept(resource: resources.Resource[typing.Any], *, is_list: bool = False) -> str:
    if not resource.is_metadata_only:
        return resources.JSON
    # Plain JSON is no alternative: it would carry the Secrets' data.
    return resources.METADATA_LIST if is_list else resources.METADATA_ONLY
