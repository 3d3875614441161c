"""A token bucket: ``qps`` requests a second, ``burst`` of them at once, served in order."""

import asyncio
import math
from collections.abc import Awaitable, Callable


class TokenBucket:
    """Tokens that refill at ``qps`` a second up to ``burst``; ``qps`` of 0 or less never limits.

    A waiter takes its token at once and sleeps until the token exists, so that the order of
    arrival is the order of service. Waits end at multiples of ``moment`` seconds, if it is not 0:
    by then there are tokens for several, and one awakening serves them all.
    """

    __slots__ = ("_burst", "_clock", "_filled_at", "_moment", "_qps", "_sleep", "_tokens")

    def __init__(
        self,
        *,
        qps: float,
        burst: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        moment: float = 0.0,
    ) -> None:
        self._qps = qps
        self._moment = moment
        self._burst = max(burst, 1)
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(self._burst)
        self._filled_at = clock()

    def try_take(self) -> bool:
        """Take a token if there is one now."""
        if self._qps <= 0:
            return True
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def take(self) -> None:
        """Take a token, waiting for it if need be; a cancelled waiter gives its token back."""
        if self._qps <= 0:
            return
        self._refill()
        self._tokens -= 1
        if self._tokens >= 0:
            return
        wait = -self._tokens / self._qps
        if self._moment:
            wait = math.ceil((self._filled_at + wait) / self._moment) * self._moment
            wait -= self._filled_at
        try:
            await self._sleep(wait)
        except asyncio.CancelledError:
            self._tokens += 1
            raise

    def lift(self) -> None:
        """Limit no more (the server has fair queueing of its own)."""
        self._qps = 0.0

    def _refill(self) -> None:
        now = self._clock()
        elapsed = max(now - self._filled_at, 0.0)
        self._tokens = min(self._tokens + elapsed * self._qps, float(self._burst))
        self._filled_at = now
