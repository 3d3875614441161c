"""Politeness: how long a registry host is left alone, for one credential.

Rules:

1. `Retry-After` (seconds or date) on 429 and 503 holds the host back, 15 minutes at most.
2. `ratelimit-remaining: 0` holds it back until `ratelimit-reset`, or for the window that stands
   behind the number (`0;w=21600`, Docker Hub), 15 minutes at most.
3. A short hold is slept through; a longer one raises TooManyRequestsError, so that the caller's
   worker is free for other hosts meanwhile.

The fields are those of the IETF draft "RateLimit header fields for HTTP" (up to draft 06, which is
what registries send).
"""

from collections.abc import Awaitable, Callable, Mapping

from ocisource import errors
from ocisource.net import backoff
from ocisource.oci import limits

_HOLDING_STATUSES = frozenset({429, 503})
_REMAINING = "ratelimit-remaining"
_WINDOW = "w"
_MAX_DIGITS = 12
_UNKNOWN_WINDOW = 60.0  # seconds; a spent budget whose window nobody names
_EPOCH = 1e9  # above this a reset is a time, not a wait (GitLab)


class Gate:
    """What one host has asked of one credential's requests."""

    def __init__(
        self,
        host: str,
        *,
        settings: limits.RegistrySettings,
        clock: Callable[[], float],
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._host = host
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._until: float | None = None  # None while nobody has asked for anything

    @property
    def remaining(self) -> float:
        """Seconds that the hold still lasts; 0 if there is none."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    @property
    def is_held(self) -> bool:
        """Whether enter() would wait or raise."""
        return self._until is not None and self._until > self._clock()

    async def enter(self) -> None:
        """Wait through a short hold; raises TooManyRequestsError for a long one."""
        wait = self.remaining
        if wait <= 0:
            return
        if wait > self._settings.short_wait:
            raise errors.TooManyRequestsError(
                f"{self._host} asked to be left alone; trying again in {wait:.0f} s",
                status=429,
                retry_after=wait,
            )
        await self._sleep(wait)

    def hold(self, seconds: float) -> None:
        """Keep everybody out for so long; never shortens a hold."""
        seconds = min(seconds, self._settings.longest_hold)
        until = self._clock() + seconds
        self._until = until if self._until is None else max(self._until, until)

    def heed(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Take note of an answer; returns the seconds it asks to wait before the same request.

        None if it asks for nothing. A good answer with a spent budget holds the next request back,
        and asks nothing of this one.
        """
        if status not in _HOLDING_STATUSES and _REMAINING not in headers:
            return None
        asked: float | None = None
        if status in _HOLDING_STATUSES:
            asked = backoff.parse_retry_after(headers.get("Retry-After"), now=self._wall())
            if asked is not None:
                self.hold(asked)
        spent = spent_for(headers, now=self._wall())
        if spent is not None:
            self.hold(spent)
            if status in _HOLDING_STATUSES:
                asked = max(asked or 0.0, min(spent, self._settings.longest_hold))
        return asked


def spent_for(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds for which the budget in `ratelimit-remaining` is spent; None while there is some.

    ``now`` is the time in seconds since the epoch, for registries that send their reset as a time.
    """
    remaining = headers.get(_REMAINING)
    if remaining is None:
        return None
    value, _, parameters = remaining.partition(";")
    if _number(value) != 0:
        return None
    reset = _number(headers.get("ratelimit-reset", ""))
    if reset is not None:
        return max(0.0, reset - now) if reset > _EPOCH else reset
    for parameter in parameters.split(";"):
        name, _, text = parameter.partition("=")
        if name.strip() == _WINDOW and (window := _number(text)) is not None:
            return window
    return _UNKNOWN_WINDOW


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
