"""The data file: every object at every revision that is not yet compacted, in SQLite.

One table of revisions in the manner of etcd: the newest row of a key is its present state, a
``DELETED`` row its end. Writes go in batches, each batch one statement and so one transaction in
WAL mode with ``synchronous=FULL``: what is acknowledged survives a kill and a power cut.

Bodies are JSON objects without ``apiVersion`` and ``kind``, which the resource and the version
asked for decide. Blocking: only the store's threads call this.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ocisource import errors

FILE_NAME = "apiserver.db"
BATCH = 256  # rows of one statement: 7 variables each stay below SQLite's 32 766
COMPACTION_BATCH = 1_000  # revisions removed in one transaction, so that writers wait briefly
BUSY_SECONDS = 5.0

ADDED = 0
MODIFIED = 1
DELETED = 2

REMEDY = "put it back from a backup, or choose another --data-dir"

# Each entry brings the file from the version of its position to the next; never edit one, append.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE revisions (
        revision INTEGER PRIMARY KEY,
        previous INTEGER NOT NULL,
        event INTEGER NOT NULL,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX revisions_by_key ON revisions (resource, namespace, name, revision);
    CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO marks VALUES ('compacted', 0);
    """,
)

_COLUMNS = "revision, previous, event, resource, namespace, name, body"
_NEWEST = f"""
    SELECT {_COLUMNS} FROM revisions AS one
    WHERE event <> {DELETED} AND revision = (
        SELECT max(revision) FROM revisions AS other
        WHERE other.resource = one.resource AND other.namespace = one.namespace
          AND other.name = one.name {{bound}})
"""  # noqa: S608 - constants only


class Row(NamedTuple):
    """One revision of one object; ``previous`` is the revision before, 0 for a new object."""

    revision: int
    previous: int
    event: int
    resource: str
    namespace: str
    name: str
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """Where the file stands: the newest revision, and the newest one compacted away."""

    revision: int
    compacted: int


class Database:
    """One connection to the data file; used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: pathlib.Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: pathlib.Path) -> "Database":
        """Open or create the file and bring it to the present version; raises StorageError."""
        with _translated(f"open {path}", folder=path.parent):
            # Readable by its owner alone from its first byte on: it holds Secrets.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                _configure(connection)
                _migrate(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def marks(self) -> Marks:
        """The newest revision and the compaction mark; raises StorageError."""
        with _translated(f"load {self._path}", folder=self._path.parent):
            compacted = self._one("SELECT value FROM marks WHERE name = 'compacted'")
            newest = self._one("SELECT coalesce(max(revision), 0) FROM revisions")
        # After everything was deleted and compacted the mark is all that is left.
        return Marks(revision=max(newest, compacted), compacted=compacted)

    def base(self) -> tuple[int, int]:
        """A revision that was noted, and when, in seconds since the epoch; zeros if there is none.

        Raises StorageError.
        """
        with _translated("read the data file's marks"):
            held = dict(self._connection.execute("SELECT name, value FROM marks"))
        return held.get("base", 0), held.get("base_at", 0)

    def note_base(self, revision: int, at: int) -> None:
        """Note a revision and the time; raises StorageError."""
        with _translated("note the data file's marks"):
            self._connection.execute(
                "INSERT OR REPLACE INTO marks VALUES ('base', ?), ('base_at', ?)", (revision, at)
            )

    def insert(self, rows: Sequence[Row]) -> None:
        """Write up to BATCH rows durably, all or none; raises StorageError."""
        marks = ",".join(["(?,?,?,?,?,?,?)"] * len(rows))
        flat = [value for row in rows for value in row]
        with _translated("write to the data file"):
            self._connection.execute(f"INSERT INTO revisions VALUES {marks}", flat)  # noqa: S608

    def present(self) -> Iterator[Row]:
        """Every object as it is now; raises StorageError."""
        with _translated(f"load {self._path}", folder=self._path.parent):
            for values in self._connection.execute(_NEWEST.format(bound="")):
                yield Row(*values)

    def changes(self, resource: str, *, after: int, until: int) -> list[tuple[Row, bytes | None]]:
        """Rows of a resource with ``after < revision <= until``, each with the body before it.

        Raises StorageError.
        """
        query = f"""
            SELECT {", ".join("one." + column for column in _COLUMNS.split(", "))}, other.body
            FROM revisions AS one LEFT JOIN revisions AS other ON other.revision = one.previous
            WHERE one.resource = ? AND one.revision > ? AND one.revision <= ?
            ORDER BY one.revision
        """  # noqa: S608 - constants only
        with _translated("read history"):
            found = self._connection.execute(query, (resource, after, until)).fetchall()
        return [(Row(*values[:-1]), values[-1]) for values in found]

    def snapshot(
        self, resource: str, namespace: str, *, at: int, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """Objects of a resource as they were at a revision, by key; raises StorageError.

        ``after`` is the last key that is not wanted any more, ``limit`` 0 means all.
        """
        query = _NEWEST.format(bound="AND other.revision <= :at") + (
            " AND resource = :resource AND (namespace, name) > (:namespace_after, :name_after)"
            + (" AND namespace = :namespace" if namespace else "")
            + " ORDER BY namespace, name LIMIT :limit"
        )
        values = {
            "at": at,
            "resource": resource,
            "namespace": namespace,
            "namespace_after": after[0],
            "name_after": after[1],
            "limit": limit or -1,
        }
        with _translated("read history"):
            return [Row(*row) for row in self._connection.execute(query, values)]

    def compact(self, *, after: int, until: int) -> None:
        """Forget revisions in ``after < revision <= until`` that newer ones supersede.

        Raises StorageError.
        """
        with _translated("compact the data file"), self._transaction() as connection:
            connection.execute(
                "DELETE FROM revisions WHERE revision IN (SELECT previous FROM revisions "
                "WHERE revision > ? AND revision <= ? AND previous > 0)",
                (after, until),
            )
            connection.execute(
                "DELETE FROM revisions WHERE event = ? AND revision > ? AND revision <= ?",
                (DELETED, after, until),
            )
            connection.execute("UPDATE marks SET value = ? WHERE name = 'compacted'", (until,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _one(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 2000")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def _migrate(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise errors.StorageError(
            f"{path} was written by a newer version (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): use that version, or another --data-dir"
        )
    for position in range(version, len(MIGRATIONS)):
        # One transaction each: a crash leaves the file at a whole version.
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[position]} PRAGMA user_version = {position + 1}; COMMIT;"
        )


@contextlib.contextmanager
def _translated(what: str, *, folder: pathlib.Path | None = None) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise errors.StorageError(f"cannot {what}: {why}{_advice(error, folder)}") from error


def _advice(error: Exception, folder: pathlib.Path | None) -> str:
    """What to do about a data file that cannot be opened."""
    if folder is None:
        return ""
    if isinstance(error, PermissionError):
        return ": it is another user's; run as that one, or choose another --data-dir"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f": {REMEDY}"
    # SQLite calls what does not fit an I/O error.
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < _SPACE_BYTES:
            full = "" if "full" in str(error) else ": the disk is full"
            return f"{full}: make room, then start again"
    return ""


_SPACE_BYTES = 128 * 1024  # that SQLite needs beside the file to work at all


Opener = Callable[[pathlib.Path], Database]
