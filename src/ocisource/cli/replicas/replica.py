"""One replica on a cluster: endpoints from the start, the controller while it leads.

1. ``/metrics``, ``/healthz`` and ``/readyz`` answer as soon as the process runs.
2. With leader election the replica waits for the Lease; only then does it claim the store, serve
   artifacts and reconcile. A standby thus touches nothing that a leader uses.
3. Losing the Lease ends the process: what it knew may be out of date. Nothing is written to the API
   once another may lead.
4. On a stop the runs in work end, events are written, downloads finish, each for a few seconds, and
   the Lease is given up last.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import socket
import uuid
from collections.abc import Coroutine, Mapping

from ocisource import errors, logs, metrics, serve, settings
from ocisource.cli import flags
from ocisource.controller import lease, probes
from ocisource.kube import client, config, exchange

LEASE_NAME = "source-controller-leader-election"  # Flux's: the two controllers exclude each other
_SELECTOR_DIGITS = 8  # of the selector's digest, so that each shard has a Lease of its own

_log = logs.get("replica")


def lease_name(selector: str) -> str:
    """The Lease that replicas of one shard compete for, as Flux names it."""
    if not selector:
        return LEASE_NAME
    return f"{LEASE_NAME}-{hashlib.sha256(selector.encode()).hexdigest()[:_SELECTOR_DIGITS]}"


def lease_settings(chosen: settings.Settings) -> lease.LeaseSettings:
    """The Lease's times; raises UsageError when they contradict each other."""
    return lease.LeaseSettings(
        duration=chosen.leader_election_lease_duration,
        renew_deadline=chosen.leader_election_renew_deadline,
        retry_period=chosen.leader_election_retry_period,
        is_released=chosen.leader_election_release_on_cancel,
    )


def lease_namespace(cluster: config.ClusterConfig, environ: Mapping[str, str]) -> str:
    """Where the Lease lies: the Pod's namespace, else the context's; raises UsageError."""
    namespace = environ.get(serve.RUNTIME_NAMESPACE) or cluster.namespace
    if not namespace:
        raise errors.UsageError(
            "--enable-leader-election needs the namespace of the Lease: set the variable "
            f"{serve.RUNTIME_NAMESPACE} or name one in the context of the kubeconfig"
        )
    return namespace


@dataclasses.dataclass(slots=True)
class Replica:
    """What this process is at the moment; ``elector`` is None without leader election."""

    chosen: settings.Settings
    api: client.Client
    observed: metrics.Metrics
    elector: lease.Elector | None = None
    running: serve.Running | None = None

    def waiting_for(self) -> str:
        """Why this replica is not ready, "" when it is: a standby differs from a failure."""
        if self.elector is not None:
            match self.elector.role:
                case lease.Role.STARTING:
                    return "starting: the lease has not been read yet"
                case lease.Role.STANDBY:
                    return f"standby: lease held by {self.elector.holder or 'nobody'}"
                case lease.Role.FAILING:
                    return f"failing: {self.elector.error}"
                case lease.Role.LEADER:
                    pass
        if self.running is None:
            return "starting: the controller"
        if self.running.objects.has_synced:
            return ""
        if complaint := self.running.served.complaint:
            return f"failing: {complaint}"
        return "starting: the first list of objects"

    async def work(self) -> None:
        """Reconcile and serve artifacts until cancelled; raises OcisourceError."""
        address = flags.split_address(self.chosen.storage_addr)
        async with serve.controller(
            self.chosen, self.api, storage_address=address, observed=self.observed
        ) as running:
            _log.info("starting manager", artifacts=running.artifacts_url)
            self.running = running
            try:
                await asyncio.Event().wait()
            finally:
                self.running = None

    async def run(self) -> None:
        """Work, when this replica may, until cancelled.

        Raises LeaseLostError and whatever keeps the controller from working.
        """
        await (self.work() if self.elector is None else self.elector.run(self.work))


async def run(
    chosen: settings.Settings,
    cluster: config.ClusterConfig,
    *,
    stop: asyncio.Event,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Run a replica until ``stop``; raises OcisourceError when it cannot go on."""
    serve.check(chosen)
    observed = metrics.Metrics(has_object_series=chosen.metrics_per_object)
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(
            client.Client(
                cluster,
                settings=exchange.ClientSettings(
                    qps=chosen.kube_api_qps, burst=chosen.kube_api_burst
                ),
                observed=observed,
            )
        )
        replica = Replica(chosen, api, observed, _elector(chosen, cluster, api, observed, environ))
        scraped = probes.metrics_endpoints(observed)
        await scraped.start(*flags.split_address(chosen.metrics_addr), flag="--metrics-addr")
        stack.push_async_callback(scraped.stop)
        health = probes.health_endpoints(replica.waiting_for)
        await health.start(*flags.split_address(chosen.health_addr), flag="--health-addr")
        stack.push_async_callback(health.stop)
        await _until(stop, _prepared(replica))


async def _prepared(replica: Replica) -> None:
    # Told by a standby too, and at once, rather than by whichever replica leads in the end.
    await serve.ocirepositories(replica.api)
    with contextlib.suppress(errors.APIStatusError):
        if await replica.api.adopt_server_fairness():
            _log.info("the API server queues fairly: --kube-api-qps and --kube-api-burst are off")
    await replica.run()


def _elector(
    chosen: settings.Settings,
    cluster: config.ClusterConfig,
    api: client.Client,
    observed: metrics.Metrics,
    environ: Mapping[str, str],
) -> lease.Elector | None:
    if not chosen.enable_leader_election:
        return None
    elector = lease.Elector(
        api,
        namespace=lease_namespace(cluster, environ),
        name=lease_name(chosen.watch_label_selector),
        identity=f"{socket.gethostname()}_{uuid.uuid4()}",
        settings=lease_settings(chosen),
        observed=observed,
    )
    api.guard(elector.check)
    return elector


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Work until ``stop`` or until the work ends by itself, whose error is raised."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_stopped = not working.done()
        if is_stopped:
            _log.info("shutting down")
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait({working, waiting})
    if not working.cancelled() and (error := working.exception()) is not None:
        raise error
