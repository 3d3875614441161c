"""Bytes on their way into the store: written beside it, hashed as they come."""

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import failures

_BUFFER = 1 << 18  # bytes gathered before a write


@dataclasses.dataclass(frozen=True, slots=True)
class StagedBlob:
    """Complete, durable bytes that have no name in the store yet."""

    digest: digests.Digest
    size: int
    location: Path


class Stage:
    """A temporary file: ``write()`` the bytes, ``finish()``, then publish before leaving ``with``.

    What was not published is removed at the end. To be used by one thread at a time::

        with store.stage() as stage:
            stage.write(data)
            store.publish(stage.finish(), path=path)
    """

    def __init__(self, folder: Path, *, prefix: str) -> None:
        with failures.reported("failed to create a temporary file in the store"):
            try:
                descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix)
            except FileNotFoundError as exc:
                # The index and the lock went with it: nothing made now would be found again.
                raise errors.StorageError(
                    "the store's own folder was removed while it was in use: start this process "
                    "again to make a new one"
                ) from exc
            self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=_BUFFER)
        self._location = Path(name)
        self._hasher = digests.Hasher()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises StorageError (disk full …)."""
        if self._file.closed:
            raise errors.StorageError("nothing can be written to a finished file of the store")
        with failures.reported("failed to write to the store"):
            self._file.write(data)
        self._hasher.update(data)

    def rewind(self) -> None:
        """Forget what was written so far, to write from the start; raises StorageError."""
        with failures.reported("failed to write to the store"):
            self._file.seek(0)
            self._file.truncate()
        self._hasher = digests.Hasher()

    def finish(self) -> StagedBlob:
        """Flush everything to the disk; raises StorageError."""
        with failures.reported("failed to write to the store"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return StagedBlob(self._hasher.digest, self._hasher.size, self._location)

    def discard(self) -> None:
        """Remove the temporary file unless it was published."""
        # Closing flushes what nobody wants any more, and closes the descriptor even if that fails.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._location.unlink(missing_ok=True)
