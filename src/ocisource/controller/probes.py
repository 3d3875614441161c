"""The endpoints by which others look at a controller process: metrics, health, readiness.

``/metrics`` prints all series; ``/healthz`` is 200 as long as the process serves; ``/readyz`` is
200 once ``is_ready`` says so, else 503 with its reason. GET and HEAD only, nothing else is served.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from ocisource import metrics
from ocisource.net import listening

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_SHUTDOWN_SECONDS = 1.0
MAX_CONNECTIONS = 64  # of one endpoint; probes and scrapers need a few

Readiness = Callable[[], str]  # "" when ready, else what is waited for


class Endpoints:
    """A small HTTP server; start() and stop() it."""

    def __init__(self, application: web.Application) -> None:
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, *, flag: str) -> tuple[str, int]:
        """Listen; an empty host means every interface. Returns the address.

        Raises UsageError when the address cannot be had, naming the ``flag`` it is from.
        """
        await self._runner.setup()
        try:
            with listening.at(host, port, flag=flag):
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(self._connection, host or None, port)
        except BaseException:
            await self._runner.cleanup()
            raise
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    def _connection(self) -> asyncio.BaseProtocol:
        """A connection more; the oldest makes room for it.

        Whoever opens thousands and says nothing would otherwise leave the process without files.
        """
        server = self._runner.server
        assert server is not None, "set up before anybody connects"
        held = server.connections
        for oldest in held[: max(len(held) - MAX_CONNECTIONS + 1, 0)]:
            oldest.force_close()
        return server()

    async def stop(self) -> None:
        """Close the listener and its connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


def metrics_endpoints(observed: metrics.Metrics) -> Endpoints:
    """``/metrics``; the series are printed in a thread, so that a scrape does not hold the loop."""

    async def scrape(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(observed.exposition)
        return web.Response(body=body, headers={"Content-Type": _TEXT_FORMAT})

    application = web.Application()
    application.router.add_get("/metrics", scrape)
    return Endpoints(application)


def health_endpoints(is_ready: Readiness) -> Endpoints:
    """``/healthz`` and ``/readyz``."""

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def ready(_: web.Request) -> web.Response:
        waiting_for = is_ready()
        return web.Response(text=waiting_for or "ok", status=503 if waiting_for else 200)

    application = web.Application()
    application.router.add_get("/healthz", healthy)
    application.router.add_get("/readyz", ready)
    return Endpoints(application)
