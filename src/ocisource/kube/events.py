"""Kubernetes events, written in the background: record() never waits and never fails.

An event is correlated when it is recorded, and waits for its turn in one of two bounded lanes, in
which repetitions of the same event take one place:

* news: whatever tells of a change or a failure. Room for a cold start of ten thousand objects with
  as many failures, written by a few writers as fast as the API takes them.
* routine: "nothing new". Written at a steady pace for all objects together, because with thousands
  of them it would be most of what the API server is asked, and those of a second at once, because
  waking up for one of them costs several times its work. What waits is folded, not lost, as long as
  there is room; then routine is dropped, and never news for its sake.

What is dropped is counted (``ocisource_events_dropped_total``) and logged once a minute.

Example::

    recorder = Recorder(api, component="source-controller", host="pod-1")
    task = asyncio.create_task(recorder.run())
    recorder.record(about, event_type=NORMAL, reason="NewArtifact", message="stored artifact …")
"""

import asyncio
import contextlib
import dataclasses
import random
import time
import typing
from collections.abc import Awaitable, Callable, Mapping

from ocisource import logs, metrics
from ocisource.api import meta
from ocisource.kube import client, correlator, delivery, lanes, losses, ratelimit, resources
from ocisource.wire import timestamps

NORMAL: typing.Final = "Normal"
WARNING: typing.Final = "Warning"

_MOMENT = 1.0  # seconds; routine whose turn comes within the same one is written together

_log = logs.get("events")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """How events are written; ``message`` characters are kept of a text.

    ``news`` and ``routine`` are how many wait at most in each lane. ``writers`` write news at the
    same time; routine has one, that writes ``routine_burst`` without a pause and then
    ``routine_qps`` a second, ``routine_group`` at the same time: with a few hundred objects nobody
    sees a difference.
    """

    news: int = 20_000
    routine: int = 1000
    writers: int = 4
    routine_qps: float = 10.0
    routine_burst: int = 300
    routine_group: int = 16
    message: int = 16 * 1024


DEFAULTS: typing.Final = RecorderSettings()


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
        observed: metrics.Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._source = resources.EventSource(component=component)
        self._host = host
        self._forwarder = forwarder
        self._settings = settings
        self._wall = wall
        self._delivery = delivery.Delivery(
            api,
            sleep=sleep,
            rng=rng or random.Random(),  # noqa: S311 - spreads retries, guards nothing
        )
        self._correlator = correlator.Correlator(clock=clock)
        self._news = lanes.Lane(settings.news)
        self._routine = lanes.Lane(settings.routine)
        self._pace = ratelimit.TokenBucket(
            qps=settings.routine_qps,
            burst=settings.routine_burst,
            clock=clock,
            sleep=sleep,
            moment=_MOMENT,
        )
        self._last_nanoseconds = 0
        self.lost = losses.Losses(
            "news",
            write=_log.error,
            message="events are dropped",
            cause="the API server does not take them in time",
            observed=observed,
            clock=clock,
        )
        self.lost_routine = losses.Losses(
            "routine",
            write=_log.info,
            message="events that tell nothing new are dropped",
            cause="there are more of them than are written in a second",
            observed=observed,
            clock=clock,
        )

    def has_room_for_routine(self) -> bool:
        """Whether one more routine event can wait; if not, it counts as dropped.

        Asked first where most runs find nothing new: what is dropped should cost nothing.
        """
        if self._routine.is_full:
            self.lost_routine.add()
            return False
        return True

    def record(
        self,
        about: resources.ObjectReference,
        *,
        event_type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
        is_trace: bool = False,
        is_routine: bool = False,
    ) -> None:
        """Record an event; a trace is for Kubernetes alone and goes to no forwarder.

        A routine event tells that nothing is new.
        """
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
        lane = self._routine if is_routine else self._news
        if not lane.put(found.key, found.event):
            self._losses(lane).add()

    async def run(self) -> None:
        """Write events until cancelled."""
        async with asyncio.TaskGroup() as writers:
            for _ in range(self._settings.writers):
                writers.create_task(self._write_news())
            writers.create_task(self._write_routine())

    async def flush(self, grace: float) -> bool:
        """Wait until all events are written, ``grace`` seconds at most; True if they are.

        For a stop: from now on routine is written without its pace.
        """
        self._pace.lift()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._news.wait_idle()
                await self._routine.wait_idle()
                return True
        return False

    async def _write_news(self) -> None:
        while True:
            await self._write(self._news, *await self._news.take())

    async def _write_routine(self) -> None:
        lane = self._routine
        while True:
            group = [await lane.take()]
            await self._pace.take()
            while len(group) < self._settings.routine_group and (more := self._more_routine()):
                group.append(more)
            await asyncio.gather(*(self._write(lane, key, event) for key, event in group))

    def _more_routine(self) -> tuple[correlator.Key, resources.Event] | None:
        """One that waits, if its turn has come."""
        return self._routine.take_now() if len(self._routine) and self._pace.try_take() else None

    async def _write(self, lane: lanes.Lane, key: correlator.Key, event: resources.Event) -> None:
        try:
            if not await self._delivery.write(lane, key, lane.newest(key, event)):
                self._losses(lane).add()
        except Exception as exc:  # noqa: BLE001 - one event must not end the writing of others
            _log.error("unable to write event", error=str(exc) or type(exc).__name__)
        finally:
            lane.done(key)

    def _losses(self, lane: lanes.Lane) -> losses.Losses:
        return self.lost if lane is self._news else self.lost_routine

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
