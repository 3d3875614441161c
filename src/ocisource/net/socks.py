"""HTTP connections through a SOCKS5 proxy (RFC 1928, RFC 1929), which looks up the names itself."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

import aiohttp
import python_socks
from aiohttp import client_proto, tracing
from python_socks.async_ import asyncio as socks

from ocisource.net import names
from ocisource.net import proxy as proxies

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest

ERRORS = (
    python_socks.ProxyError,
    python_socks.ProxyTimeoutError,
    python_socks.ProxyConnectionError,
)


class Connector(aiohttp.BaseConnector):
    """A pool of connections, all through one proxy; raises what aiohttp's own connectors raise."""

    def __init__(
        self,
        proxy: proxies.Proxy,
        *,
        context: ssl.SSLContext,
        keepalive_timeout: float,
        limit: int,
        look_ups: names.LookUps | None = None,
    ) -> None:
        """``look_ups`` find the proxy's own name; without them asyncio's do."""
        super().__init__(keepalive_timeout=keepalive_timeout, limit=limit)
        self._look_ups = look_ups
        self._proxy = proxy
        self._context = context

    async def _create_connection(
        self,
        req: "ClientRequest",
        traces: list[tracing.Trace],  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> client_proto.ResponseHandler:
        host, port = (req.url.raw_host or "").strip("[]"), req.url.port or 0
        is_tls = req.url.scheme == "https"
        async with asyncio.timeout(timeout.sock_connect):
            try:
                sock = await self._tunnel(host, port)
            except (*ERRORS, OSError) as exc:
                # The library's text may hold what the proxy said, but no password.
                cause = exc if isinstance(exc, OSError) else OSError(0, str(exc))
                raise aiohttp.ClientProxyConnectionError(req.connection_key, cause) from exc
            try:
                _, protocol = await self._loop.create_connection(
                    self._factory,
                    sock=sock,
                    ssl=self._context if is_tls else None,
                    server_hostname=(req.server_hostname or host.rstrip(".")) if is_tls else None,
                )
            except ssl.CertificateError as exc:
                sock.close()
                raise aiohttp.ClientConnectorCertificateError(req.connection_key, exc) from exc
            except ssl.SSLError as exc:
                sock.close()
                raise aiohttp.ClientConnectorSSLError(req.connection_key, exc) from exc
            except BaseException:
                sock.close()
                raise
        return protocol

    async def proxy_hosts(self) -> Sequence[str]:
        """The names or addresses by which the proxy is tried, in turn."""
        if self._look_ups is None:
            return (self._proxy.host,)
        found = await self._look_ups.look_up(self._proxy.host, self._proxy.port, socket.AF_UNSPEC)
        return [each["host"] for each in found]

    async def _tunnel(self, host: str, port: int) -> socket.socket:
        """A socket whose other end is ``host:port``."""
        last: Exception | None = None
        for name in await self.proxy_hosts():
            tunnel = socks.Proxy(
                proxy_type=python_socks.ProxyType.SOCKS5,
                host=name,
                port=self._proxy.port,
                username=self._proxy.username or None,
                password=self._proxy.password or None,
                rdns=True,
            )
            try:
                return await tunnel.connect(dest_host=host, dest_port=port)
            except (*ERRORS, OSError) as exc:
                last = exc
        raise last or OSError(f"proxy {self._proxy.host} has no address")
