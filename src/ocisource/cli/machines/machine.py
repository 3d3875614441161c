"""One machine: the embedded API, the controller, the artifact server, and perhaps the demo."""

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Iterable

from ocisource import metrics, serve, settings
from ocisource.api import ocirepository
from ocisource.apiserver import server as apiserver
from ocisource.cli.machines import declare
from ocisource.controller import informer, probes
from ocisource.demo import demo as demos
from ocisource.kube import client, config, exchange
from ocisource.manifests import load
from ocisource.net import listening

# The API is our own, in the same process: there is nobody to be polite to.
UNLIMITED = exchange.ClientSettings(qps=0)
# What the user declares is not the controller's: it has a field manager of its own.
DECLARING = exchange.ClientSettings(qps=0, field_manager="ocisource")
DEMO_FILE = pathlib.Path("demo")  # where messages say that the demo's object comes from


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What runs, and where; ``demo`` is namespace and name of the example's object."""

    api: client.Client
    objects: informer.Informer[ocirepository.OCIRepository]
    demo: tuple[str, str] | None
    api_url: str
    kubeconfig: pathlib.Path
    artifacts_url: str
    metrics_url: str
    health_url: str

    def places(self) -> Iterable[tuple[str, str]]:
        """Label and address of everything a user may want to reach."""
        yield "API", self.api_url
        yield "kubeconfig", str(self.kubeconfig)
        yield "artifacts", self.artifacts_url
        yield "metrics", self.metrics_url
        yield "health", self.health_url


@contextlib.asynccontextmanager
async def running(
    *,
    data_dir: pathlib.Path,
    chosen: settings.Settings,
    api_address: tuple[str, int],
    storage_address: tuple[str, int],
    metrics_address: tuple[str, int],
    health_address: tuple[str, int],
    is_demo: bool,
) -> AsyncIterator[Machine]:
    """Run everything until the context is left; raises OcisourceError if something cannot start."""
    async with contextlib.AsyncExitStack() as stack:
        embedded = await apiserver.serve(
            data_dir, host=api_address[0], port=api_address[1], manifests=[load.crd()]
        )
        stack.push_async_callback(embedded.stop)
        observed = metrics.Metrics(has_object_series=chosen.metrics_per_object)
        api = await stack.enter_async_context(
            client.Client(
                config.load(embedded.kubeconfig_path), settings=UNLIMITED, observed=observed
            )
        )
        declaring = await stack.enter_async_context(
            client.Client(config.load(embedded.kubeconfig_path), settings=DECLARING)
        )
        demo = None
        if is_demo:
            # Before the controller: the object of an earlier run names a registry that is gone.
            example = await stack.enter_async_context(demos.running())
            shown = declare.Declared(example.document(), DEMO_FILE)
            await declare.apply(declaring, [shown])
            demo = (shown.namespace, shown.name)
        running_ = await stack.enter_async_context(
            serve.controller(chosen, api, storage_address=storage_address, observed=observed)
        )
        scraped = probes.metrics_endpoints(observed)
        metrics_at = await scraped.start(*metrics_address, flag="--metrics-addr")
        stack.push_async_callback(scraped.stop)
        health = probes.health_endpoints(
            lambda: "" if running_.objects.has_synced else "the first list of objects"
        )
        health_at = await health.start(*health_address, flag="--health-addr")
        stack.push_async_callback(health.stop)
        yield Machine(
            api=declaring,
            objects=running_.objects,
            demo=demo,
            api_url=embedded.address,
            kubeconfig=embedded.kubeconfig_path,
            artifacts_url=running_.artifacts_url,
            metrics_url=f"http://{listening.shown(*metrics_at)}/metrics",
            health_url=f"http://{listening.shown(*health_at)}/healthz",
        )
