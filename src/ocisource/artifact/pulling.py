"""Pulling an artifact: resolve, fetch one layer, verify it, unpack it into a folder."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
import threading
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import extract
from ocisource.archive import limits as archive_limits
from ocisource.artifact import remote
from ocisource.oci import registry
from ocisource.oci.grammar import manifest as manifests
from ocisource.oci.grammar import reference
from ocisource.source import pull as source_pull

TITLE = "org.opencontainers.image.title"
_LIMITS = archive_limits.Limits()


@dataclasses.dataclass(frozen=True, slots=True)
class Pulled:
    """What was pulled: the manifest's annotations, and what was written.

    ``digest`` is what the reference pointed to, ``layer`` the layer's digest, ``size`` its bytes,
    ``entries`` the files and folders written, ``skipped`` what was left out, by kind.
    """

    repository: str
    digest: str
    layer: str
    size: int
    annotations: Mapping[str, str]
    entries: int
    skipped: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """A verified layer at hand."""

    reference: reference.Reference
    digest: digests.Digest
    manifest: manifests.Manifest
    layer: manifests.Descriptor
    file: typing.BinaryIO


async def pull(
    url: str,
    folder: str | os.PathLike[str],
    *,
    media_type: str = "",
    is_copied: bool = False,
    platform: str = "linux/amd64",
    limits: archive_limits.Limits = _LIMITS,
    access: registry.Access | None = None,
    progress: remote.Progress = remote.no_progress,
) -> Pulled:
    """Pull an artifact and unpack it into a folder, which exists.

    The first layer is taken, or the first of ``media_type``. With ``is_copied`` the layer is
    written as it is, into a file of its title's or digest's name. An index leads to the child for
    ``platform``. Files in the way are overwritten, nothing is deleted, links are skipped. Nothing
    is written before the whole layer matches its digest.

    Raises URLInvalidError, UsageError, RegistryError and its leaves, TransportError,
    CredentialError, ContentError, ArchiveError and its leaves, StorageError.

    >>> import asyncio
    >>> pulled = asyncio.run(pull("oci://ghcr.io/org/app:6.7.1", "app/"))
    >>> pulled.annotations["org.opencontainers.image.revision"], pulled.entries
    ('main@sha1:…', 1)
    """
    goal = pathlib.Path(folder)
    check_folder(goal)
    async with fetched(
        url,
        media_type=media_type,
        platform=platform,
        limits=limits,
        access=access,
        progress=progress,
    ) as found:
        if is_copied:
            result = extract.Extracted(1, {})
            await asyncio.to_thread(_copy, found, goal)
        else:
            result = await _unpacked(found.file, goal, limits)
    return Pulled(
        repository=str(found.reference.repository),
        digest=str(found.digest),
        layer=str(found.layer.digest),
        size=found.layer.size,
        annotations=dict(found.manifest.annotations),
        entries=result.entries,
        skipped=dict(result.skipped),
    )


@contextlib.asynccontextmanager
async def fetched(
    url: str,
    *,
    media_type: str = "",
    platform: str = "linux/amd64",
    limits: archive_limits.Limits = _LIMITS,
    access: registry.Access | None = None,
    progress: remote.Progress = remote.no_progress,
) -> AsyncIterator[Fetched]:
    """The verified layer of an artifact; raises as pull() does."""
    wanted = remote.parse(url)
    chosen = manifests.Platform.parse(platform)
    async with remote.opened(wanted.repository, access) as there:
        digest = await remote.digest_of(there, wanted)
        image = await remote.image_of(there, digest, platform=chosen)
        layer = manifests.select_layer(image, media_type or None)
        watched = _Watched(there, layer.size, progress)
        thread = concurrent.futures.ThreadPoolExecutor(1, "spool")
        try:
            file = await source_pull.blob(
                watched,
                layer,
                spool_dir=pathlib.Path(tempfile.gettempdir()),
                submit=thread.submit,
                limits=limits,
            )
        finally:
            thread.shutdown(wait=False)  # its disk may not answer
        with file:
            yield Fetched(wanted, digest, image, layer, file)


def check_folder(folder: pathlib.Path) -> None:
    """Raise UsageError unless something can be unpacked there."""
    if not os.fspath(folder):
        raise errors.UsageError("output path cannot be empty")
    if not folder.exists():
        raise errors.UsageError(f'invalid output path "{folder}": no such directory; make it first')
    if not folder.is_dir():
        raise errors.UsageError(f'invalid output path "{folder}": not a directory')


class _Watched:
    """A repository whose blobs are counted as they come."""

    def __init__(
        self, there: registry.RemoteRepository, size: int, progress: remote.Progress
    ) -> None:
        self._there = there
        self._size = size
        self._progress = progress

    async def manifest(self, digest: digests.Digest) -> tuple[manifests.Descriptor, bytes]:
        """As of the repository."""
        return await self._there.manifest(digest)

    async def blob(self, descriptor: manifests.Descriptor) -> AsyncGenerator[bytes, None]:
        """As of the repository."""
        done = 0
        self._progress(done, self._size)
        async with contextlib.aclosing(self._there.blob(descriptor)) as chunks:
            async for chunk in chunks:
                yield chunk
                done += len(chunk)
                self._progress(done, self._size)


async def _unpacked(
    file: typing.BinaryIO, goal: pathlib.Path, limits: archive_limits.Limits
) -> extract.Extracted:
    cancelled = threading.Event()
    work = asyncio.create_task(
        asyncio.to_thread(extract.extract, file, goal, limits, is_cancelled=cancelled.is_set)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # The thread must have let go of the layer before it is closed.
        cancelled.set()
        await asyncio.wait([work])
        work.exception()
        raise


def _copy(found: Fetched, goal: pathlib.Path) -> None:
    title = pathlib.PurePosixPath(found.layer.annotations.get(TITLE, "")).name
    target = goal / (title if title not in {"", ".", ".."} else found.layer.digest.hex)
    try:
        with tempfile.NamedTemporaryFile(dir=goal, delete=False) as file:
            shutil.copyfileobj(found.file, file)
        pathlib.Path(file.name).chmod(0o644)
        pathlib.Path(file.name).replace(target)
    except OSError as error:
        raise errors.StorageError(f"cannot write '{target}': {error.strerror}") from error
