"""The metrics this process exports, each defined once, in a registry of its own.

Names and labels are Flux's and controller-runtime's, so that existing dashboards work.
"""

from collections.abc import Iterator

import prometheus_client
from prometheus_client import registry

# Ten buckets, geometric from 10 ms to 30 min, as Flux's runtime has them (seconds).
_FIRST_BUCKET, _LAST_BUCKET, _BUCKETS = 0.01, 1800.0, 10
DURATION_BUCKETS = tuple(
    _FIRST_BUCKET * (_LAST_BUCKET / _FIRST_BUCKET) ** (i / (_BUCKETS - 1)) for i in range(_BUCKETS)
)
# controller-runtime's for its workqueues: 10 ns to 1000 s, times ten each.
QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))
CONTROLLER = "ocirepository"


class Metrics:
    """All series of a process; ``registry`` is what a scrape prints."""

    def __init__(self, *, has_object_series: bool = False) -> None:
        self.registry = prometheus_client.CollectorRegistry(auto_describe=True)
        self.has_object_series = has_object_series
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        object_labels = ("kind", "name", "namespace") if has_object_series else ("kind",)
        self.reconcile_duration = prometheus_client.Histogram(
            "gotk_reconcile_duration_seconds",
            "The duration in seconds of a reconcile run.",
            object_labels,
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.reconcile_total = prometheus_client.Counter(
            "controller_runtime_reconcile_total",
            "Reconcile runs by result: success, error, requeue, requeue_after.",
            ("controller", "result"),
            registry=self.registry,
        )
        self.reconcile_errors = prometheus_client.Counter(
            "controller_runtime_reconcile_errors_total",
            "Reconcile runs that ended in an error.",
            ("controller",),
            registry=self.registry,
        )
        self.reconcile_time = prometheus_client.Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Time of a reconcile run, in seconds.",
            ("controller",),
            registry=self.registry,
        )
        self.max_concurrent = prometheus_client.Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Workers there are.",
            ("controller",),
            registry=self.registry,
        )
        self.active_workers = prometheus_client.Gauge(
            "controller_runtime_active_workers",
            "Workers at work.",
            ("controller",),
            registry=self.registry,
        )
        self.queue_depth = prometheus_client.Gauge(
            "workqueue_depth", "Keys waiting in the workqueue.", ("name",), registry=self.registry
        )
        self.queue_adds = prometheus_client.Counter(
            "workqueue_adds_total",
            "Keys added to the workqueue.",
            ("name",),
            registry=self.registry,
        )
        self.queue_retries = prometheus_client.Counter(
            "workqueue_retries_total",
            "Keys added again after a failure.",
            ("name",),
            registry=self.registry,
        )
        self.queue_waits = prometheus_client.Histogram(
            "workqueue_queue_duration_seconds",
            "How long a key waited before it was taken into work.",
            ("name",),
            buckets=QUEUE_BUCKETS,
            registry=self.registry,
        )
        self.queue_work = prometheus_client.Histogram(
            "workqueue_work_duration_seconds",
            "How long the work on a key took.",
            ("name",),
            buckets=QUEUE_BUCKETS,
            registry=self.registry,
        )
        self.queue_unfinished = prometheus_client.Gauge(
            "workqueue_unfinished_work_seconds",
            "Seconds of work on keys that is not finished yet, added up.",
            ("name",),
            registry=self.registry,
        )
        self.queue_longest = prometheus_client.Gauge(
            "workqueue_longest_running_processor_seconds",
            "Seconds the longest unfinished work has taken so far.",
            ("name",),
            registry=self.registry,
        )
        self.rest_requests = prometheus_client.Counter(
            "rest_client_requests_total",
            "Requests to the Kubernetes API by status code, method and host.",
            ("code", "method", "host"),
            registry=self.registry,
        )
        self.is_leader = prometheus_client.Gauge(
            "leader_election_master_status",
            "1 while this process leads, else 0.",
            ("name",),
            registry=self.registry,
        )
        self.token_cache_events = prometheus_client.Counter(
            "gotk_token_cache_events_total",
            "Cloud credentials asked for: cache_hit, cache_miss.",
            ("event_type", *object_labels, "operation"),
            registry=self.registry,
        )
        self.token_cache_requests = prometheus_client.Counter(
            "gotk_token_cache_requests_total",
            "Requests for cloud credentials, kept or new, by status: success, failure.",
            ("status",),
            registry=self.registry,
        )
        self.token_cached_items = prometheus_client.Gauge(
            "gotk_token_cached_items", "Cloud credentials kept.", registry=self.registry
        )
        self.token_cache_evictions = prometheus_client.Counter(
            "gotk_token_cache_evictions_total",
            "Cloud credentials that made room for others.",
            registry=self.registry,
        )
        self.events_dropped = prometheus_client.Counter(
            "ocisource_events_dropped_total",
            "Events that found no room: news, routine, or those for the receiver.",
            ("queue",),
            registry=self.registry,
        )
        self.registry_requests = prometheus_client.Counter(
            "ocisource_registry_requests_total",
            "Requests to registries by method and status code.",
            ("method", "code"),
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """All series as Prometheus text."""
        return prometheus_client.generate_latest(_WithoutTimes(self.registry))


class _WithoutTimes(registry.Collector):
    """Series without the time at which each was made.

    The library adds that (``…_created``) to every counter and histogram. Flux and
    controller-runtime have no such series.
    """

    def __init__(self, whole: registry.Collector) -> None:
        self._whole = whole

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """As of Collector."""
        for family in self._whole.collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family
