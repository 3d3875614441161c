"""Losses: events that found no room are counted, and told now and then rather than one by one."""

import time
from collections.abc import Callable

from ocisource import metrics

INTERVAL = 60.0  # seconds between two lines about losses of one kind


class Losses:
    """The losses of one queue; ``write`` logs them, with ``cause``, at most once an interval."""

    def __init__(
        self,
        queue: str,
        *,
        write: Callable[..., None],
        message: str,
        cause: str,
        observed: metrics.Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = 0
        self._counter = None if observed is None else observed.events_dropped.labels(queue)
        self._write = write
        self._message = message
        self._cause = cause
        self._clock = clock
        self._told = 0
        self._told_at: float | None = None

    def add(self) -> None:
        """One more is lost."""
        self.total += 1
        if self._counter is not None:
            self._counter.inc()
        now = self._clock()
        if self._told_at is None or now - self._told_at >= INTERVAL:
            self._write(self._message, error=self._cause, count=self.total - self._told)
            self._told, self._told_at = self.total, now
