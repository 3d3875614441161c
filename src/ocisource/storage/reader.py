"""Files of the store opened for reading, with what is known about them.

Nothing is handed out whose bytes were not matched with the index since their stat signature last
changed: a file altered behind the store's back counts as absent.
"""

import dataclasses
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from ocisource import digest as digests
from ocisource.storage import index, integrity, paths

_ATTEMPTS = 3  # looks at a file that is being replaced


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """An open file. Whoever gets it closes ``descriptor``.

    ``is_settled`` tells whether an equal signature proves equal content from now on (a file
    younger than the kernel's clock tick proves nothing yet).
    """

    descriptor: int
    signature: integrity.Signature
    digest: digests.Digest
    stored_at: float
    is_settled: bool


class Reader:
    """Opens files below a root by their path."""

    def __init__(
        self,
        root: Path,
        *,
        records: index.Index,
        ledger: integrity.Ledger,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.root = root
        self._real_root = Path(os.path.realpath(root))
        self._index = records
        self._ledger = ledger
        self._wall_ns = wall_ns

    def open(self, path: str) -> Opened:
        """Open a regular file, or the file that a link at ``path`` names inside the store.

        May read the whole file. Raises FileNotFoundError (absent, altered, or a link that leads
        out), other OSErrors, sqlite3.Error, and StorageError for a path that is no name.
        """
        path = self._followed(path)
        for _ in range(_ATTEMPTS):
            descriptor = paths.open_file(self.root, path)
            try:
                found = self._ledger.digest_of(descriptor)
                record = self._index.get(path)
                if record is None or record.digest == found:
                    return self._opened(descriptor, found, record)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            # Perhaps replaced between the two looks: then the next ones agree.
        raise FileNotFoundError(errno.ENOENT, "altered behind the store's back", path)

    def _opened(
        self, descriptor: int, found: digests.Digest, record: index.StoredFile | None
    ) -> Opened:
        signature = integrity.Signature.of(os.fstat(descriptor))
        # A file the index does not know (yet) has no better time than its own.
        stored_at = signature.mtime_ns / 1e9 if record is None else record.stored_at
        return Opened(
            descriptor, signature, found, stored_at, signature.is_settled(self._wall_ns())
        )

    def _followed(self, path: str) -> str:
        folder, name = paths.divide(path)
        try:
            with paths.folder(self.root, folder) as descriptor:
                target = os.readlink(name, dir_fd=descriptor)
        except OSError:
            return path  # no link: opening it will tell what else it is
        if target.startswith("/"):
            return self._relative(target)
        inside = os.path.normpath(f"{folder}/{target}")
        if inside.startswith(".."):
            raise FileNotFoundError(errno.ENOENT, "a link that leads out of the store", path)
        return inside

    def _relative(self, target: str) -> str:
        # Flux writes the absolute path of the file into its links.
        inside = Path(os.path.normpath(target))
        for root in (self.root, self._real_root):
            if inside.is_relative_to(root):
                return str(inside.relative_to(root))
        raise FileNotFoundError(errno.ENOENT, "a link that leads out of the store", target)
