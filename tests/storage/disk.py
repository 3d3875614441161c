"""A disk that keeps nothing but what was flushed, to cut the power of.

The strictest reading of POSIX: of a file the bytes it had when it was last flushed, of a folder the
names it had when it was; a folder never flushed is empty, a file never flushed has no bytes. Of the
store's index, whose flushes are SQLite's own, either everything is kept or only what it had when
it last promised so.
"""

import os
import pathlib
import sqlite3
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from ocisource.storage import index

# What changes names. Before each of these calls, and each flush, the power may go.
_CALLS = ("fsync", "link", "mkdir", "rename", "replace", "symlink", "unlink")
_INDEX = "index.db"


class PowerCut(BaseException):
    """The power is gone: what the process does from now on does not reach the disk.

    No Exception: nothing may take it for an error and go on.
    """


class _Name(NamedTuple):
    """What a name in a folder leads to: an inode, or a link's target."""

    inode: int
    is_folder: bool
    target: str | None


class Disk:
    """Watches a folder from now on; ``passing`` calls get through, then the power goes."""

    def __init__(self, root: pathlib.Path, *, passing: int) -> None:
        self._root = root
        self._passing = passing
        self._folders: dict[int, dict[str, _Name]] = {}
        self._files: dict[int, bytes] = {}
        self._held: list[int] = []
        self._promised = b""
        self._latest = b""
        self.is_cut = False

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the store and the system."""
        self._flush(os.open(self._root, os.O_RDONLY))
        for name in _CALLS:
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))
        replacing = index.Index.replacing

        def promised(records: index.Index, *args: Any, **options: Any) -> None:
            replacing(records, *args, **options)
            if not self.is_cut:
                self._promised = self._records()

        monkeypatch.setattr(index.Index, "replacing", promised)

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*args: Any, **options: Any) -> Any:
            if not self.is_cut and self._passing == 0:
                self.cut()
                raise PowerCut
            self._passing -= 1
            if name != "fsync":
                return call(*args, **options)
            if not self.is_cut:
                self._flush(os.dup(args[0]))
            return None  # nothing of this need ever reach the real disk

        return watching

    def cut(self) -> None:
        """Cut the power now."""
        if not self.is_cut:
            self._latest = self._records()
            self.is_cut = True

    def _records(self) -> bytes:
        location = self._root / ".ocisource" / _INDEX
        if not location.exists():
            return b""
        connection = sqlite3.connect(location)
        try:
            return connection.serialize()
        finally:
            connection.close()

    def _flush(self, descriptor: int) -> None:
        self._held.append(descriptor)  # so that no other file is given this inode's number
        inode = os.fstat(descriptor).st_ino
        try:
            names = os.listdir(descriptor)
        except NotADirectoryError:
            self._files[inode] = os.pread(descriptor, 1 << 30, 0)
        else:
            self._folders[inode] = {name: _look(name, descriptor) for name in names}

    def restart(self, target: pathlib.Path, *, has_latest_records: bool) -> None:
        """Write what is left to a new folder."""
        made: dict[int, pathlib.Path] = {}

        def restore(inode: int, where: pathlib.Path) -> None:
            where.mkdir(mode=0o700)
            for name, found in self._folders.get(inode, {}).items():
                inner = where / name
                if found.target is not None:
                    inner.symlink_to(found.target)
                elif found.is_folder:
                    restore(found.inode, inner)
                elif found.inode in made:
                    inner.hardlink_to(made[found.inode])
                elif not name.startswith(_INDEX):
                    inner.write_bytes(self._files.get(found.inode, b""))
                    made[found.inode] = inner

        restore(self._root.stat().st_ino, target)
        records = self._latest if has_latest_records else self._promised
        if records and (target / ".ocisource").is_dir():
            (target / ".ocisource" / _INDEX).write_bytes(records)

    def close(self) -> None:
        """Let go of what is held open."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()


def _look(name: str, folder: int) -> _Name:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(found.st_mode) else None
    return _Name(found.st_ino, stat.S_ISDIR(found.st_mode), target)
