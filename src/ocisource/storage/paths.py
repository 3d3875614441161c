"""Names inside the store, and how they are opened without ever leaving it.

``path ::= segment ("/" segment)*``, relative to the store's root. A segment is not empty, does not
begin with a dot (such names are the store's own), and holds no slash, backslash or control
character. Folders are opened one segment after the other and never through a symbolic link, so
that no name, however it was made, leads out of the root.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ocisource import errors

LATEST = "latest.tar.gz"
OWN = ".ocisource"  # the store's own folder below the root; never served
TEMPORARY = ".tmp-"  # prefix of a file that is being put in place
_SPARE = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{16}}-(new|old)")

_MAX_SEGMENT = 255  # bytes, NAME_MAX of every file system in use
_MAX_PATH = 1024  # bytes
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that somebody put into the store must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER_MODE = 0o700
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


def split(path: str) -> tuple[str, ...]:
    """The segments of a path; raises StorageError for one that is not acceptable."""
    segments = tuple(path.split("/"))
    if not all(map(is_segment, segments)) or len(path.encode()) > _MAX_PATH:
        raise errors.StorageError(f"path {path[:_MAX_SEGMENT]!r} is not a name inside the store")
    return segments


def is_segment(name: str) -> bool:
    """Whether this may be one part of a path."""
    if not name or name.startswith(".") or not name.isprintable():
        return False  # a lone surrogate is not printable, so what follows can be encoded
    return not ("/" in name or "\\" in name or len(name.encode()) > _MAX_SEGMENT)


def spare_names() -> tuple[str, str]:
    """Two names that nobody uses: for a file on its way to its name, and for what stood there."""
    token = secrets.token_hex(8)
    return f"{TEMPORARY}{token}-new", f"{TEMPORARY}{token}-old"


def is_spare(name: str) -> bool:
    """Whether this is a name made by spare_names(), and not somebody else's ``.tmp-`` file."""
    return _SPARE.fullmatch(name) is not None


def divide(path: str) -> tuple[str, str]:
    """Folder and file name of a path; raises StorageError."""
    segments = split(path)
    if len(segments) == 1:
        raise errors.StorageError(f"path {path!r} names no folder")
    return "/".join(segments[:-1]), segments[-1]


@contextlib.contextmanager
def folder(root: Path, path: str, *, is_made: bool = False) -> Iterator[int]:
    """A descriptor of the folder ``path`` ("" is the root itself), closed at the end.

    ``is_made`` creates what is missing, mode 0700, and makes the new names durable.
    Raises OSError (ENOENT, ENOTDIR, ELOOP …) and StorageError.
    """
    descriptor = os.open(root, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        for segment in split(path) if path else ():
            if is_made:
                _make(segment, descriptor)
            inner = os.open(segment, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _make(segment: str, parent: int) -> None:
    try:
        os.mkdir(segment, _FOLDER_MODE, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def flush(folder: Path) -> None:
    """Make the names in a folder durable; raises OSError."""
    descriptor = os.open(folder, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_file(root: Path, path: str) -> int:
    """A descriptor of the regular file ``path``.

    Raises FileNotFoundError when there is none (a folder, link or device does not count),
    other OSErrors, and StorageError for a path that is not acceptable.
    """
    parent, name = divide(path)
    try:
        with folder(root, parent) as descriptor:
            return open_in(descriptor, name)
    except OSError as exc:
        if exc.errno in _ABSENT:
            raise FileNotFoundError(exc.errno, "no such file", path) from exc
        raise


def open_in(folder: int, name: str) -> int:
    """A descriptor of the regular file ``name`` in an open folder; raises as open_file()."""
    opened = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise FileNotFoundError(errno.ENOENT, "no regular file", name)
    return opened


def is_present(name: str, folder: int) -> bool:
    """Whether an open folder has anything of this name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def subfolders(root: Path, path: str) -> list[str]:
    """The folders directly in a folder, which may be missing; links and odd names are none."""
    try:
        with folder(root, path) as descriptor, os.scandir(descriptor) as entries:
            return [
                f"{path}/{entry.name}"
                for entry in entries
                if is_segment(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
