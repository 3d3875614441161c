"""Pooled connections of one registry, for one credential and one TLS identity.

Rules:

1. One aiohttp session per role and proxy, opened when first needed: the registry itself, its token
   service, and the places it redirects to. A connection never changes its role.
2. The client certificate is shown to the registry and its token service, not to redirect targets;
   the CA is trusted at all of them.
3. Redirects are never followed here, cookies never kept, bodies never decompressed: what is hashed
   is what was sent.
4. `http` and `https` proxies are aiohttp's; `socks5` has a connector in `net`, which leaves the
   lookup of names to the proxy.
"""

import asyncio
import base64
import dataclasses
import io
import ssl
import string
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
import yarl

from ocisource import errors, metrics
from ocisource.net import proxy as proxies
from ocisource.net import sockets, socks
from ocisource.net.tls import TLSIdentity
from ocisource.oci import flights, limits
from ocisource.oci.hosts import failures, guard, names, places

_SOCKS = "socks5"
_PIECE = 256 * 1024  # bytes of a body that are written at once
_NO_ANSWER = "<error>"  # as client-go counts requests that got none


class Way(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a host is reached: everything that two tenants must not share a connection across."""

    host: str
    tls: TLSIdentity | None = None
    proxy: proxies.Proxy | None = None
    is_insecure: bool = False

    @property
    def is_verified(self) -> bool:
        """Whether server certificates are checked: `insecure` alone turns it off."""
        return not self.is_insecure or self.tls is not None


class Contexts:
    """TLS contexts by identity, made once: reading the system's roots takes many milliseconds."""

    def __init__(self, *, bound: int = 256) -> None:
        self._contexts: dict[tuple[TLSIdentity, bool], ssl.SSLContext] = {}
        self._bound = bound
        self._flights: flights.Flights[ssl.SSLContext] = flights.Flights()

    async def get(self, identity: TLSIdentity, *, is_verified: bool) -> ssl.SSLContext:
        """The context for an identity; raises CredentialError."""
        key = (identity, is_verified)
        context = self._contexts.get(key)
        if context is None:
            context = await self._flights.share(key, self._make, identity, is_verified)
        return context

    async def _make(self, identity: TLSIdentity, is_verified: bool) -> ssl.SSLContext:  # noqa: FBT001
        context = await asyncio.to_thread(identity.context, is_verified=is_verified)
        while len(self._contexts) >= self._bound:
            del self._contexts[next(iter(self._contexts))]
        self._contexts[identity, is_verified] = context
        return context


@dataclasses.dataclass(frozen=True, slots=True)
class _Route:
    """How requests to one origin go out: session, aiohttp options, headers for an http proxy."""

    session: aiohttp.ClientSession
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


class Connections:
    """The sessions of one pool."""

    def __init__(
        self,
        way: Way,
        *,
        contexts: Contexts,
        settings: limits.RegistrySettings,
        known_names: names.Names | None = None,
        environment_proxy: Callable[[str], proxies.Proxy | None] = proxies.from_environment,
        observed: metrics.Metrics | None = None,
    ) -> None:
        self._way = way
        self._contexts = contexts
        self._names = known_names or names.Names(timeout=settings.connect_timeout)
        self._owns_names = known_names is None
        self._settings = settings
        self._environment_proxy = environment_proxy
        self._observed = observed
        self.guard = guard.Guard(way.host)
        self._sessions: dict[tuple[guard.Role, proxies.Proxy | None], aiohttp.ClientSession] = {}
        self._sockets = sockets.Sockets()
        self._is_closed = False
        self._routes: dict[tuple[guard.Role, str, str], _Route] = {}
        # The registry's own origin, as the last request had it, and the route there.
        self._home: tuple[str, _Route] | None = None
        self._counters: dict[tuple[str, str], Callable[[], None]] = {}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        role: guard.Role,
        headers: Mapping[str, str],
        data: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """One request, no redirects; the caller reads or releases the response.

        Raises TransportError and its leaves, and CredentialError for a TLS identity or proxy that
        cannot be used; AbandonedError after close().
        """
        try:
            target = yarl.URL(_quoted(url), encoded=True)
            if role is guard.Role.HOME and self._home is not None and url.startswith(self._home[0]):
                route = self._home[1]
            else:
                route = await self._route(method, target, role)
        except ValueError as error:
            raise failures.translation(error, method, url) from error
        if route.headers:
            headers = {**headers, **route.headers}
        try:
            response = await route.session.request(
                method,
                target,
                headers=headers,
                # Written piece by piece, so that others have their turn.
                data=io.BytesIO(data) if data is not None and len(data) > _PIECE else data,
                allow_redirects=False,
                **route.options,
            )
        except failures.FOREIGN as error:
            self._count(method, _NO_ANSWER)
            raise failures.translation(error, method, url) from error
        self._count(method, str(response.status))
        return response

    def _count(self, method: str, code: str) -> None:
        if self._observed is None:
            return
        count = self._counters.get((method, code))
        if count is None:
            count = self._observed.registry_requests.labels(method, code).inc
            self._counters[method, code] = count
        count()

    async def _route(self, method: str, target: yarl.URL, role: guard.Role) -> "_Route":
        key = (role, target.scheme, target.raw_authority)
        route = self._routes.get(key)
        if route is None:
            route = await self._new_route(method, target, role)
            self._routes[key] = route
        elif role is not guard.Role.HOME:
            # What a place named by the registry may be depends on where the registry is by now.
            self.guard.check_host(target.host or "", role=role)
        if role is guard.Role.HOME:
            # Ends in a slash, so that no other host begins with it.
            self._home = (f"{target.scheme}://{target.raw_authority}/", route)
        return route

    async def _new_route(self, method: str, target: yarl.URL, role: guard.Role) -> "_Route":
        host = target.host
        if target.scheme not in places.DEFAULT_PORTS or not host:
            raise errors.ForbiddenAddressError(f"{method}: only http and https URLs are followed")
        self.guard.check_host(host, role=role)
        proxy = self._way.proxy or self._environment_proxy(
            f"{target.scheme}://{target.raw_authority}"
        )
        session = self._sessions.get((role, proxy))
        if session is None:
            session = await self._open(role, proxy)
        if proxy is None or proxy.scheme == _SOCKS:
            return _Route(session)
        self.guard.check_host(proxy.host, role=guard.Role.PROXY)
        options: dict[str, Any] = {"proxy": yarl.URL(proxy.address)}
        if not proxy.username:
            return _Route(session, options)
        authorization = {"Proxy-Authorization": _basic(proxy.username, proxy.password)}
        if target.scheme == "https":
            return _Route(session, {**options, "proxy_headers": authorization})
        return _Route(session, options, authorization)

    async def _open(self, role: guard.Role, proxy: proxies.Proxy | None) -> aiohttp.ClientSession:
        identity = self._way.tls or TLSIdentity()
        if role is guard.Role.ELSEWHERE:
            identity = dataclasses.replace(identity, certificate_pem=None, key_pem=None)
        context = await self._contexts.get(identity, is_verified=self._way.is_verified)
        if self._is_closed:
            raise errors.AbandonedError("the registry client was closed")
        session = self._sessions.get((role, proxy))
        if session is not None:  # another caller was quicker
            return session
        # A proxied session looks up only the proxy's own name.
        looked_up = role if proxy is None else guard.Role.PROXY
        resolver = guard.Resolver(self.guard, self._names, role=looked_up)
        settings = self._settings
        connector: aiohttp.BaseConnector
        if proxy is not None and proxy.scheme == _SOCKS:
            connector = SocksConnector(
                proxy,
                context=context,
                resolver=resolver,
                check=lambda host: self.guard.check_host(host, role=guard.Role.PROXY),
                keepalive_timeout=settings.keepalive,
                limit=settings.connections,
            )
        else:
            connector = aiohttp.TCPConnector(
                ssl=context,
                resolver=resolver,
                keepalive_timeout=settings.keepalive,
                limit=settings.connections,
                socket_factory=self._sockets.make,
            )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": limits.USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            requote_redirect_url=False,
            trust_env=False,
        )
        self._sessions[role, proxy] = session
        return session

    async def close(self) -> None:
        """Close all connections, for good."""
        self._is_closed = True
        sessions = list(self._sessions.values())
        self._sessions.clear()
        self._routes.clear()
        self._home = None
        if self._owns_names:
            await self._names.close()
        for session in sessions:
            await session.close()
        await self._sockets.end()


class SocksConnector(socks.Connector):
    """Connections through a SOCKS5 proxy whose own place is checked before it is contacted."""

    def __init__(
        self,
        proxy: proxies.Proxy,
        *,
        context: ssl.SSLContext,
        resolver: guard.Resolver,
        check: Callable[[str], None],
        keepalive_timeout: float,
        limit: int,
    ) -> None:
        super().__init__(proxy, context=context, keepalive_timeout=keepalive_timeout, limit=limit)
        self._resolver = resolver
        self._check = check

    async def proxy_hosts(self) -> Sequence[str]:
        """The addresses of the proxy; raises ForbiddenAddressError."""
        self._check(self._proxy.host)
        found = await self._resolver.resolve(self._proxy.host, self._proxy.port)
        return [each["host"] for each in found]


def _quoted(url: str) -> str:
    """A URL fit for a request line; what is quoted already stays as it is, or signatures break."""
    if url.isascii() and url.isprintable() and " " not in url:
        return url
    return urllib.parse.quote(url, safe=string.punctuation)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
