"""The composition root: settings and a cluster in, a running source controller out.

Nothing below knows how the parts are put together, and nothing here decides anything else.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from ocisource import errors, logs, metrics, settings
from ocisource.api import ocirepository
from ocisource.archive import limits
from ocisource.controller import informer, manager, reflector, workqueue
from ocisource.controller import request as requests
from ocisource.kube import client, events, resources
from ocisource.oci import manifest, registry
from ocisource.reconciler import (
    access,
    custody,
    fetch,
    newest,
    notify,
    options,
    recording,
    triggers,
    writer,
)
from ocisource.reconciler import ocirepository as reconcilers
from ocisource.source import publish, workers
from ocisource.storage import fileserver, store

COMPONENT = "source-controller"
CONTROLLER = metrics.CONTROLLER
RUNTIME_NAMESPACE = "RUNTIME_NAMESPACE"
FLUSH_GRACE = 2.0  # seconds that events may take to be written when the controller stops


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A controller at work: where its artifacts are served, and the objects it knows."""

    artifacts_url: str
    objects: informer.Informer[ocirepository.OCIRepository]
    metrics: metrics.Metrics


async def ocirepositories(
    api: client.Client,
) -> resources.Resource[ocirepository.OCIRepository]:
    """The resource in the newest version that the cluster serves.

    Raises UsageError when the CustomResourceDefinition is not there.
    """
    served = await api.versions(ocirepository.GROUP)
    for version in ocirepository.VERSIONS:
        if version in served and ocirepository.PLURAL in await api.discover(
            ocirepository.GROUP, version
        ):
            return resources.Resource(
                ocirepository.GROUP,
                version,
                ocirepository.PLURAL,
                ocirepository.KIND,
                ocirepository.OCIRepository,
            )
    raise errors.UsageError(
        f"the cluster serves no {ocirepository.PLURAL}.{ocirepository.GROUP} in "
        f"{' or '.join(ocirepository.VERSIONS)}: install the CustomResourceDefinition first "
        "(ocisource install --export | kubectl apply -f -)"
    )


def advertised_url(chosen: settings.Settings, *, host: str, port: int) -> str:
    """The artifact server's address as others are told it, with scheme and without a last slash.

    ``--storage-adv-addr`` verbatim if set; otherwise from the listener: an empty host becomes
    ``localhost``, ``0.0.0.0`` the host's name.
    """
    if chosen.storage_adv_addr:
        address = chosen.storage_adv_addr.rstrip("/")
        return address if "://" in address else f"http://{address}"
    if host in {"", "::"}:
        host = "localhost"
    elif host == "0.0.0.0":  # noqa: S104 - compared, not bound
        host = os.environ.get("HOSTNAME") or socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def controller(
    chosen: settings.Settings,
    api: client.Client,
    *,
    storage_address: tuple[str, int],
    observed: metrics.Metrics | None = None,
) -> AsyncIterator[Running]:
    """Run the controller until the context is left; raises OcisourceError if it cannot start."""
    observed = observed or metrics.Metrics(has_object_series=chosen.metrics_per_object)
    resource = await ocirepositories(api)
    async with contextlib.AsyncExitStack() as stack:
        pools = workers.Workers()
        stack.push_async_callback(pools.close)
        local = await pools.block(lambda: _open_store(chosen.storage_path))
        stack.callback(local.close)
        server = fileserver.FileServer(local)
        host, port = await server.start(*storage_address)
        stack.push_async_callback(server.stop)
        registries = registry.Registries()
        stack.push_async_callback(registries.close)
        url = advertised_url(chosen, host=storage_address[0] and host, port=port)
        recorder = events.Recorder(api, component=COMPONENT, host=socket.gethostname())
        await stack.enter_async_context(_background(recorder.run()))
        stack.push_async_callback(recorder.flush, FLUSH_GRACE)
        objects = await stack.enter_async_context(
            _reconciling(chosen, api, resource, recorder, registries, pools, local, url, observed)
        )
        yield Running(artifacts_url=url, objects=objects, metrics=observed)


@contextlib.asynccontextmanager
async def _reconciling(
    chosen: settings.Settings,
    api: client.Client,
    resource: resources.Resource[ocirepository.OCIRepository],
    recorder: events.Recorder,
    registries: registry.Registries,
    pools: workers.Workers,
    local: store.LocalStore,
    url: str,
    observed: metrics.Metrics,
) -> AsyncIterator[informer.Informer[ocirepository.OCIRepository]]:
    """Informers, queue and workers around one reconciler, until the context is left."""
    scope = client.Scope(
        namespace="" if chosen.watch_all_namespaces else _runtime_namespace(),
        label_selector=chosen.watch_label_selector,
    )
    objects = informer.Informer(reflector.Reflector(api, resource, scope))
    known = newest.Newest(objects)
    uses = triggers.Uses()
    queue: workqueue.Workqueue[requests.Request] = workqueue.Workqueue(
        retry=workqueue.Retry(initial=chosen.min_retry_delay, cap=chosen.max_retry_delay)
    )
    told = recording.EventRecorder(recorder=recorder, api_version=resource.api_version)
    chosen_options = _options(chosen, url)
    texts = notify.Texts(revision_format=chosen.revision_format)
    log = logs.get(
        "ocirepository",
        controller=CONTROLLER,
        controllerGroup=ocirepository.GROUP,
        controllerKind=ocirepository.KIND,
    )
    writes = writer.Writer(client=api, resource=resource, on_written=known.remember)
    fetcher = fetch.Fetcher(
        objects=known,
        writer=writes,
        access=access.AccessReader(client=api, uses=uses, recorder=told, cloud=None, log=log),
        registries=registries,
        publisher=publish.Publisher(
            store=local,
            workers=pools,
            limits=limits.Limits(
                unpacked_bytes=chosen.max_unpacked_size,
                entries=chosen.max_entries,
                ratio=chosen.max_ratio,
                name_bytes=chosen.max_name_length,
            ),
            spool_dir=pathlib.Path(tempfile.gettempdir()),
        ),
        recorder=told,
        options=chosen_options,
        texts=texts,
        clock=time.time,
        log=log,
    )
    reconciler = reconcilers.Reconciler(
        objects=known,
        writer=writes,
        custody=custody.Custody(
            store=local, workers=pools, recorder=told, options=chosen_options, log=log
        ),
        fetcher=fetcher,
        recorder=told,
        options=chosen_options,
        texts=texts,
        clock=time.time,
        rng=random.Random(),  # noqa: S311 - spreads intervals, guards nothing
        log=log,
    )
    controller_ = manager.Controller(
        CONTROLLER,
        reconciler.reconcile,
        queue=queue,
        concurrency=chosen.concurrent,
        waits_for=[objects],
        observed=observed,
    )
    handlers = triggers.Triggers(queue=queue, runs=controller_, objects=known, uses=uses)
    objects.add_handler(handlers.ocirepositories())
    async with contextlib.AsyncExitStack() as stack:
        if chosen.watch_secrets:
            for watched in (resources.SECRETS, resources.SERVICE_ACCOUNTS):
                mirror = informer.Informer(
                    reflector.Reflector(
                        api, watched.metadata_only(), client.Scope(namespace=scope.namespace)
                    )
                )
                mirror.add_handler(handlers.referenced(watched.kind))
                await stack.enter_async_context(_background(mirror.run()))
        await stack.enter_async_context(_background(objects.run()))
        await stack.enter_async_context(_background(controller_.run()))
        yield objects


def _options(chosen: settings.Settings, url: str) -> options.Options:
    return options.Options(
        platform=manifest.Platform.parse(chosen.platform),
        advertised=url,
        revision_format=chosen.revision_format,
        retention_ttl=chosen.artifact_retention_ttl,
        retention_records=chosen.artifact_retention_records,
        jitter=chosen.interval_jitter_percentage / 100,
    )


def _runtime_namespace() -> str:
    namespace = os.environ.get(RUNTIME_NAMESPACE, "")
    if not namespace:
        raise errors.UsageError(
            f"--watch-all-namespaces=false needs the namespace in the variable {RUNTIME_NAMESPACE}"
        )
    return namespace


def _open_store(path: pathlib.Path) -> store.LocalStore:
    local = store.LocalStore(path)
    removed = local.sweep()
    if removed:
        logs.get("storage").info("removed leftovers of an earlier run", count=removed)
    return local


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the context's body, and end it with the context."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
