"""Unpacking a layer into a directory, for ``pull artifact``.

Existing files are overwritten, nothing is deleted. No symlink is ever followed: every directory
on the way is opened by itself, from the target down, and what is in the way and is neither a
directory nor a regular file is refused. Links in the layer are skipped; modes are the header's
permission bits under the umask, directories always usable by their owner; times are the header's,
but never in the future.
"""

import contextlib
import errno
import os
import stat
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ocisource import errors
from ocisource.archive import compression, headers, stream, untar
from ocisource.archive import limits as bounds

_PERMISSIONS = 0o777  # never set-id bits
_OWNER = 0o700
_PARENT_MODE = 0o750  # of directories the layer has no entry for
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a FIFO in the way would hold us up for ever.
_FILE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IN_THE_WAY = frozenset((errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EEXIST))


@dataclass(frozen=True, slots=True)
class Extracted:
    """How many entries were written, and what was left out, by kind."""

    entries: int
    skipped: Mapping[str, int]


def extract(
    blob: BinaryIO,
    target_dir: Path,
    limits: bounds.Limits,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.time,
) -> Extracted:
    """Unpack ``blob`` (gzip, zstd or plain tar) into ``target_dir``, which exists.

    Raises UsageError if the target is no directory, StorageError if a file cannot be written,
    CorruptArchiveError, UnsafeEntryError, LimitExceededError, AbandonedError.
    """
    if not stat.S_ISDIR(_mode(target_dir)):
        raise errors.UsageError(f"dir '{target_dir}' must be a directory")
    index = untar.Index(limits)
    windows = compression.windows(blob, compression=None, limits=limits)
    tape = stream.Tape(windows, index, is_order_needed=False)
    root = os.open(target_dir, _FOLDER)
    count = 0
    with contextlib.closing(_Folder(root)) as folder:
        for key, offset, kind, size in tape.entries():
            if is_cancelled():
                raise errors.AbandonedError("unpacking the layer was called off")
            header = tape.header(offset)
            mode = headers.number(header[100:108]) & _PERMISSIONS
            with _reported(key):
                if kind == untar.DIRECTORY:
                    folder.enter(key, mode=mode | _OWNER)
                else:
                    above, _, name = key.rpartition(b"\0")
                    folder.enter(above)
                    modified = min(_seconds(header[136:148]), clock())
                    _write(folder, name, mode, tape.pieces(offset, size), modified)
            count += 1
    return Extracted(count, types.MappingProxyType(index.skipped))


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError as exc:
        reason = os.strerror(exc.errno or 0).lower()
        raise errors.UsageError(f"dir '{path}' must be a directory: {reason}") from exc


@contextlib.contextmanager
def _reported(key: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        name = bounds.quote(key.replace(b"\0", b"/"))
        if exc.errno in _IN_THE_WAY:
            raise errors.UnsafeEntryError(
                f"tar file entry {name} meets a link or another kind of file in the target; "
                "remove that, or unpack elsewhere"
            ) from exc
        reason = os.strerror(exc.errno or 0).lower()
        raise errors.StorageError(f"failed to write {name}: {reason}") from exc


class _Folder:
    """The directory that entries go to now, as a descriptor nobody can swap for another."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = b""
        self.descriptor = root

    def close(self) -> None:
        """Close both descriptors."""
        self._leave()
        os.close(self._root)

    def _leave(self) -> None:
        if self.descriptor != self._root:
            os.close(self.descriptor)
        self.descriptor, self._path = self._root, b""

    def enter(self, path: bytes, *, mode: int = _PARENT_MODE) -> None:
        """Go to a directory, and make what is missing; ``mode`` is that of the last one."""
        if path == self._path:
            return
        self._leave()
        names = path.split(b"\0") if path else []
        for number, name in enumerate(names, start=1):
            last = mode if number == len(names) else _PARENT_MODE
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, last, dir_fd=self.descriptor)
            below = os.open(name, _FOLDER, dir_fd=self.descriptor)
            if self.descriptor != self._root:
                os.close(self.descriptor)
            self.descriptor = below
        self._path = path


def _write(
    folder: _Folder, name: bytes, mode: int, pieces: Iterator[memoryview], modified: float
) -> None:
    descriptor = os.open(name, _FILE, mode, dir_fd=folder.descriptor)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        file.truncate(0)
        for piece in pieces:
            view = piece
            while view:
                view = view[file.write(view) :]
        os.utime(descriptor, (modified, modified))


def _seconds(field: bytes) -> float:
    """A header's time; one before the epoch, or out of range, is taken for the epoch."""
    try:
        return min(headers.number(field), 1 << 40)
    except errors.CorruptArchiveError:
        return 0
