"""What the store remembers about its files, in SQLite beside them.

Times live here and never in mtime: hard links share one inode. The index may be
lost without losing an artifact: what it does not know is read again from the files, and only
retention starts anew. Commits are therefore not flushed one by one (WAL, synchronous=NORMAL): a
power cut may lose the last of them, but never damages the file. What only the index can say is
flushed at once: which content was replaced and may still be what a status names.
"""

import contextlib
import dataclasses
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ocisource import digest as digests

_log = logging.getLogger(__name__)

_FILE_MODE = 0o600
_BUSY = 5.0  # s to wait for another process that holds the index
_VERSION = 2  # of the schema; an index of another version is begun anew
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY,
  folder TEXT NOT NULL,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  stored_at REAL NOT NULL,
  note TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_folder ON files (folder);
CREATE TABLE IF NOT EXISTS replacements (
  path TEXT NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL,
  PRIMARY KEY (path, old, new)
) WITHOUT ROWID;
"""
_COLUMNS = "path, digest, size, stored_at, note"


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store: ``path`` relative to its root, ``digest`` and ``size`` of its bytes.

    ``stored_at`` are seconds since the epoch; ``note`` is whatever the caller wants to be told
    again.
    """

    path: str
    digest: digests.Digest
    size: int
    stored_at: float
    note: str = ""


class Index:
    """Records of files and of replacements under way. Thread-safe; methods raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._connection = _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:
            _log.warning("the store's index was damaged (%s) and is begun anew", exc)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._connection = _connect(path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside, or none."""
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # Some errors (a full disk among them) have rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def get(self, path: str) -> StoredFile | None:
        """The record of one path."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM files WHERE path = ?", path)  # noqa: S608
        return _stored(rows[0]) if rows else None

    def folder(self, folder: str) -> dict[str, StoredFile]:
        """The records of the files directly in a folder, by path."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM files WHERE folder = ?", folder)  # noqa: S608
        return {row[0]: _stored(row) for row in rows}

    def paths(self) -> tuple[str, ...]:
        """Every path with a record."""
        return tuple(row[0] for row in self._rows("SELECT path FROM files"))

    def put(self, file: StoredFile) -> None:
        """Write the record of a path, in place of an older one."""
        folder, _, _ = file.path.rpartition("/")
        # Columns by name: an index made by an earlier release has one more, the tar's digest.
        self._rows(
            "INSERT OR REPLACE INTO files (path, folder, digest, size, stored_at, note)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *(file.path, folder, file.digest.hex, file.size, file.stored_at, file.note),
        )

    def delete(self, paths: Iterable[str]) -> None:
        """Forget these paths and their replacements."""
        with self.transaction():
            for path in paths:
                self._rows("DELETE FROM files WHERE path = ?", path)
                self._rows("DELETE FROM replacements WHERE path = ?", path)

    def replacing(self, path: str, *, old: digests.Digest, new: digests.Digest) -> None:
        """Note that ``new`` takes the place of ``old``, which may still be wanted.

        Durable when it returns, with all commits before it; for that it cannot be called inside
        transaction().
        """
        statement = "INSERT OR IGNORE INTO replacements VALUES (?, ?, ?)"
        with self._lock:
            self._connection.execute("PRAGMA synchronous = FULL")
            try:
                self._rows(statement, path, old.hex, new.hex)
            finally:
                self._connection.execute("PRAGMA synchronous = NORMAL")

    def replacements(self, path: str) -> frozenset[tuple[digests.Digest, digests.Digest]]:
        """Pairs (old, new) noted for a path."""
        rows = self._rows("SELECT old, new FROM replacements WHERE path = ?", path)
        return frozenset((digests.Digest(old), digests.Digest(new)) for old, new in rows)

    def settled(self, path: str) -> None:
        """Forget the replacements of a path."""
        self._rows("DELETE FROM replacements WHERE path = ?", path)

    def wanted(self) -> frozenset[digests.Digest]:
        """Digests of replaced content that may still be wanted."""
        return frozenset(
            digests.Digest(row[0]) for row in self._rows("SELECT old FROM replacements")
        )

    def _rows(self, statement: str, *values: str | float | None) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    # Private from the beginning; SQLite gives the files beside it the same mode. One that is there
    # is left alone: to close it here would drop the locks of another connection.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _check(connection)
        connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, _VERSION}:
        raise sqlite3.DatabaseError(f"version {version} is unknown")


def _stored(row: tuple[str, str, int, float, str]) -> StoredFile:
    path, content, size, stored_at, note = row
    return StoredFile(path, digests.Digest(content), size, stored_at, note)
