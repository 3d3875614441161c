"""Forwarding of events to a notification-controller (``--events-addr``), as Flux's runtime does.

One POST of JSON per event, 5 seconds each, tried again after connection errors and 5xx; 429 means
"I have had that one" and counts as success. Forwarding has a queue and a worker of its own, so a
receiver that hangs delays nothing else; a failure is only logged.
"""

import asyncio
import collections
import random
import time
import typing
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import msgspec

from ocisource import logs, metrics
from ocisource.kube import events, losses, resources
from ocisource.net import backoff, names, redact
from ocisource.wire import timestamps

TIMEOUT = 5.0  # seconds for one POST
QUEUE = 20_000  # events that wait at most, those of a cold start; further ones are dropped
MAX_AGE = 600.0  # seconds after which an event that still waits is of no use to anybody
_RETRY: typing.Final = backoff.Backoff(initial=1.0, factor=2.0, cap=30.0, jitter=0.2, attempts=5)
_SERVER_ERROR = 500
_TOO_MANY = 429
_REFUSED = 400
_SEVERITIES = {events.NORMAL: "info", events.WARNING: "error"}

_log = logs.get("notification")


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Flux's ``eventv1.Event``."""

    involved_object: resources.ObjectReference
    severity: str
    timestamp: str
    message: str
    reason: str
    metadata: dict[str, str]
    reporting_controller: str
    reporting_instance: str


class Notifier:
    """Takes events without waiting; run() sends them."""

    def __init__(
        self,
        address: str,
        *,
        component: str,
        host: str,
        observed: metrics.Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._address = address
        self._component = component
        self._host = host
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._queue: collections.deque[tuple[float, _Body]] = collections.deque()
        self._has_work = asyncio.Event()
        self.lost = losses.Losses(
            "receiver",
            write=_log.error,
            message="events are not forwarded",
            cause="the receiver does not take them in time",
            observed=observed,
            clock=clock,
        )

    def forward(
        self,
        about: resources.ObjectReference,
        *,
        event_type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str],
        at: float,
    ) -> None:
        """Let an event wait for its turn."""
        if len(self._queue) >= QUEUE:
            self.lost.add()
            return
        body = _Body(
            involved_object=about,
            severity=_SEVERITIES.get(event_type, "info"),
            timestamp=timestamps.format_seconds(at),
            message=message,
            reason=reason,
            metadata=dict(annotations),
            reporting_controller=self._component,
            reporting_instance=self._host,
        )
        self._queue.append((at, body))
        self._has_work.set()

    async def run(self) -> None:
        """Send events until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=names.Resolver(names.LookUps(timeout=TIMEOUT))),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        ) as session:
            while True:
                while not self._queue:
                    self._has_work.clear()
                    await self._has_work.wait()
                at, body = self._queue.popleft()
                if self._wall() - at > MAX_AGE:
                    self.lost.add()
                    continue
                await self._deliver(session, body)

    async def _deliver(self, session: aiohttp.ClientSession, body: _Body) -> None:
        content = msgspec.json.encode(body)
        problem = ""
        for attempt in range(_RETRY.attempts):
            if attempt:
                await self._sleep(_RETRY.delay(attempt - 1, rng=self._rng))
            try:
                async with session.post(
                    self._address,
                    data=content,
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                ) as response:
                    status = response.status
            except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                problem = redact.foreign(str(exc)) or type(exc).__name__
                continue
            if status == _TOO_MANY or status < _REFUSED:
                return
            problem = f"HTTP status {status}"
            if status < _SERVER_ERROR:
                break
        _log.error(
            "unable to record event",
            error=f"POST {redact.url(self._address)}: {problem}",
            name=body.involved_object.name,
            namespace=body.involved_object.namespace,
        )
