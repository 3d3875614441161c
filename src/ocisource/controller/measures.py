"""What is counted of a workqueue and of runs, under client-go's and Flux's metric names."""

import contextlib
import time
from collections.abc import Callable

import prometheus_client

from ocisource import metrics
from ocisource.controller import request, workqueue

# How a run may end, as controller-runtime's label "result" has it.
OUTCOMES = ("success", "error", "requeue", "requeue_after")


class QueueMeasures:
    """Counts for one queue; attach() adds what is computed when somebody asks."""

    def __init__(self, observed: metrics.Metrics, *, name: str) -> None:
        self._observed = observed
        self._name = name
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
        self._observed.queue_depth.labels(self._name).set_function(lambda: len(queue))

    def added(self) -> None:
        """A key began to wait."""
        self._adds.inc()

    def taken(self, *, waited: float) -> None:
        """A key went into work after ``waited`` seconds."""
        self._waits.observe(waited)

    def finished(self, *, worked: float) -> None:
        """Work on a key ended after ``worked`` seconds."""
        self._work.observe(worked)

    def retried(self) -> None:
        """A key was added with its back-off."""
        self._retries.inc()


class RunMeasures:
    """Counts for the runs of one controller; series are looked up once, as every run counts."""

    def __init__(self, observed: metrics.Metrics, *, name: str) -> None:
        self._observed = observed
        self._name = name
        self._seconds = observed.reconcile_time.labels(name)
        # There from the start, as controller-runtime's: no failures are 0, not "no data".
        self._errors = observed.reconcile_errors.labels(name)
        self._outcomes: dict[str, prometheus_client.Counter] = {
            outcome: observed.reconcile_total.labels(name, outcome) for outcome in OUTCOMES
        }

    def attach(self, active: Callable[[], int], *, concurrency: int) -> None:
        """Show how many workers there are, and how many of them are ``active``."""
        self._observed.max_concurrent.labels(self._name).set(concurrency)
        self._observed.active_workers.labels(self._name).set_function(active)

    def ended(self, outcome: str, seconds: float) -> None:
        """A run ended; ``outcome`` is one of OUTCOMES."""
        self._outcomes[outcome].inc()
        self._seconds.observe(seconds)

    def failed(self) -> None:
        """A run ended in an error."""
        self._errors.inc()


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
