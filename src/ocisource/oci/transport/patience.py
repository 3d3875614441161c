"""Trying again: after broken connections and temporary statuses, with pauses, within the gate.

The set of statuses is go-containerregistry's; how long to wait is the registry's wish if it has
one (``gate.py``), else an exponential back-off with jitter.
"""

import http
import random
from collections.abc import Awaitable, Callable

from ocisource.oci import limits
from ocisource.oci.hosts import answers
from ocisource.oci.transport import gate

TEMPORARY_STATUSES = frozenset({408, 429, 499, 500, 502, 503, 504, 522})


class Patience:
    """How requests to one host with one credential wait and repeat."""

    def __init__(
        self,
        host_gate: gate.Gate,
        *,
        settings: limits.RegistrySettings,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.gate = host_gate
        self._settings = settings
        self._rng = rng
        self._sleep = sleep

    async def pause(self, retry: int) -> None:
        """Wait as before retry number ``retry`` (0 is the first)."""
        await self._sleep(self._settings.retries.delay(retry, rng=self._rng))

    def has_more(self, retry: int, attempts: int | None) -> bool:
        """Whether another attempt may follow number ``retry`` (0 is the first)."""
        return retry + 1 < (attempts or self._settings.retries.attempts)

    def is_short(self, answer: answers.Answer, *, asked: float | None) -> bool:
        """Whether a worker may wait after a temporary answer.

        ``asked`` is what the answer asks for in seconds, None if it does not say.
        """
        if asked is not None:
            return asked <= self._settings.short_wait
        if answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            # Others with this credential need not find out for themselves.
            self.gate.hold(self._settings.short_wait)
        return True
