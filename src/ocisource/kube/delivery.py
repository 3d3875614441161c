"""Delivery: one event is written, with patience for an API server that is away or busy.

The first writing is a POST, repetitions are a PATCH of count, lastTimestamp and message; an event
that the server has expired meanwhile is created anew.
"""

import random
import typing
from collections.abc import Awaitable, Callable

from ocisource import errors, logs
from ocisource.kube import answers, client, correlator, lanes, patch, resources
from ocisource.net import backoff

_SERVER_ERROR = 500
_TOO_MANY = 429
_UNAUTHORIZED = 401
_RETRY: typing.Final = backoff.Backoff(initial=1.0, factor=2.0, cap=10.0, jitter=0.5)

_log = logs.get("events")


class Delivery:
    """Writes events to one API; each is tried ``attempts`` times, for a minute and a half."""

    def __init__(
        self,
        api: client.Client,
        *,
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
        attempts: int = 12,
        retry: backoff.Backoff = _RETRY,
    ) -> None:
        self._api = api
        self._sleep = sleep
        self._rng = rng
        self._attempts = attempts
        self._retry = retry
        self._written: correlator.Recent[str] = correlator.Recent(correlator.DEFAULTS.memory)

    async def write(self, lane: lanes.Lane, key: correlator.Key, event: resources.Event) -> bool:
        """Write an event, or what its lane holds of it by then; False when it is given up."""
        for attempt in range(self._attempts):
            try:
                await self._send(key, event)
            except errors.APIStatusError as exc:
                if exc.code < _SERVER_ERROR and exc.code not in {_TOO_MANY, _UNAUTHORIZED}:
                    # A namespace that is going away, say: trying again would not help.
                    _log.debug("event was rejected", error=exc.text)
                    return True
                failure: errors.OcisourceError = exc
            except (errors.TransportError, errors.CredentialError) as exc:
                failure = exc
            else:
                return True
            if attempt == self._attempts - 1:
                _log.error("unable to write event", error=failure.text)
                break
            await self._sleep(self._retry.delay(attempt, rng=self._rng))
            # What was recorded meanwhile holds this one.
            event = lane.newest(key, event)
        return False

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
