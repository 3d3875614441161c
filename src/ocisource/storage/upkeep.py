"""Work on the store as a whole: leftovers of a crash, and the slow reading of everything."""

import fcntl
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import blobs, index, integrity, paths

_log = logging.getLogger(__name__)

SCRUB_RATE = 32 << 20  # bytes per second read by a scrub


class Upkeep:
    """Sweeps and scrubs; ``lock`` is the store's, held while names change."""

    def __init__(
        self,
        root: Path,
        *,
        content: blobs.Blobs,
        records: index.Index,
        ledger: integrity.Ledger,
        lock: threading.RLock,
    ) -> None:
        self._root = root
        self._own = root / paths.OWN
        self._blobs = content
        self._index = records
        self._ledger = ledger
        self._lock = lock
        self._lock_file: int | None = None

    def claim(self) -> None:
        """Be the only process that writes here until close(); raises StorageError and OSError."""
        if self._lock_file is not None:
            return
        descriptor = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(descriptor)
            raise errors.StorageError(
                f"the store '{self._root}' is in use by another process; "
                "stop it or give each its own --storage-path"
            ) from exc
        self._lock_file = descriptor

    def close(self) -> None:
        """Let others write."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def sweep(self) -> int:
        """Remove what a crash left: temporary files, half-removed folders, content without a name.

        Returns how many files and folders were removed. Raises OSError and sqlite3.Error.
        """
        count = 0
        with self._lock:
            for folder in ("tmp", "trash"):
                for entry in os.scandir(self._own / folder):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        Path(entry.path).unlink()
                    count += 1
            for folder_fd, name in self._entries():
                if name.startswith(paths.TEMPORARY):
                    os.unlink(name, dir_fd=folder_fd)
                    count += 1
            # Content that was just replaced may still be what a status names.
            wanted = self._index.wanted()
            for found in list(self._blobs.listed()):
                if found not in wanted and self._blobs.reclaim(found):
                    count += 1
        return count

    def _entries(self) -> Iterator[tuple[int, str]]:
        for top, folders, files, descriptor in os.fwalk(self._root, follow_symlinks=False):
            if Path(top) == self._root:
                folders[:] = [name for name in folders if name != paths.OWN]
            for name in files:
                yield descriptor, name

    def scrub(
        self,
        *,
        sleep: Callable[[float], None],
        is_cancelled: Callable[[], bool],
        rate: float,
    ) -> tuple[str, ...]:
        """Read every file with a record again, at ``rate`` bytes per second.

        Returns the paths whose bytes are not those of the record; check() reports them as altered
        from now on. A content with several names is read once. Raises sqlite3.Error.
        """
        altered: list[str] = []
        seen: dict[tuple[int, int], digests.Digest | None] = {}
        for path in self._index.paths():
            if is_cancelled():
                break
            record = self._index.get(path)
            if record is None:
                continue
            size, found = self._reread(path, seen)
            if found not in (None, record.digest):
                _log.warning("stored file %s was altered: it is %s", path, found)
                altered.append(path)
            sleep(size / rate)
        return tuple(altered)

    def _reread(
        self, path: str, seen: dict[tuple[int, int], digests.Digest | None]
    ) -> tuple[int, digests.Digest | None]:
        """Bytes read, and the digest found (None: the file is gone or cannot be read)."""
        try:
            descriptor = paths.open_file(self._root, path)
        except OSError:
            return 0, None
        try:
            result = os.fstat(descriptor)
            inode = (result.st_dev, result.st_ino)
            if inode in seen:
                return 0, seen[inode]
            seen[inode] = self._ledger.read(descriptor)
            return result.st_size, seen[inode]
        except OSError:
            return 0, None
        finally:
            os.close(descriptor)


def is_regular(name: str, folder: int) -> bool:
    """Whether ``name`` in an open folder is a regular file (a link to one is not)."""
    try:
        result = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(result.st_mode)
