"""Work on the store as a whole: leftovers of a crash, and the slow reading of everything."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ocisource import digest as digests
from ocisource.storage import leftovers, paths, premises

_log = logging.getLogger(__name__)

SCRUB_RATE = 32 << 20  # bytes per second read by a scrub


class Upkeep:
    """Sweeps and scrubs one store."""

    def __init__(self, place: premises.Premises) -> None:
        self._place = place
        self._lock_file: int | None = None

    def claim(self) -> None:
        """Be the only process that writes here until close(); raises StorageError and OSError."""
        if self._lock_file is None:
            self._lock_file = leftovers.claim(self._place.own)

    def close(self) -> None:
        """Let others write."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def sweep(self) -> int:
        """Remove what a crash left: temporary files, half-removed folders, content without a name.

        Returns how many files and folders were removed. Raises OSError and sqlite3.Error.
        """
        with self._place.lock:
            count = leftovers.clear(self._place.own, token=self._place.token)
            for folder, name in self._entries():
                if paths.is_spare(name):
                    os.unlink(name, dir_fd=folder)
                    count += 1
            # Content that was just replaced may still be what a status names.
            return count + sum(map(self._place.reclaim, list(self._place.blobs.listed())))

    def _entries(self) -> Iterator[tuple[int, str]]:
        for top, folders, files, descriptor in os.fwalk(self._place.root, follow_symlinks=False):
            if Path(top) == self._place.root:
                folders[:] = [name for name in folders if name != paths.OWN]
            if folders:
                # Perhaps made by a process that was killed before it flushed them.
                os.fsync(descriptor)
            for name in files:
                yield descriptor, name

    def scrub(
        self,
        *,
        sleep: Callable[[float], object],
        is_cancelled: Callable[[], bool],
        rate: float,
    ) -> tuple[str, ...]:
        """Read every file with a record again, at ``rate`` bytes per second, block by block.

        Returns the paths whose bytes are not those of the record; check() reports them as altered
        from now on. A content with several names is read once; called off, reading ends after the
        block. Raises sqlite3.Error.
        """

        def pace(size: int) -> None:
            if is_cancelled():
                raise _CalledOffError
            sleep(size / rate)

        altered: list[str] = []
        seen: dict[tuple[int, int], digests.Digest | None] = {}
        for path in self._place.index.paths():
            if is_cancelled():
                break
            record = self._place.index.get(path)
            if record is None:
                continue
            try:
                found = self._reread(path, seen, pace)
            except _CalledOffError:
                break
            # A file that was replaced meanwhile is another one, not a bad one.
            if found not in (None, record.digest) and self._place.index.get(path) == record:
                _log.warning("stored file %s was altered: it is %s", path, found)
                altered.append(path)
        return tuple(altered)

    def _reread(
        self,
        path: str,
        seen: dict[tuple[int, int], digests.Digest | None],
        pace: Callable[[int], None],
    ) -> digests.Digest | None:
        """The digest found; None: the file is gone or cannot be read."""
        try:
            descriptor = paths.open_file(self._place.root, path)
        except OSError:
            return None
        try:
            result = os.fstat(descriptor)
            inode = (result.st_dev, result.st_ino)
            if inode not in seen:
                # Decay is on the disk: what the system still has in memory says nothing about it.
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                seen[inode] = self._place.ledger.read(descriptor, on_block=pace)
            return seen[inode]
        except OSError:
            return None
        finally:
            os.close(descriptor)


class _CalledOffError(Exception):
    """The scrub was called off while a file was being read."""
