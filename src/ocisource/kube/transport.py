"""One API server's connection pool: TLS, login, proxy, deadlines; errors of our own tree.

The pool is renewed when the CA or the client certificate changes (a kubelet or a plugin rotates
them); requests on the old pool are let finish.
"""

import base64
import contextlib
import dataclasses
import os
import socket
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import yarl

from ocisource import errors, metrics
from ocisource.kube import config, failures, logins
from ocisource.net import names, proxy, sockets, socks, tls

CONNECTIONS = 256  # at once to one API server: workers, watches and the lease together
CONNECT_TIMEOUT = 10.0  # seconds for TCP and TLS
KEEPALIVE = 90.0  # seconds an idle connection is kept; API servers close theirs after more
MAX_HEADER_BYTES = 64 * 1024  # of one header field: audit and warning headers can be long
# A peer that vanished without a word is noticed after 30 + 3 times 10 seconds.
_PROBE_IDLE, _PROBE_INTERVAL, _PROBE_COUNT = 30, 10, 3


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A request before a login is added; ``is_limited`` False passes the rate limiter by."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = dataclasses.field(default=None, repr=False)
    content_type: str = "application/json"
    accept: str = "application/json"
    is_idempotent: bool = False
    is_limited: bool = True


@dataclasses.dataclass(slots=True, eq=False)
class _Pool:
    session: aiohttp.ClientSession
    key: tuple[bytes, bytes, bytes]
    users: int = 0


class Transport:
    """Sends calls, one attempt each."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        *,
        user_agent: str,
        environ: Mapping[str, str] = os.environ,
        observed: metrics.Metrics | None = None,
    ) -> None:
        self._cluster = cluster
        self._base = yarl.URL(cluster.server)
        self._user_agent = user_agent
        self._observed = observed
        self._counters: dict[tuple[str, str], Callable[[], None]] = {}
        self._pool: _Pool | None = None
        self._retired: set[_Pool] = set()
        self._is_closed = False
        self._sockets = sockets.Sockets(prepare=_probe)
        self._look_ups = names.LookUps(timeout=CONNECT_TIMEOUT)
        self._proxy = (
            _proxy(cluster.proxy_url)
            if cluster.proxy_url
            else proxy.from_environment(cluster.server, environ=environ)
        )

    @property
    def host(self) -> str:
        """``host:port`` of the API server."""
        return self._base.authority

    @property
    def _is_socks(self) -> bool:
        return self._proxy is not None and self._proxy.scheme == "socks5"

    async def close(self) -> None:
        """Close all connections, also those of pools in retirement; later calls fail."""
        self._is_closed = True
        pools = {*self._retired, *([self._pool] if self._pool is not None else [])}
        self._pool = None
        self._retired.clear()
        for pool in pools:
            await pool.session.close()
        await self._sockets.end()

    @contextlib.asynccontextmanager
    async def open(
        self, call: Call, *, login: logins.Login, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a call and yield the answer, whatever its status, with the body yet to be read.

        Raises CredentialError, TransportError and its leaves, the latter also for what goes wrong
        while the caller reads; AbandonedError after close().
        """
        pool = self._renewed(login)
        pool.users += 1
        code = "<error>"
        try:
            with failures.translated(self.host):
                async with pool.session.request(
                    call.method,
                    self._url(call),
                    data=call.body,
                    headers=self._headers(call, login),
                    allow_redirects=False,
                    timeout=limits,
                    server_hostname=self._cluster.tls_server_name or None,
                    proxy=self._proxy.address if self._proxy and not self._is_socks else None,
                    proxy_headers=self._proxy_headers(),
                ) as response:
                    code = str(response.status)
                    self._count(call.method, code)
                    yield response
        except errors.TLSError:
            # The server may have a new CA: read ours again for the next attempt.
            self._cluster.certificate_authority.expire()
            raise
        except RuntimeError as exc:
            # aiohttp's answer to reading on a connection that close() has ended.
            if not self._is_closed:
                raise
            raise self._closed() from exc
        finally:
            if code == "<error>":
                self._count(call.method, code)
            pool.users -= 1
            await self._close_unused()

    def _count(self, method: str, code: str) -> None:
        if self._observed is None:
            return
        count = self._counters.get((method, code))
        if count is None:
            count = self._observed.rest_requests.labels(code, method, self.host).inc
            self._counters[method, code] = count
        count()

    def _url(self, call: Call) -> yarl.URL:
        # Paths come percent-encoded from Resource.path, and must not be encoded again.
        path = self._base.raw_path.rstrip("/") + call.path
        return self._base.with_path(path, encoded=True).with_query(call.query)

    def _headers(self, call: Call, login: logins.Login) -> list[tuple[str, str]]:
        headers = [("Accept", call.accept), ("User-Agent", self._user_agent)]
        if call.body is not None:
            headers.append(("Content-Type", call.content_type))
        if authorization := login.authorization:
            if not (authorization.isascii() and authorization.isprintable()):
                raise errors.CredentialError(
                    "the token for the API server holds characters that no header can carry"
                )
            headers.append(("Authorization", authorization))
        if self._base.scheme == "http":  # a tunnel's own headers are sent by the connector
            headers += self._proxy_headers().items()
        acting = self._cluster.impersonation
        if acting.user:
            headers.append(("Impersonate-User", acting.user))
            headers += [("Impersonate-Group", group) for group in acting.groups]
            if acting.uid:
                headers.append(("Impersonate-Uid", acting.uid))
            for key, values in acting.extra:
                # A key may hold what a header's name may not (a slash, say).
                name = f"Impersonate-Extra-{urllib.parse.quote(key, safe='')}"
                headers += [(name, value) for value in values]
        return headers

    def _proxy_headers(self) -> dict[str, str]:
        if self._proxy is None or self._is_socks or not self._proxy.username:
            return {}
        pair = f"{self._proxy.username}:{self._proxy.password}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def _renewed(self, login: logins.Login) -> _Pool:
        """The pool for this login and the CA of the moment; raises AbandonedError after close()."""
        if self._is_closed:  # a pool made now would be closed by nobody
            raise self._closed()
        authority = self._cluster.certificate_authority.read()
        key = (authority, login.certificate_pem, login.key_pem)
        pool = self._pool
        if pool is not None and pool.key == key:
            return pool
        self._pool = _Pool(self._new_session(authority, login), key)
        if pool is not None:
            self._retired.add(pool)
        return self._pool

    def _closed(self) -> errors.AbandonedError:
        return errors.AbandonedError(f"the client of the API server {self.host} was closed")

    async def _close_unused(self) -> None:
        """Close retired pools that serve nobody; if that is cut short, close() still finds them."""
        for pool in [each for each in self._retired if not each.users]:
            await pool.session.close()
            self._retired.discard(pool)

    def _new_session(self, authority: bytes, login: logins.Login) -> aiohttp.ClientSession:
        identity = tls.TLSIdentity(
            ca_pem=authority or None,
            certificate_pem=login.certificate_pem or None,
            key_pem=login.key_pem or None,
        )
        context = identity.context(
            is_verified=not self._cluster.is_insecure,
            has_system_roots=not authority,
            origin=tls.Origin(ca=self._cluster.certificate_authority.where, pair=login.origin),
        )
        connector: aiohttp.BaseConnector
        if self._proxy is not None and self._is_socks:
            connector = socks.Connector(
                self._proxy,
                context=context,
                limit=CONNECTIONS,
                keepalive_timeout=KEEPALIVE,
                look_ups=self._look_ups,
            )
        else:
            connector = aiohttp.TCPConnector(
                ssl=context,
                resolver=names.Resolver(self._look_ups),
                limit=CONNECTIONS,
                keepalive_timeout=KEEPALIVE,
                socket_factory=self._sockets.make,
            )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_field_size=MAX_HEADER_BYTES,
        )


def _proxy(url: str) -> proxy.Proxy:
    try:
        return proxy.Proxy.parse(url)
    except errors.CredentialError as exc:
        raise errors.UsageError(f"proxy-url: {exc}") from exc


def _probe(made: socket.socket) -> None:
    """Let a socket ask a silent peer whether it is still there."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _PROBE_IDLE),
        ("TCP_KEEPINTVL", _PROBE_INTERVAL),
        ("TCP_KEEPCNT", _PROBE_COUNT),
    ):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
