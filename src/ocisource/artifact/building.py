"""Building an artifact: a folder or a file becomes a reproducible ``.tar.gz``.

The tar stream is what ``flux build artifact`` makes of the same tree, byte for byte; the packed
bytes differ, because another compressor makes them. They are the same on every CPU.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import tempfile
import threading
import typing
from collections.abc import AsyncIterator, Sequence

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import sourceignore, tarball

IGNORED = sourceignore.COMMAND_LINE
SPOOL_BYTES = 16 << 20  # an archive up to this size stays in memory
_MODE = 0o640  # of the file that is built


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """An archive: digest and bytes of the packed file, digest of the tar in it, its entries."""

    digest: str
    size: int
    tar_digest: str
    entries: int


async def build(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    ignore: Sequence[str] = IGNORED,
    is_following: bool = False,
) -> Built:
    """Pack a folder or file into the file ``target``.

    ``ignore`` holds patterns as in ``.gitignore``; ``is_following`` replaces links by what they
    point to. Raises UsageError, StorageError.

    >>> import asyncio
    >>> built = asyncio.run(build("deploy/", "app.tgz"))
    >>> built.entries, built.digest.startswith("sha256:")
    (2, True)
    """
    goal = pathlib.Path(target)
    async with packed(pathlib.Path(path), ignore=ignore, is_following=is_following) as archive:
        await asyncio.to_thread(_place, archive.file, goal)
        return archive.built


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """An archive at hand, positioned anywhere."""

    file: typing.IO[bytes]
    built: Built


@contextlib.asynccontextmanager
async def packed(
    path: pathlib.Path, *, ignore: Sequence[str], is_following: bool = False
) -> AsyncIterator[Archive]:
    """The archive of a folder or file, in memory or a temporary file; raises UsageError."""
    cancelled = threading.Event()
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
        work = asyncio.create_task(
            asyncio.to_thread(_pack, path, file, ignore, is_following, cancelled)
        )
        try:
            built = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread must have let go of the file before it is closed.
            cancelled.set()
            await asyncio.wait([work])
            work.exception()
            raise
        yield Archive(typing.cast("typing.IO[bytes]", file), built)


def _pack(
    path: pathlib.Path,
    file: typing.Any,
    ignore: Sequence[str],
    is_following: bool,  # noqa: FBT001 - a call in a thread
    cancelled: threading.Event,
) -> Built:
    hasher, tar = digests.Hasher(), digests.Hasher()

    def write(data: bytes) -> None:
        hasher.update(data)
        try:
            file.write(data)
        except OSError as error:
            raise errors.StorageError(f"no room for the archive: {error.strerror}") from error

    try:
        result = tarball.pack_path(
            path,
            ignore=ignore,
            write=write,
            is_following=is_following,
            is_cancelled=cancelled.is_set,
            tar=tar,
        )
    except errors.UsageError as error:
        if not is_following:
            raise
        raise errors.UsageError(f"resolving symlinks failed: {error.text}") from error
    return Built(str(hasher.digest), hasher.size, str(tar.digest), result.entries)


def _place(source: typing.IO[bytes], goal: pathlib.Path) -> None:
    """Write the target in one step: whoever looks sees the old file or the whole new one."""
    source.seek(0)
    try:
        descriptor, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _MODE)
                while data := source.read(1 << 20):
                    file.write(data)
            pathlib.Path(name).replace(goal)
        except BaseException:
            pathlib.Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise errors.StorageError(f"cannot write '{goal}': {error.strerror}") from error
