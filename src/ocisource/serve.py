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
from ocisource.api import ocirepository, sharing
from ocisource.archive import limits
from ocisource.controller import informer, manager, measures, reflector, workqueue
from ocisource.controller import request as requests
from ocisource.kube import client, events, notification, resources
from ocisource.oci import registry
from ocisource.oci.grammar import manifest
from ocisource.oci.providers import logins, tokens
from ocisource.reconciler import (
    access,
    cloud,
    custody,
    fetch,
    kept,
    newest,
    notify,
    options,
    pacing,
    recording,
    scrubbing,
    served,
    triggers,
    writer,
)
from ocisource.reconciler import ocirepository as reconcilers
from ocisource.source import publish, workers
from ocisource.storage import fileserver, store
from ocisource.wire import selectors

COMPONENT = "source-controller"
CONTROLLER = metrics.CONTROLLER
RUNTIME_NAMESPACE = "RUNTIME_NAMESPACE"
# When the controller stops, in seconds; together less than a Pod's 10 s, so that the lease is
# given up in time: runs that end by themselves, events on their way, downloads.
DRAIN_GRACE = 3.0
FLUSH_GRACE = 2.0
DOWNLOAD_GRACE = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A controller at work: where its artifacts are served, and the objects it knows.

    ``served`` knows why the objects cannot be listed, if they cannot.
    """

    artifacts_url: str
    objects: informer.Informer[ocirepository.OCIRepository]
    served: served.Served
    metrics: metrics.Metrics


def check(chosen: settings.Settings) -> None:
    """Raise UsageError for settings with which a controller could never work.

    A standby is to learn so at its start, and not when it comes to lead.
    """
    manifest.Platform.parse(chosen.platform)
    if not chosen.watch_all_namespaces:
        _runtime_namespace()
    if not chosen.storage_path.is_dir():
        raise errors.UsageError(
            f"--storage-path {chosen.storage_path}: no such folder; make it, or name another"
        )


async def ocirepositories(
    api: client.Client,
) -> resources.Resource[ocirepository.OCIRepository]:
    """The resource in the newest version that the cluster serves.

    Raises UsageError when the CustomResourceDefinition is not there.
    """
    known = await api.versions(ocirepository.GROUP)
    for version in ocirepository.VERSIONS:
        if version in known and ocirepository.PLURAL in await api.discover(
            ocirepository.GROUP, version
        ):
            return resources.Resource(
                ocirepository.GROUP,
                version,
                ocirepository.PLURAL,
                ocirepository.KIND,
                ocirepository.OCIRepository,
            )
    # Imported here: it reads YAML, which a Pod can do without.
    from ocisource.manifests import load  # noqa: PLC0415

    raise errors.UsageError(
        f"the cluster serves no {ocirepository.PLURAL}.{ocirepository.GROUP} in "
        f"{' or '.join(ocirepository.VERSIONS)}: install the CustomResourceDefinition first "
        f"(kubectl apply -f {load.crd_path()})"
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
    """Run the controller until the context is left; raises OcisourceError if it cannot start.

    A part that fails later ends the context's body with that failure.
    """
    observed = observed or metrics.Metrics(has_object_series=chosen.metrics_per_object)
    resource = await ocirepositories(api)
    async with contextlib.AsyncExitStack() as stack:
        pools = workers.Workers()
        stack.push_async_callback(pools.close)
        fields = await kept.read(api, resource)
        local = await pools.block(lambda: _open_store(chosen.storage_path))
        stack.callback(local.close)
        server = fileserver.FileServer(local)
        host, port = await server.start(*storage_address)
        stack.push_async_callback(server.stop, DOWNLOAD_GRACE)
        registries = registry.Registries(observed=observed)
        stack.push_async_callback(registries.close)
        told = cloud.Measures(observed)
        clouds = logins.Clouds(
            cache=tokens.TokenCache(
                size=chosen.token_cache_max_size,
                duration=chosen.token_cache_max_duration,
                observer=told,
            )
        )
        stack.push_async_callback(clouds.close)
        notifier: notification.Notifier | None = None
        if chosen.events_addr:
            notifier = notification.Notifier(
                chosen.events_addr,
                component=COMPONENT,
                host=socket.gethostname(),
                observed=observed,
            )
            await stack.enter_async_context(_background(notifier.run()))
        parts = _Parts(
            chosen=chosen,
            api=api,
            resource=resource,
            fields=fields,
            store=local,
            workers=pools,
            registries=registries,
            recorder=events.Recorder(
                api,
                component=COMPONENT,
                host=socket.gethostname(),
                forwarder=notifier,
                observed=observed,
            ),
            url=advertised_url(chosen, host=storage_address[0] and host, port=port),
            metrics=observed,
            clouds=clouds,
        )
        version = served.Served(resource, find=lambda: ocirepositories(api))
        objects = await parts.start(stack, version)
        objects.add_handler(
            informer.Handler(
                on_delete=lambda obj: told.forget(obj.metadata.name, obj.metadata.namespace)
            )
        )
        yield Running(artifacts_url=parts.url, objects=objects, served=version, metrics=observed)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a controller is put together from; ``url`` is the artifact server's address."""

    chosen: settings.Settings
    api: client.Client
    resource: resources.Resource[ocirepository.OCIRepository]
    fields: kept.Kept
    store: store.LocalStore
    workers: workers.Workers
    registries: registry.Registries
    recorder: events.Recorder
    url: str
    metrics: metrics.Metrics
    clouds: logins.Clouds

    async def start(
        self, stack: contextlib.AsyncExitStack, version: served.Served
    ) -> informer.Informer[ocirepository.OCIRepository]:
        """Start informers, queue and workers around one reconciler; the stack ends them."""
        chosen = self.chosen
        scope = client.Scope(
            namespace="" if chosen.watch_all_namespaces else _runtime_namespace(),
            label_selector=chosen.watch_label_selector,
        )
        objects = informer.Informer(
            reflector.Reflector(self.api, self.resource, scope, report=version.report),
            compact=sharing.shared,
        )
        known = newest.Newest(objects)
        durations = measures.Durations(
            self.metrics,
            kind=ocirepository.KIND,
            is_known=lambda key: objects.get(key) is not None,
        )
        pace = pacing.Pacing(
            jitter=chosen.interval_jitter_percentage / 100,
            rng=random.Random(),  # noqa: S311 - spreads intervals, guards nothing
        )
        uses = triggers.Uses()
        counts = measures.QueueMeasures(self.metrics, name=CONTROLLER)
        queue: workqueue.Workqueue[requests.Request] = workqueue.Workqueue(
            retry=workqueue.Retry(initial=chosen.min_retry_delay, cap=chosen.max_retry_delay),
            observer=counts,
        )
        counts.attach(queue)
        reconciler = self._reconciler(known, uses, pace)
        runs = manager.Controller(
            CONTROLLER,
            reconciler.reconcile,
            queue=queue,
            concurrency=chosen.concurrent,
            waits_for=[objects],
            observed=self.metrics,
            durations=durations,
            log=_log(),
            kind=ocirepository.KIND,
        )
        handlers = triggers.Triggers(queue=queue, runs=runs, objects=known, uses=uses, pace=pace)
        objects.add_handler(handlers.ocirepositories())
        objects.add_handler(informer.Handler(on_delete=reconciler.forget))
        objects.add_handler(
            informer.Handler(on_delete=lambda obj: durations.forget(informer.key_of(obj)))
        )
        await stack.enter_async_context(_background(self.recorder.run()))
        stack.push_async_callback(self.recorder.flush, FLUSH_GRACE)
        if chosen.watch_secrets:
            for watched in (resources.SECRETS, resources.SERVICE_ACCOUNTS):
                mirror = informer.Informer(
                    reflector.Reflector(
                        self.api, watched.metadata_only(), client.Scope(namespace=scope.namespace)
                    )
                )
                mirror.add_handler(handlers.referenced(watched.kind))
                await stack.enter_async_context(_background(mirror.run()))
        await stack.enter_async_context(_background(version.run()))
        await stack.enter_async_context(_background(objects.run()))
        await stack.enter_async_context(
            _background(_collect_orphans(objects, reconciler.custody, queue))
        )
        await stack.enter_async_context(
            _background(
                scrubbing.run(
                    self.store,
                    on_altered=lambda key: queue.add(key, requests.Priority.INTERVAL),
                )
            )
        )
        await stack.enter_async_context(_background(runs.run(grace=DRAIN_GRACE)))
        return objects

    def _reconciler(
        self, known: newest.Newest, uses: triggers.Uses, pace: pacing.Pacing
    ) -> reconcilers.Reconciler:
        told = recording.EventRecorder(
            recorder=self.recorder, api_version=self.resource.api_version
        )
        log = _log()
        chosen = _options(self.chosen, self.url)
        texts = notify.Texts(revision_format=self.chosen.revision_format)
        writes = writer.Writer(
            client=self.api,
            resource=self.resource,
            on_written=known.remember,
            fields=self.fields,
            selector=selectors.LabelSelector.parse(self.chosen.watch_label_selector),
        )
        keeper = custody.Custody(
            store=self.store, workers=self.workers, recorder=told, options=chosen, log=log
        )
        fetcher = fetch.Fetcher(
            objects=known,
            writer=writes,
            access=access.AccessReader(
                client=self.api, uses=uses, recorder=told, cloud=self._logins(), log=log
            ),
            registries=self.registries,
            publisher=publish.Publisher(
                store=self.store,
                workers=self.workers,
                limits=_limits(self.chosen),
                spool_dir=pathlib.Path(tempfile.gettempdir()),
            ),
            recorder=told,
            options=chosen,
            texts=texts,
            clock=time.time,
            log=log,
            on_commit=keeper.changed,
        )
        return reconcilers.Reconciler(
            objects=known,
            writer=writes,
            custody=keeper,
            fetcher=fetcher,
            recorder=told,
            options=chosen,
            texts=texts,
            clock=time.time,
            pacing=pace,
            log=log,
        )

    def _logins(self) -> cloud.Logins:
        return cloud.Logins(
            clouds=self.clouds,
            client=self.api,
            has_object_identity=self.chosen.has_gate(settings.OBJECT_LEVEL_WORKLOAD_IDENTITY),
            default_account=self.chosen.default_service_account,
        )


def _limits(chosen: settings.Settings) -> limits.Limits:
    return limits.Limits(
        unpacked_bytes=chosen.max_unpacked_size,
        entries=chosen.max_entries,
        ratio=chosen.max_ratio,
        name_bytes=chosen.max_name_length,
    )


def _log() -> logs.Log:
    """The logger of everything about OCIRepositories, with the keys that `flux logs` reads."""
    return logs.get(
        "ocirepository",
        controller=CONTROLLER,
        controllerGroup=ocirepository.GROUP,
        controllerKind=ocirepository.KIND,
    )


def _options(chosen: settings.Settings, url: str) -> options.Options:
    return options.Options(
        platform=manifest.Platform.parse(chosen.platform),
        advertised=url,
        revision_format=chosen.revision_format,
        retention_ttl=chosen.artifact_retention_ttl,
        retention_records=chosen.artifact_retention_records,
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
    try:
        removed = local.sweep()
    except BaseException:
        local.close()
        raise
    if removed:
        logs.get("storage").info("removed leftovers of an earlier run", count=removed)
    return local


async def _collect_orphans(
    objects: informer.Informer[ocirepository.OCIRepository],
    keeper: custody.Custody,
    queue: workqueue.Workqueue[requests.Request],
) -> None:
    """Have the files of objects removed that went, or left the shard, while we were away."""
    await objects.wait_synced()
    for request in await keeper.orphans(lambda request: objects.get(request) is not None):
        queue.add(request, requests.Priority.INTERVAL)
    await asyncio.Event().wait()  # what runs in the background runs until it is ended


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the context's body and end it with the context.

    It is made to run as long as the body: if it ends before, the body is cancelled, and its
    failure is raised in the body's place.
    """
    owner = asyncio.current_task()
    is_leaving = False

    def ended(task: asyncio.Task[None]) -> None:
        if not is_leaving and not task.cancelled() and owner is not None:
            owner.cancel()

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if not task.done() or task.cancelled() or task.exception() is None:
            raise
        if owner is not None:
            owner.uncancel()
        raise _failure(task) from task.exception()
    finally:
        is_leaving = True
        task.cancel()
        await asyncio.wait([task])


def _failure(task: asyncio.Task[None]) -> errors.OcisourceError:
    error = task.exception()
    if isinstance(error, errors.OcisourceError):
        return error
    return errors.OcisourceError(
        f"a part of the controller failed: {type(error).__name__}: {error}"
    )
