"""Informers, queue and workers around one reconciler, put together from the parts they need."""

import asyncio
import contextlib
import dataclasses
import pathlib
import random
import tempfile
import time
from typing import Final

from ocisource import logs, metrics, settings
from ocisource.api import ocirepository, sharing
from ocisource.archive import limits
from ocisource.controller import informer, manager, measures, reflector, workqueue
from ocisource.controller import request as requests
from ocisource.kube import client, events, resources
from ocisource.oci import registry
from ocisource.oci.grammar import manifest
from ocisource.oci.providers import logins
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
from ocisource.serve import background, checks
from ocisource.source import publish, workers
from ocisource.storage import store
from ocisource.wire import selectors

CONTROLLER: Final = metrics.CONTROLLER
# When the controller stops, in seconds: runs that end by themselves, events on their way.
DRAIN_GRACE: Final = 3.0
FLUSH_GRACE: Final = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
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
            namespace="" if chosen.watch_all_namespaces else checks.runtime_namespace(),
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
        await stack.enter_async_context(background.started(self.recorder.run()))
        stack.push_async_callback(self.recorder.flush, FLUSH_GRACE)
        if chosen.watch_secrets:
            for watched in (resources.SECRETS, resources.SERVICE_ACCOUNTS):
                mirror = informer.Informer(
                    reflector.Reflector(
                        self.api, watched.metadata_only(), client.Scope(namespace=scope.namespace)
                    )
                )
                mirror.add_handler(handlers.referenced(watched.kind))
                await stack.enter_async_context(background.started(mirror.run()))
        await stack.enter_async_context(background.started(version.run()))
        await stack.enter_async_context(background.started(objects.run()))
        await stack.enter_async_context(
            background.started(_collect_orphans(objects, reconciler.custody, queue))
        )
        await stack.enter_async_context(
            background.started(
                scrubbing.run(
                    self.store,
                    on_altered=lambda key: queue.add(key, requests.Priority.INTERVAL),
                )
            )
        )
        await stack.enter_async_context(background.started(runs.run(grace=DRAIN_GRACE)))
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
