"""The embedded API server: everything put together, started and stopped.

Example::

    running = await serve(pathlib.Path("data"), manifests=[crd])
    print(running.address, running.kubeconfig_path)
    await running.stop()
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import pathlib
import random
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocisource import errors, process
from ocisource.apiserver import (
    bootstrap,
    crds,
    deletion,
    endpoint,
    janitor,
    listener,
    objects,
    resources,
    subresources,
    transport,
    verbs,
    watching,
)
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.catalog import documents
from ocisource.apiserver.history import database, records, store
from ocisource.apiserver.identity import access, addresses, certificates, kubeconfig
from ocisource.net import listening

BACKLOG = 1024  # connections waiting to be accepted: a thousand watchers may come at once
STOP_SECONDS = 2.0  # open answers get to end before their connections are cut
MAX_LINE = 96 * 1024  # bytes of a request's first line: selectors may be long
MAX_FIELD = 64 * 1024  # bytes of one header
KEEPALIVE_SECONDS = 75.0
RENEWAL_SECONDS = 6 * 3600.0  # between two looks at the certificate's end
LOCK = "apiserver.lock"

_logger = logging.getLogger(__name__)


class SystemSource:
    """Time and identities of the machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def uid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def choose(self, alphabet: str) -> str:
        """A random character."""
        return secrets.choice(alphabet)


class Running:
    """A server that answers; ``address`` is its URL, ``kubeconfig_path`` the administrator's."""

    def __init__(
        self,
        *,
        address: str,
        kubeconfig_path: pathlib.Path,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self.address = address
        self.kubeconfig_path = kubeconfig_path
        self._stack = stack

    async def stop(self) -> None:
        """End watches, finish writes, close everything."""
        await self._stack.aclose()


async def serve(
    data_dir: pathlib.Path,
    *,
    host: str = addresses.LOOPBACK,
    port: int = 0,
    manifests: Sequence[Mapping[str, Any]] = (),
    source: objects.Source | None = None,
) -> Running:
    """Start the server on a data folder; port 0 picks a free one.

    ``manifests`` are definitions that must be served from the start. Raises StorageError,
    and UsageError when the address cannot be listened on.
    """
    source = source or SystemSource()
    process.allow_files()
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread(_prepare, data_dir)
        stack.callback(_lock(data_dir))
        identity = await asyncio.to_thread(
            certificates.load, data_dir, names=addresses.names(host), now=source.now()
        )
        tokens = await asyncio.to_thread(kubeconfig.load_tokens, data_dir)
        held = await store.Store.open(data_dir / database.FILE_NAME)
        stack.push_async_callback(held.close)
        clock = watching.Clock(
            wall=source.now,
            monotonic=time.monotonic,
            spread=random.Random().random,  # noqa: S311 - spreads load
        )
        registry = resources.Registry(each.resource for each in builtins.BUILTINS)
        _follow_definitions(held, registry)
        written = objects.Objects(held, source, establish=_establisher(registry, source))
        await bootstrap.ensure_all(written, manifests)
        deletions = deletion.Deletions(held, now=source.now)
        cleaning = janitor.Janitor(held, deletions, registry=registry, clock=clock)
        cleaning.start()
        stack.push_async_callback(cleaning.stop)
        renewing = asyncio.create_task(
            _keep_certificate(data_dir, identity, names=addresses.names(host), source=source)
        )
        stack.push_async_callback(_ended, renewing)
        below = subresources.Subresources(held, written, clock=clock, source=source)
        authority = access.Authority(
            tokens=kubeconfig.users(tokens), key=identity.signing_key, accounts=below
        )
        below.authority = authority
        point = endpoint.Endpoint(
            endpoint.Parts(
                registry=registry,
                authority=authority,
                documents=documents.Documents(registry),
                verbs=verbs.Verbs(held, written, deletions, clock=clock),
                subresources=below,
                now=source.now,
                is_ready=lambda: True,
            )
        )
        bound = await _listen(stack, point, identity, host=host, port=port)
        stack.callback(held.close_feeds)
        point.address = bound
        path = await asyncio.to_thread(
            kubeconfig.write,
            data_dir,
            server=f"https://{bound}",
            ca_pem=identity.ca_pem,
            tokens=tokens,
        )
        return Running(address=f"https://{bound}", kubeconfig_path=path, stack=stack.pop_all())
    raise AssertionError


async def _listen(
    stack: contextlib.AsyncExitStack,
    point: endpoint.Endpoint,
    identity: certificates.Identity,
    *,
    host: str,
    port: int,
) -> str:
    """Open the listener; returns ``host:port`` as clients reach it."""
    handler = listener.new(
        point.handle,
        handler_cancellation=True,
        keepalive_timeout=KEEPALIVE_SECONDS,
        max_line_size=MAX_LINE,
        max_field_size=MAX_FIELD,
    )
    loop = asyncio.get_running_loop()
    with listening.at(host, port, flag="--api-addr"):
        opened = await loop.create_server(
            transport.secured(handler, identity.context),
            host,
            port,
            backlog=BACKLOG,
        )

    async def close() -> None:
        opened.close()
        await handler.shutdown(STOP_SECONDS)
        await opened.wait_closed()

    stack.push_async_callback(close)
    bound = opened.sockets[0].getsockname()
    if not addresses.is_loopback(host):
        _logger.warning(
            "the API listens on %s, beyond this machine: whoever has a token can use it", host
        )
    shown = addresses.reachable(host, bound[0])
    return listening.shown(shown, bound[1])


async def _keep_certificate(
    data_dir: pathlib.Path,
    identity: certificates.Identity,
    *,
    names: Sequence[str],
    source: objects.Source,
) -> None:
    """Renew the certificate of a server that runs for months."""
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        try:
            await asyncio.to_thread(
                certificates.renew, data_dir, identity, names=names, now=source.now()
            )
        except errors.StorageError as error:
            _logger.warning("the API's certificate is not renewed: %s", error.text)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _follow_definitions(held: store.Store, registry: resources.Registry) -> None:
    """Serve what stored definitions say, now and whenever they change."""

    def note(change: records.Change) -> None:
        if change.record.key.resource != crds.NAME:
            return
        name = resources.GroupResource(change.record.key.name)
        served = None
        if change.event != records.DELETED:
            served = crds.resource_of(change.record.decode())
        if served is not None:
            registry.add(served)
        else:
            registry.remove(name)
            held.close_feeds(name)

    for record in held.scan(crds.NAME):
        note(records.Change(records.ADDED, record, None))
    held.listen(note)


def _establisher(
    registry: resources.Registry, source: objects.Source
) -> Callable[[dict[str, Any]], None]:
    return lambda crd: crds.establish(crd, registry=registry, now=source.now())


def _prepare(data_dir: pathlib.Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.chmod(0o700)
    except OSError as error:
        raise errors.StorageError(f"cannot use {data_dir}: {error}") from error


def _lock(data_dir: pathlib.Path) -> Callable[[], None]:
    """Keep other processes off the data folder; returns what lets go. Raises StorageError."""
    try:
        descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise errors.StorageError(f"cannot use {data_dir}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise errors.StorageError(
            f"{data_dir} is in use by another process: stop that one, or choose another --data-dir"
        ) from error
    return lambda: os.close(descriptor)
