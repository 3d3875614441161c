"""List and watch without end: one kind of object, mirrored as a stream of changes.

One storey each, from the outside in:

1. ``changes``     never ends: what goes wrong is reported, and begun anew after a back-off.
2. ``_mirrored``   lists the newest state, then watches from there, until the version is too old.
3. ``_watched``    watch after watch, each going on where the last one ended.
4. ``_streamed``   one watch, until the server ends it.

A list never names a resourceVersion, so it is never older than what was seen before (after a 410
there is nothing else one may do). A version that goes backwards tells of a server restored from a
backup: it is treated as a 410.
"""

import asyncio
import contextlib
import dataclasses
import random
import time
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable

from ocisource import errors, logs
from ocisource.kube import answers, client, resources
from ocisource.net import backoff

T = typing.TypeVar("T", bound=resources.Named)

_TOO_MANY = 429
_SERVER_ERROR = 500

_RETRY: typing.Final = backoff.Backoff(initial=0.8, factor=2.0, cap=30.0, jitter=0.5)

_log = logs.get("reflector")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """How a reflector behaves; times in seconds.

    A watch lasts between ``shortest`` and ``longest``, drawn anew each time, so that many
    controllers do not reconnect together. After ``inactivity`` without a byte it is renewed: a
    real server sends a bookmark a minute. One that ends within ``brief`` without an event counts
    as a failure. After ``patience`` failures in a row the list is asked for again. The back-off
    begins anew once ``healthy`` seconds passed without a failure.
    """

    shortest: float = 300.0
    longest: float = 600.0
    inactivity: float = 120.0
    brief: float = 1.0
    patience: int = 5
    healthy: float = 120.0
    retry: backoff.Backoff = _RETRY


DEFAULTS: typing.Final = ReflectorSettings()


@dataclasses.dataclass(frozen=True, slots=True)
class Replaced(typing.Generic[T]):
    """All objects there are now; what is not among them is gone."""

    items: tuple[T, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Changed(typing.Generic[T]):
    """An object was created or changed."""

    obj: T


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted:
    """An object is gone, or no longer among those asked for."""

    namespace: str
    name: str


Change = Replaced[T] | Changed[T] | Deleted


class _TooOldError(Exception):
    """The version cannot be watched from: list anew."""


class Reflector(typing.Generic[T]):
    """Mirrors one kind of object; ``report`` hears of each failure, and None after recovery."""

    def __init__(
        self,
        api: client.Client,
        resource: resources.Resource[T],
        scope: client.Scope = client.EVERYTHING,
        *,
        settings: ReflectorSettings = DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        report: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self._api = api
        self.resource = resource
        self._scope = scope
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._report = report or (lambda _: None)
        self._version = ""
        self._failures = 0
        self._failed_at = 0.0
        self._complaint = ""

    async def changes(self) -> AsyncGenerator[Change[T], None]:
        """All changes, beginning with what is there; ends only when it is closed."""
        while True:
            try:
                async with contextlib.aclosing(self._mirrored()) as mirrored:
                    async for change in mirrored:
                        yield change
            except Exception as exc:  # noqa: BLE001 - a mirror that stopped would show the past
                await self._rest(exc)

    async def _mirrored(self) -> AsyncGenerator[Change[T], None]:
        items, self._version = await self._list()
        self._note_success()
        yield Replaced(items)
        del items  # a stream lasts for days: it must not keep the first state of all objects
        try:
            async with contextlib.aclosing(self._watched()) as watched:
                async for change in watched:
                    yield change
        except _TooOldError as exc:
            _log.debug("list again", kind=self.resource.kind, error=str(exc))

    async def _list(self) -> tuple[tuple[T, ...], str]:
        try:
            listing = await self._api.list(self.resource, self._scope)
        except errors.APIStatusError as exc:
            if not answers.is_expired(exc):
                raise
            # The pages outlived the server's history: take all in one answer.
            page = await self._api.page(self.resource, self._scope, token="", limit=0)
            return page.items, page.resource_version
        return listing.items, listing.resource_version

    async def _watched(self) -> AsyncGenerator[Change[T], None]:
        failures = 0
        while True:
            began = self._clock()
            is_used = False
            failure: Exception | None = None
            try:
                async with contextlib.aclosing(self._streamed()) as streamed:
                    async for change in streamed:
                        is_used = True
                        if change is not None:
                            yield change
            except errors.OcisourceError as exc:
                failure = self._judged(exc, lasted=self._clock() - began)
            else:
                if not is_used and self._clock() - began < self._settings.brief:
                    failure = errors.TransportError("the API server ended a watch at once")
            if failure is None:
                failures = 0
                self._note_success()
                continue
            # A stream that delivered something and then broke is no failure in a row.
            failures = 1 if is_used else failures + 1
            if failures >= self._settings.patience:
                raise failure
            await self._rest(failure)

    def _judged(self, exc: errors.OcisourceError, *, lasted: float) -> Exception | None:
        """What ended a watch: a failure to retry, None for no failure; raises what needs a list."""
        if isinstance(exc, errors.DeadlineError) and lasted >= self._settings.inactivity:
            return None  # so long a silence is a reason to ask again, not a failure
        if isinstance(exc, errors.TransportError | errors.CredentialError):
            return exc
        if answers.is_expired(exc):
            raise _TooOldError(str(exc)) from exc
        is_passing = isinstance(exc, errors.APIStatusError) and (
            exc.code == _TOO_MANY or exc.code >= _SERVER_ERROR
        )
        if not is_passing:
            raise exc
        return exc

    async def _streamed(self) -> AsyncGenerator[Change[T] | None, None]:
        """One watch; yields None for an event that brings nothing but a version."""
        settings = self._settings
        events = self._api.watch(
            self.resource,
            self._scope,
            resource_version=self._version,
            duration=self._rng.uniform(settings.shortest, settings.longest),
            inactivity=settings.inactivity,
        )
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                self._note_success()
                self._advance(event)
                if event.type is answers.EventType.DELETED:
                    yield Deleted(event.metadata.namespace, event.metadata.name)
                elif event.obj is None:
                    yield None
                else:
                    yield Changed(event.obj)

    def _advance(self, event: answers.WatchEvent[T]) -> None:
        """Go on from the event's version; raises _TooOldError when it goes backwards."""
        new, old = event.metadata.resource_version, self._version
        is_backwards = new.isdecimal() and old.isdecimal() and int(new) < int(old)
        if is_backwards and event.type is answers.EventType.DELETED:
            return  # some servers show the deleted object's last version, not the deletion's
        if is_backwards:
            raise _TooOldError(f"resourceVersion went from {old} back to {new}")
        self._version = new or old

    async def _rest(self, failure: Exception) -> None:
        """Report a failure and wait, longer each time until all was well for a while."""
        now = self._clock()
        if now - self._failed_at > self._settings.healthy:
            self._failures = 0
        self._failed_at = now
        delay = self._settings.retry.delay(self._failures, rng=self._rng)
        self._failures += 1
        retry_after = getattr(failure, "retry_after", None)
        if retry_after is not None:
            delay = max(delay, retry_after)
        self._report(failure)
        text = str(failure) or type(failure).__name__
        if text != self._complaint:  # a server away for an hour is one line, not a thousand
            self._complaint = text
            is_expected = isinstance(failure, errors.OcisourceError)
            _log.error(
                f"unable to list and watch {self.resource.plural}",
                error=text if is_expected else f"{type(failure).__name__}: {text}",
            )
        await self._sleep(delay)

    def _note_success(self) -> None:
        if self._complaint:
            _log.info(f"list and watch {self.resource.plural} again")
            self._complaint = ""
            self._report(None)
