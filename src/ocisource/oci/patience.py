"""Trying again: after broken connections and temporary statuses, with pauses, within the gate.

The set of statuses is go-containerregistry's; how long to wait is the registry's wish if it has
one (``gate.py``), else an exponential back-off with jitter.
"""

import http
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from ocisource import errors
from ocisource.oci import answers, gate, limits

T = TypeVar("T")

TEMPORARY_STATUSES = frozenset({408, 429, 499, 500, 502, 503, 504, 522})


class TemporaryAnswerError(Exception):
    """An answer after which the same request may succeed; never leaves this package's storeys."""

    def __init__(self, answer: answers.Answer, *, asked: float | None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.asked = asked


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
        self._gate = host_gate
        self._settings = settings
        self._rng = rng
        self._sleep = sleep

    async def pause(self, retry: int) -> None:
        """Wait as before retry number ``retry`` (0 is the first)."""
        await self._sleep(self._settings.retries.delay(retry, rng=self._rng))

    def heed(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Take note of what an answer asks for; seconds to wait before the same request."""
        return self._gate.heed(status, headers)

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        refusal: Callable[[answers.Answer, float | None], errors.RegistryError],
        is_repeatable: bool = True,
        attempts: int | None = None,
    ) -> T:
        """Result of the first attempt that is no temporary failure.

        ``attempt`` raises ConnectionLostError (repeated only if ``is_repeatable``) or
        TemporaryAnswerError; ``refusal`` makes the error of the last such answer, or of one that
        asks for a longer wait than a worker should sleep.
        """
        count = attempts or self._settings.retries.attempts
        for retry in range(count):
            await self._gate.enter()
            is_last = retry + 1 == count
            asked = None
            try:
                return await attempt()
            except errors.ConnectionLostError:
                if is_last or not is_repeatable:
                    raise
            except TemporaryAnswerError as temporary:
                asked = temporary.asked
                if is_last or (asked is not None and asked > self._settings.short_wait):
                    raise refusal(temporary.answer, asked) from None
                if asked is None and temporary.answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
                    # Others with this credential need not find out for themselves.
                    self._gate.hold(self._settings.short_wait)
            if asked is None:  # else the gate waits
                await self.pause(retry)
        raise AssertionError("the last attempt returns or raises")
