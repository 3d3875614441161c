"""Pull: bring the bytes in, checked. From a digest to a verified layer at hand."""

import contextlib
import pathlib
import tempfile
import typing
from collections.abc import AsyncIterator

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import limits as archive_limits
from ocisource.oci.grammar import manifest as manifests
from ocisource.source import resolve

MAX_INDEX_DEPTH = 4  # indexes within indexes; real ones have one level
SPOOL_BYTES = 4 << 20  # a layer up to this size stays in memory, a larger one goes to a file


class Remote(typing.Protocol):
    """A repository that manifests and blobs can be fetched from."""

    async def manifest(self, digest: digests.Digest) -> tuple[manifests.Descriptor, bytes]:
        """A manifest's descriptor and verified bytes."""
        ...

    def blob(self, descriptor: manifests.Descriptor) -> AsyncIterator[bytes]:
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
    limits: archive_limits.Limits,
) -> typing.BinaryIO:
    """The whole verified layer, positioned at its start; the caller closes it.

    Raises LimitExceededError, before anything is fetched, for one that is too large; ContentError
    if size or digest differ, RegistryError, TransportError, StorageError.
    """
    archive_limits.check_packed(limits, layer.size)
    try:
        spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=str(spool_dir))  # noqa: SIM115
    except OSError as error:
        raise errors.StorageError(f"no temporary file in {spool_dir}: {error.strerror}") from error
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(spool.close)
        async for chunk in remote.blob(layer):
            try:
                spool.write(chunk)
            except OSError as error:
                raise errors.StorageError(
                    f"failed to spool the layer in {spool_dir}: {error.strerror}; make room there, "
                    "or name another folder in TMPDIR"
                ) from error
        spool.seek(0)
        on_failure.pop_all()
    return typing.cast("typing.BinaryIO", spool)
