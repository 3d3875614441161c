"""A running controller: what it lives by is opened, put together, and closed in turn."""

import contextlib
import dataclasses
import os
import pathlib
import socket
from collections.abc import AsyncIterator
from typing import Final

from ocisource import logs, metrics, process, settings
from ocisource.api import ocirepository
from ocisource.controller import informer
from ocisource.kube import client, events, notification
from ocisource.oci import registry
from ocisource.oci.providers import logins, tokens
from ocisource.reconciler import cloud, kept, served
from ocisource.serve import assembly, background, checks
from ocisource.source import workers
from ocisource.storage import connections, fileserver, store

COMPONENT: Final = "source-controller"
# When the controller stops, in seconds; together with those of assembly.py less than a Pod's 10 s,
# so that the lease is given up in time: downloads.
DOWNLOAD_GRACE: Final = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A controller at work: where its artifacts are served, and the objects it knows.

    ``served`` knows why the objects cannot be listed, if they cannot.
    """

    artifacts_url: str
    objects: informer.Informer[ocirepository.OCIRepository]
    served: served.Served
    metrics: metrics.Metrics


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
    resource = await checks.ocirepositories(api)
    async with contextlib.AsyncExitStack() as stack:
        pools = workers.Workers()
        stack.push_async_callback(pools.close)
        fields = await kept.read(api, resource)
        local = await pools.block(lambda: _open_store(chosen.storage_path))
        stack.callback(local.close)
        server = fileserver.FileServer(
            local, max_connections=process.connections(connections.MAX_CONNECTIONS)
        )
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
            await stack.enter_async_context(background.started(notifier.run()))
        parts = assembly.Parts(
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
        version = served.Served(resource, find=lambda: checks.ocirepositories(api))
        objects = await parts.start(stack, version)
        objects.add_handler(
            informer.Handler(
                on_delete=lambda obj: told.forget(obj.metadata.name, obj.metadata.namespace)
            )
        )
        yield Running(artifacts_url=parts.url, objects=objects, served=version, metrics=observed)


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
