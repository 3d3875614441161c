"""Kubernetes events, written in the background: record() never waits and never fails.

An event is correlated when it is recorded, and waits for its turn in a bounded queue in which
repetitions of the same event take one place, so that an hour without the API costs one write per
event. The first writing is a POST, repetitions are a PATCH of count, lastTimestamp and message; an
event that the server has expired meanwhile is created anew.

Example::

    recorder = Recorder(api, component="source-controller", host="pod-1")
    task = asyncio.create_task(recorder.run())
    recorder.record(about, event_type=NORMAL, reason="NewArtifact", message="stored artifact …")
"""

import asyncio
import collections
import contextlib
import dataclasses
import random
import time
import typing
from collections.abc import Awaitable, Callable, Mapping

from ocisource import errors, logs
from ocisource.api import meta
from ocisource.kube import answers, client, correlator, patch, resources
from ocisource.net import backoff
from ocisource.wire import timestamps

NORMAL: typing.Final = "Normal"
WARNING: typing.Final = "Warning"

_SERVER_ERROR = 500
_TOO_MANY = 429
_UNAUTHORIZED = 401

_log = logs.get("events")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """How events are written: ``queue`` of them wait at most, each is tried ``attempts`` times.

    ``message`` characters are kept of a text.
    """

    queue: int = 1000
    attempts: int = 12
    message: int = 16 * 1024
    retry: backoff.Backoff


DEFAULTS: typing.Final = RecorderSettings(
    retry=backoff.Backoff(initial=1.0, factor=2.0, cap=10.0, jitter=0.5)
)


class Forwarder(typing.Protocol):
    """Somebody else who wants to hear of events."""

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
        """Take an event of the moment ``at`` (seconds since the epoch) without waiting."""
        ...


class Recorder:
    """Records events; run() writes them."""

    def __init__(
        self,
        api: client.Client,
        *,
        component: str,
        host: str = "",
        forwarder: Forwarder | None = None,
        settings: RecorderSettings = DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._api = api
        self._source = resources.EventSource(component=component)
        self._host = host
        self._forwarder = forwarder
        self._settings = settings
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._correlator = correlator.Correlator(clock=clock)
        # What waits, by what it is a repetition of: a later count takes the earlier one's place.
        self._queue: collections.OrderedDict[correlator.Key, resources.Event] = (
            collections.OrderedDict()
        )
        self._written: correlator.Recent[str] = correlator.Recent(correlator.DEFAULTS.memory)
        self._has_work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._last_nanoseconds = 0
        self.dropped = 0

    def record(
        self,
        about: resources.ObjectReference,
        *,
        event_type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
        is_trace: bool = False,
    ) -> None:
        """Record an event; a trace is for Kubernetes alone and goes to no forwarder."""
        now = self._wall()
        if self._forwarder is not None and not is_trace:
            self._forwarder.forward(
                about,
                event_type=event_type,
                reason=reason,
                message=message,
                annotations=annotations or {},
                at=now,
            )
        event = self._event(
            about,
            event_type=event_type,
            reason=reason,
            message=message,
            annotations=annotations or {},
            now=now,
        )
        found = self._correlator.correlate(event)
        if found is None:
            return
        if found.key not in self._queue and len(self._queue) >= self._settings.queue:
            self.dropped += 1
            if self.dropped == 1:
                _log.error("events are dropped", error="the API server does not take them in time")
            return
        self._queue[found.key] = found.event
        self._idle.clear()
        self._has_work.set()

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            while not self._queue:
                self._has_work.clear()
                self._idle.set()
                await self._has_work.wait()
            key, event = self._queue.popitem(last=False)
            try:
                await self._write(key, event)
            except Exception as exc:  # noqa: BLE001 - one event must not end the writing of others
                _log.error("unable to write event", error=str(exc) or type(exc).__name__)

    async def flush(self, grace: float) -> bool:
        """Wait until all events are written, ``grace`` seconds at most; True if they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        return self._idle.is_set()

    def _event(
        self,
        about: resources.ObjectReference,
        *,
        event_type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str],
        now: float,
    ) -> resources.Event:
        # Two events of one object must not get one name, however coarse the clock.
        self._last_nanoseconds = max(int(now * 1e9), self._last_nanoseconds + 1)
        moment = timestamps.format_seconds(now)
        return resources.Event(
            metadata=meta.ObjectMeta(
                name=correlator.event_name(about.name, nanoseconds=self._last_nanoseconds),
                namespace=about.namespace or "default",
                annotations=dict(annotations),
            ),
            involved_object=about,
            reason=reason,
            message=message[: self._settings.message],
            type=event_type,
            source=self._source,
            first_timestamp=moment,
            last_timestamp=moment,
            count=1,
            reporting_component=self._source.component,
            reporting_instance=self._host,
        )

    async def _write(self, key: correlator.Key, event: resources.Event) -> None:
        for attempt in range(self._settings.attempts):
            try:
                await self._send(key, event)
            except errors.APIStatusError as exc:
                if exc.code < _SERVER_ERROR and exc.code not in {_TOO_MANY, _UNAUTHORIZED}:
                    # A namespace that is going away, say: trying again would not help.
                    _log.debug("event was rejected", error=exc.text)
                    return
                failure: errors.OcisourceError = exc
            except (errors.TransportError, errors.CredentialError) as exc:
                failure = exc
            else:
                return
            if attempt == self._settings.attempts - 1:
                _log.error("unable to write event", error=failure.text)
                return
            await self._sleep(self._settings.retry.delay(attempt, rng=self._rng))
            # What was recorded meanwhile holds this one.
            event = self._queue.pop(key, event)

    async def _send(self, key: correlator.Key, event: resources.Event) -> None:
        if self._written.get(key) == event.metadata.name:
            change = {
                "count": event.count,
                "lastTimestamp": event.last_timestamp,
                "message": event.message,
            }
            try:
                await self._api.patch(
                    resources.EVENTS,
                    event.metadata.name,
                    patch.merge(change),
                    namespace=event.metadata.namespace,
                )
            except errors.APIStatusError as exc:
                if not answers.is_not_found(exc):
                    raise
            else:
                return
        try:
            await self._api.create(resources.EVENTS, event, namespace=event.metadata.namespace)
        except errors.APIStatusError as exc:
            if not answers.is_already_there(exc):
                raise
        self._written.put(key, event.metadata.name)
