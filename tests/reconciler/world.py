"""A namespace with a controller and a registry in it: what the reconciler's tests act on.

The same tests run against the embedded API and a real kube-apiserver; nothing here knows which.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import io
import json
import pathlib
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from ocisource import digest as digests
from ocisource import serve, settings
from ocisource.api import conditions, ocirepository
from ocisource.controller import request as requests
from ocisource.demo import registry as demo
from ocisource.kube import client, config, patch, resources
from ocisource.oci import registry
from ocisource.oci.grammar import manifest as manifests
from ocisource.oci.grammar import reference

LAYER_TYPE = "application/vnd.cncf.flux.content.v1.tar+gzip"
CONFIG = b"{}"
ORIGIN = {
    "org.opencontainers.image.source": "https://github.com/stefanprodan/podinfo",
    "org.opencontainers.image.revision": "6.1.8/b3b00fe35424a45d373bf4c7214178bc36fd7872",
}
WAIT_SECONDS = 60.0  # a bound for what never comes, not a measure: the machine may be busy
POLL_SECONDS = 0.02

Object = ocirepository.OCIRepository


def layer(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar with these files."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def descriptor(content: bytes, media_type: str) -> manifests.Descriptor:
    """The descriptor of some bytes."""
    return manifests.Descriptor(media_type, len(content), digests.Digest.of(content))


def manifest_body(
    *layers: manifests.Descriptor, annotations: Mapping[str, str] | None = None
) -> bytes:
    """An OCI image manifest with these layers."""
    config_ = descriptor(CONFIG, "application/vnd.cncf.flux.config.v1+json")
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": _plain(config_),
            "layers": [_plain(each) for each in layers],
            "annotations": dict(ORIGIN if annotations is None else annotations),
        }
    ).encode()


def _plain(each: manifests.Descriptor) -> dict[str, object]:
    return {"mediaType": each.media_type, "size": each.size, "digest": str(each.digest)}


async def push(
    host: str,
    name: str,
    tag: str,
    files: Mapping[str, bytes],
    *,
    annotations: Mapping[str, str] | None = None,
    media_type: str = LAYER_TYPE,
    access: registry.Access | None = None,
) -> digests.Digest:
    """Push one layer with these files as ``name:tag``; the manifest's digest."""
    registries = registry.Registries()
    try:
        remote = registries.repository(
            reference.Repository.parse_url(f"oci://{host}/{name}"), access
        )
        blob = layer(files)
        content = descriptor(blob, media_type)
        await remote.upload_blob(content, blob)
        await remote.upload_blob(descriptor(CONFIG, "application/json"), CONFIG)
        body = manifest_body(content, annotations=annotations)
        await remote.put_manifest(body, media_type=manifests.OCI_MANIFEST, reference=tag)
    finally:
        await registries.close()
    return digests.Digest.of(body)


@dataclasses.dataclass(slots=True)
class World:
    """One namespace; ``history`` holds every state that was recorded, in order."""

    api: client.Client
    namespace: str
    folder: pathlib.Path
    resource: resources.Resource[Object]
    registry: demo.Registry
    host: str
    settings: settings.Settings
    running: serve.Running | None = None
    history: list[Object] = dataclasses.field(default_factory=list)
    recorded_from: int | None = None  # the version that the record begins after

    @contextlib.asynccontextmanager
    async def controller(self, **changes: Any) -> AsyncIterator[serve.Running]:
        """Run the controller on this namespace, with some settings changed."""
        chosen = dataclasses.replace(self.settings, **changes)
        async with serve.controller(chosen, self.api, storage_address=("127.0.0.1", 0)) as running:
            self.running = running
            yield running
        self.running = None

    async def declare(self, name: str = "podinfo", **spec: Any) -> Object:
        """Apply an OCIRepository; ``repository`` is short for the URL on our registry."""
        repository = spec.pop("repository", name)
        fields = {"interval": "1h", "url": f"oci://{self.host}/{repository}"} | spec
        document = {
            "apiVersion": self.resource.api_version,
            "kind": ocirepository.KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": fields,
        }
        return await self.api.patch(
            self.resource,
            name,
            patch.apply(document),
            namespace=self.namespace,
            is_forced=True,
        )

    async def change(self, name: str, document: Mapping[str, Any]) -> Object:
        """Merge-patch an object."""
        return await self.api.patch(
            self.resource, name, patch.merge(document), namespace=self.namespace
        )

    async def request(self, name: str, token: str) -> Object:
        """Ask for a reconcile."""
        return await self.change(
            name, {"metadata": {"annotations": {ocirepository.REQUESTED_AT: token}}}
        )

    async def secret(self, name: str, data: Mapping[str, str], type_: str = "Opaque") -> None:
        """Create or replace a Secret."""
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "type": type_,
            "stringData": dict(data),
        }
        await self.api.patch(
            resources.SECRETS.metadata_only(),
            name,
            patch.apply(document),
            namespace=self.namespace,
            is_forced=True,
        )

    async def get(self, name: str = "podinfo") -> Object:
        """The object as the API has it."""
        return await self.api.get(self.resource, name, namespace=self.namespace)

    async def until(
        self, holds: Callable[[Object], bool], name: str = "podinfo", *, what: str = ""
    ) -> Object:
        """Wait until the object is as it should be; fails with what it was instead."""
        end = time.monotonic() + WAIT_SECONDS
        obj = await self.get(name)
        while not holds(obj):
            assert time.monotonic() < end, f"{what or 'not reached'}: {obj.status}"
            await asyncio.sleep(POLL_SECONDS)
            obj = await self.get(name)
        while not self._is_recorded(obj):
            assert time.monotonic() < end, f"not seen by the watch: {obj.status}"
            await asyncio.sleep(POLL_SECONDS)
        return obj

    async def ready(self, name: str = "podinfo") -> Object:
        """Wait until the object is Ready for its present generation."""
        return await self.until(is_ready, name, what="not Ready")

    async def failed(self, reason: str, name: str = "podinfo") -> Object:
        """Wait until Ready is False with this reason for the present generation."""

        def has_failed(obj: Object) -> bool:
            ready = condition(obj, conditions.READY)
            return (
                ready is not None
                and ready.status == conditions.FALSE
                and ready.reason == reason
                and ready.observed_generation == obj.metadata.generation
            )

        return await self.until(has_failed, name, what=f"not {reason}")

    async def gone(self, name: str = "podinfo") -> None:
        """Wait until the object is gone."""
        end = time.monotonic() + WAIT_SECONDS
        while any(o.metadata.name == name for o in await self.objects()):
            assert time.monotonic() < end, f"{name} is still there"
            await asyncio.sleep(POLL_SECONDS)

    async def objects(self) -> tuple[Object, ...]:
        """All objects of the namespace."""
        listing = await self.api.list(self.resource, client.Scope(namespace=self.namespace))
        return listing.items

    async def events(self, name: str = "podinfo") -> list[tuple[str, str, str]]:
        """Type, reason and message of the events about an object, oldest first."""
        scope = client.Scope(namespace=self.namespace, field_selector=f"involvedObject.name={name}")
        listing = await self.api.list(resources.EVENTS, scope)
        ordered = sorted(listing.items, key=lambda event: event.metadata.name)
        return [(event.type, event.reason, event.message) for event in ordered]

    async def event(self, reason: str, name: str = "podinfo") -> tuple[str, str]:
        """Wait for an event with this reason; its type and message."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            found = await self.events(name)
            for type_, found_reason, message in found:
                if found_reason == reason:
                    return type_, message
            assert time.monotonic() < end, f"no event {reason}, but {found}"
            await asyncio.sleep(POLL_SECONDS)

    async def push(
        self, name: str, tag: str, files: Mapping[str, bytes], **more: Any
    ) -> digests.Digest:
        """Push an artifact to the world's registry."""
        return await push(self.host, name, tag, files, **more)

    def stored(self, obj: Object) -> dict[str, bytes]:
        """The regular files inside the stored artifact."""
        assert obj.status.artifact is not None
        with tarfile.open(self.path(obj)) as tar:
            found = {}
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None:
                    found[entry.name] = content.read()
        return found

    def path(self, obj: Object) -> pathlib.Path:
        """The stored file that status names."""
        assert obj.status.artifact is not None
        return self.settings.storage_path / obj.status.artifact.path

    @contextlib.asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Record every state of every object from now on; ``until`` then waits for the record."""
        scope = client.Scope(namespace=self.namespace)
        # From a known version on: however late the watch begins, it misses nothing.
        listing = await self.api.list(self.resource, scope)
        watching = asyncio.create_task(self._watch(scope, listing.resource_version))
        self.recorded_from = int(listing.resource_version)
        try:
            yield
        finally:
            self.recorded_from = None
            watching.cancel()
            await asyncio.wait([watching])
        if not watching.cancelled():
            watching.result()

    async def _watch(self, scope: client.Scope, version: str) -> None:
        watch = self.api.watch(self.resource, scope, resource_version=version)
        async with contextlib.aclosing(watch) as events:
            async for event in events:
                if event.obj is not None:
                    self.history.append(event.obj)

    def _is_recorded(self, obj: Object) -> bool:
        """Whether the record, if there is one, has this state: an object's versions only grow."""
        version = int(obj.metadata.resource_version)
        return (
            self.recorded_from is None
            or version <= self.recorded_from
            or any(
                seen.metadata.name == obj.metadata.name
                and int(seen.metadata.resource_version) >= version
                for seen in reversed(self.history)
            )
        )


def condition(obj: Object, type_: str) -> conditions.Condition | None:
    """A condition of the object."""
    return conditions.get(obj.status.conditions, type_)


def state(obj: Object) -> dict[str, tuple[str, str, str]]:
    """All conditions as type → (status, reason, message)."""
    return {c.type: (c.status, c.reason, c.message) for c in obj.status.conditions}


def is_ready(obj: Object) -> bool:
    """Ready for the present generation, and nothing under way."""
    return (
        obj.status.observed_generation == obj.metadata.generation
        and conditions.is_true(obj.status.conditions, conditions.READY)
        and condition(obj, conditions.RECONCILING) is None
    )


@contextlib.asynccontextmanager
async def create(
    cluster: config.ClusterConfig, *, namespace: str, folder: pathlib.Path
) -> AsyncIterator[World]:
    """A world in a namespace, which is made here, of a cluster that has the CRD."""
    store = folder / "store"
    store.mkdir(parents=True)
    loopback = demo.Registry()
    host = await loopback.start()
    try:
        async with client.Client(cluster) as api:
            await api.patch(
                resources.NAMESPACES,
                namespace,
                patch.apply(
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                ),
                is_forced=True,
            )
            yield World(
                api=api,
                namespace=namespace,
                folder=folder,
                resource=await serve.ocirepositories(api),
                registry=loopback,
                host=host,
                settings=dataclasses.replace(
                    settings.Settings(),
                    storage_path=store,
                    watch_all_namespaces=False,
                    min_retry_delay=0.02,
                    max_retry_delay=0.2,
                    artifact_retention_ttl=0.0,
                ),
            )
    finally:
        await loopback.stop()


def request_of(obj: Object) -> requests.Request:
    """The key of an object."""
    return requests.Request(obj.metadata.namespace, obj.metadata.name)
