"""A tar stream kept for reading again in another order: in memory, beyond a bound in a file.

The file has no name (it is unlinked at once), so nothing is left behind by a crash.

Raises StorageError when the file cannot be written or read.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

from ocisource import errors
from ocisource.archive.compression import WINDOW

COPIED = 2048  # bytes; up to here a copy is cheaper than a view
SMALL = 64 << 10  # bytes; below it an entry's data is handed over in one piece

Piece = bytes | memoryview


def temporary_file(directory: Path) -> BinaryIO:
    """A file without a name in ``directory``, for this process alone."""
    try:
        return cast("BinaryIO", tempfile.TemporaryFile(dir=directory, buffering=0))
    except OSError as exc:
        raise _failed(exc) from exc


def write(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` at the file's position."""
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as exc:
        raise _failed(exc) from exc


def _failed(exc: OSError) -> errors.StorageError:
    reason = os.strerror(exc.errno).lower() if exc.errno else str(exc)
    return errors.StorageError(
        f"failed to spool the layer: {reason}; make room in the folder for temporary files (TMPDIR)"
    )


class Spool:
    """Windows of a stream, each of WINDOW bytes but the last, in the order they were added.

    The first ones stay in memory, up to a bound; the file holds the rest.
    """

    __slots__ = ("_directory", "_file", "_memory_bound", "_windows")

    def __init__(self, directory: Path, *, memory_bound: int) -> None:
        self._directory = directory
        self._memory_bound = memory_bound  # bytes
        self._windows: list[bytes] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up memory and file."""
        self._windows = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, window: bytes) -> None:
        """Append a window."""
        if (len(self._windows) + 1) * WINDOW <= self._memory_bound:
            self._windows.append(window)
            return
        if self._file is None:
            self._file = temporary_file(self._directory)
        write(self._file, window)

    def taken(self) -> list[bytes]:
        """The windows held in memory, which are the caller's from now on."""
        windows, self._windows = self._windows, []
        return windows

    def data(self, offset: int, size: int) -> bytes | memoryview:
        """At most SMALL bytes from ``offset`` on."""
        number, start = divmod(offset, WINDOW)
        if number >= len(self._windows):
            return self._read(offset, size)
        if start + size > WINDOW:
            return b"".join(self.pieces(offset, size))
        window = self._windows[number]
        return (
            memoryview(window)[start : start + size]
            if size > COPIED
            else window[start : start + size]
        )

    def pieces(self, offset: int, size: int, *, first: int = WINDOW) -> Iterator[Piece]:
        """``size`` bytes from ``offset`` on, in pieces.

        Those from the file end where the reader wants them to, ``first`` bytes on and every WINDOW
        bytes after that: whoever fills blocks need not put them together from two.
        """
        end = offset + size
        wanted = offset + first
        while offset < end:
            number, start = divmod(offset, WINDOW)
            if number < len(self._windows):
                piece: Piece = memoryview(self._windows[number])[start : start + end - offset]
            else:
                length = (wanted - offset) % WINDOW or WINDOW
                piece = self._read(offset, min(length, end - offset))
            yield piece
            offset += len(piece)

    def _read(self, offset: int, size: int) -> bytes:
        """Bytes of windows that are in the file."""
        assert self._file is not None
        try:
            data = os.pread(self._file.fileno(), size, offset - len(self._windows) * WINDOW)
        except OSError as exc:
            raise _failed(exc) from exc
        if len(data) != size:
            raise errors.StorageError("failed to spool the layer: its temporary file was cut short")
        return data
