"""Pull: bring the bytes in, checked. From a digest to a verified layer at hand."""

import contextlib
import pathlib
import typing
from collections.abc import AsyncGenerator

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import limits as archive_limits
from ocisource.oci.grammar import manifest as manifests
from ocisource.source import incoming, resolve

MAX_INDEX_DEPTH = 4  # indexes within indexes; real ones have one level


class Remote(typing.Protocol):
    """A repository that manifests and blobs can be fetched from."""

    async def manifest(self, digest: digests.Digest) -> tuple[manifests.Descriptor, bytes]:
        """A manifest's descriptor and verified bytes."""
        ...

    def blob(self, descriptor: manifests.Descriptor) -> AsyncGenerator[bytes, None]:
        """A blob's bytes; raises ContentError at the end if they are not what was promised."""
        ...


async def image_manifest(
    remote: Remote, resolved: resolve.Resolved, *, platform: manifests.Platform
) -> tuple[str, bytes]:
    """Media type and bytes of the image manifest, through indexes to the platform's child.

    Raises ContentError when no child fits the platform, RegistryError and TransportError.
    """
    digest = resolved.digest
    for _ in range(MAX_INDEX_DEPTH):
        descriptor, body = await remote.manifest(digest)
        if not descriptor.is_index:
            return descriptor.media_type, body
        index = manifests.parse(body, media_type=descriptor.media_type)
        if not isinstance(index, manifests.Index):
            raise errors.ContentError(f"{resolved} is neither an index nor a manifest")
        digest = manifests.select_child(index, platform, where=str(resolved)).digest
    raise errors.ContentError(f"more than {MAX_INDEX_DEPTH} indexes within each other: {resolved}")


def parse_image(media_type: str, body: bytes) -> manifests.Manifest:
    """The image manifest in those bytes; raises ContentError."""
    parsed = manifests.parse(body, media_type=media_type)
    if not isinstance(parsed, manifests.Manifest):
        raise errors.ContentError(f"{media_type} is no image manifest")
    return parsed


async def blob(
    remote: Remote,
    layer: manifests.Descriptor,
    *,
    spool_dir: pathlib.Path,
    submit: incoming.Submit,
    limits: archive_limits.Limits,
) -> typing.BinaryIO:
    """The whole verified layer, positioned at its start; the caller closes it.

    A large one is written into a file in ``spool_dir`` by the threads behind ``submit``. Raises
    LimitExceededError, before anything is fetched, for one that is too large; ContentError if size
    or digest differ, RegistryError, TransportError, StorageError.
    """
    archive_limits.check_packed(limits, layer.size)
    with incoming.Incoming(spool_dir, submit) as spool:
        async with contextlib.aclosing(remote.blob(layer)) as chunks:
            async for chunk in chunks:
                await spool.write(chunk)
        return await spool.finish()
