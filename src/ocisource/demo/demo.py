"""The example, packed and pushed to a registry of our own: something to watch without a network.

Example::

    async with demo.running() as example:
        example.url            # "oci://127.0.0.1:41235/podinfo"
        example.document()     # the OCIRepository that follows it
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import typing
from collections.abc import AsyncIterator

from ocisource import digest as digests
from ocisource.archive import sourceignore, tarball
from ocisource.demo import registry as demo_registry
from ocisource.oci import registry
from ocisource.oci.grammar import artifact, manifest, reference

NAME: typing.Final = "podinfo"
NAMESPACE: typing.Final = "default"
TAGS: typing.Final = ("latest", "6.7.1")
INTERVAL: typing.Final = "5m0s"
FOLDER: typing.Final = pathlib.Path(__file__).parent / NAME
# Fixed, as with `push artifact --reproducible`: the same files are the same artifact.
_CREATED = "1970-01-01T00:00:00Z"
_ANNOTATIONS = {
    artifact.CREATED: _CREATED,
    artifact.SOURCE: f"examples/{NAME}",
    artifact.REVISION: TAGS[-1],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Demo:
    """The example at its registry; ``digest`` is its manifest's."""

    repository: reference.Repository
    digest: digests.Digest

    @property
    def url(self) -> str:
        """``spec.url`` of the example."""
        return f"{reference.SCHEME}{self.repository}"

    def document(self) -> dict[str, typing.Any]:
        """The OCIRepository to apply, as the documentation writes it."""
        return {
            "apiVersion": "source.toolkit.fluxcd.io/v1beta2",
            "kind": "OCIRepository",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"interval": INTERVAL, "url": self.url, "ref": {"tag": TAGS[0]}},
        }


@contextlib.asynccontextmanager
async def running(*, port: int = 0, folder: pathlib.Path = FOLDER) -> AsyncIterator[Demo]:
    """Run a registry on loopback with the example in it.

    Raises OSError when the port is taken, UsageError when the folder cannot be read.
    """
    server = demo_registry.Registry()
    host = await server.start(port=port)
    try:
        repository = reference.Repository(host, NAME)
        yield Demo(repository, await _push(repository, folder))
    finally:
        await server.stop()


async def _push(repository: reference.Repository, folder: pathlib.Path) -> digests.Digest:
    layer, data = await asyncio.to_thread(_packed, folder)
    body = artifact.body(layer, annotations=_ANNOTATIONS)
    registries = registry.Registries()
    try:
        remote = registries.repository(repository)
        await remote.upload_blob(artifact.config_descriptor(), artifact.CONFIG)
        await remote.upload_blob(layer, data)
        for tag in TAGS:
            pushed = await remote.put_manifest(
                body, media_type=manifest.OCI_MANIFEST, reference=tag
            )
    finally:
        await registries.close()
    return pushed.digest


def _packed(folder: pathlib.Path) -> tuple[manifest.Descriptor, bytes]:
    chunks: list[bytes] = []
    tarball.pack_path(folder, ignore=sourceignore.COMMAND_LINE, write=chunks.append)
    data = b"".join(chunks)
    digest = digests.Digest.of(data)
    return manifest.Descriptor(manifest.FLUX_CONTENT, len(data), digest), data
