"""Publish: filter, pack, digest and store. From a verified layer to a stored artifact.

The work is in two halves, so that nothing is committed for an object that has changed meanwhile:
``stage`` grinds in a packer's thread and leaves a staged file, ``commit`` gives it its name.
"""

import contextlib
import dataclasses
import pathlib
import typing
from collections.abc import Callable

from ocisource import errors
from ocisource.archive import limits as archive_limits
from ocisource.archive import repack
from ocisource.source import wanted, workers
from ocisource.storage import failures, staging
from ocisource.storage import store as stores

COPY_BLOCK_BYTES = 256 * 1024
LATEST = "latest.tar.gz"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A packed file that has no name yet; ``skipped`` counts entries left out, by kind."""

    stage: staging.Stage
    blob: staging.StagedBlob
    entries: int
    skipped: dict[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """A file under its name; ``link_problem`` says why ``latest.tar.gz`` does not lead to it."""

    stored: stores.StoredFile
    link_problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Packs layers and commits them to the store."""

    store: stores.Store
    workers: workers.Workers
    limits: archive_limits.Limits
    spool_dir: pathlib.Path

    async def stage(self, blob: typing.BinaryIO, want: wanted.Wanted) -> Staged:
        """Pack (or copy) the layer into the store's staging area.

        Raises ArchiveError for what is inside the layer and StorageError for the store.
        """

        def job(is_cancelled: Callable[[], bool]) -> Staged:
            stage = self.store.stage()
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(stage.discard)
                fill = _copy if want.is_copied else self._pack
                # The layer may be a temporary file on a disk that fails.
                with failures.reported("failed to read the layer"):
                    staged = fill(blob, want, stage, is_cancelled)
                on_failure.pop_all()
            return staged

        return await self.workers.pack(job, discard=lambda staged: staged.stage.discard())

    def _pack(
        self,
        blob: typing.BinaryIO,
        want: wanted.Wanted,
        stage: staging.Stage,
        is_cancelled: Callable[[], bool],
    ) -> Staged:
        packed = repack.repack(
            blob,
            compression=None,
            ignore=want.ignore,
            limits=self.limits,
            write=stage.write,
            rewind=stage.rewind,
            is_cancelled=is_cancelled,
            spool_dir=self.spool_dir,
        )
        return Staged(
            stage=stage,
            blob=stage.finish(),
            entries=packed.entries,
            skipped=dict(packed.skipped),
        )

    async def prepare(self, folder: str) -> None:
        """Make the folder that files will be committed to; raises StorageError."""
        await self.workers.block(lambda: self.store.make_folder(folder))

    async def commit(self, staged: Staged, *, path: str, note: str = "") -> Committed:
        """Give the staged file its name, durably, and point ``latest.tar.gz`` at it.

        ``note`` is kept in the store's record. Raises StorageError; the file that had the name
        before stays then. What has begun is finished, also for a waiter that is cancelled.
        """
        folder = path.rpartition("/")[0]

        def call() -> Committed:
            with staged.stage:
                stored = self.store.publish(staged.blob, path=path, note=note)
            try:
                self.store.point_latest(folder, path)
            except errors.StorageError as error:
                return Committed(stored, error.text)
            return Committed(stored)

        return await self.workers.finish(call)

    async def discard(self, staged: Staged) -> None:
        """Remove a staged file that nobody wants any more."""
        await self.workers.block(staged.stage.discard)


def _copy(
    blob: typing.BinaryIO,
    want: wanted.Wanted,  # noqa: ARG001 - the shape of _pack
    stage: staging.Stage,
    is_cancelled: Callable[[], bool],
) -> Staged:
    while chunk := blob.read(COPY_BLOCK_BYTES):
        if is_cancelled():
            raise errors.AbandonedError("copying was called off")
        stage.write(chunk)
    return Staged(stage=stage, blob=stage.finish(), entries=0, skipped={})
