"""What is counted of a workqueue and of runs, under client-go's and Flux's metric names."""

import contextlib
import time
from collections.abc import Callable

from ocisource import metrics
from ocisource.controller import request, workqueue


class QueueMeasures:
    """Counts for one queue; attach() adds what is computed when somebody asks."""

    def __init__(self, observed: metrics.Metrics, *, name: str) -> None:
        self._observed = observed
        self._name = name
        self._depth = observed.queue_depth.labels(name)
        self._adds = observed.queue_adds.labels(name)
        self._retries = observed.queue_retries.labels(name)
        self._waits = observed.queue_waits.labels(name)
        self._work = observed.queue_work.labels(name)

    def attach(
        self,
        queue: workqueue.Workqueue[request.Request],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show the work in progress of ``queue``, whose clock is ``clock``."""

        def running() -> list[float]:
            now = clock()
            # A copy made in one step: a scrape may come from another thread.
            return [now - began for began in tuple(queue.in_work.values())]

        unfinished = self._observed.queue_unfinished.labels(self._name)
        unfinished.set_function(lambda: sum(running()))
        longest = self._observed.queue_longest.labels(self._name)
        longest.set_function(lambda: max(running(), default=0.0))

    def added(self, *, depth: int) -> None:
        """A key began to wait."""
        self._adds.inc()
        self._depth.set(depth)

    def taken(self, *, depth: int, waited: float) -> None:
        """A key went into work after ``waited`` seconds."""
        self._depth.set(depth)
        self._waits.observe(waited)

    def finished(self, *, worked: float) -> None:
        """Work on a key ended after ``worked`` seconds."""
        self._work.observe(worked)

    def retried(self) -> None:
        """A key was added with its back-off."""
        self._retries.inc()


class Durations:
    """How long runs take: one series for a kind, or one for each object that ``is_known``.

    An object's series ends with it.
    """

    def __init__(
        self,
        observed: metrics.Metrics,
        *,
        kind: str,
        is_known: Callable[[request.Request], bool],
    ) -> None:
        self._histogram = observed.reconcile_duration
        self._kind = kind
        self._is_known = is_known
        self._whole = None if observed.has_object_series else self._histogram.labels(kind)

    def observe(self, key: request.Request, seconds: float) -> None:
        """A run took so long."""
        if self._whole is not None:
            self._whole.observe(seconds)
        elif self._is_known(key):
            self._histogram.labels(self._kind, key.name, key.namespace).observe(seconds)

    def forget(self, key: request.Request) -> None:
        """The object is gone."""
        if self._whole is None:
            with contextlib.suppress(KeyError):
                self._histogram.remove(self._kind, key.name, key.namespace)
