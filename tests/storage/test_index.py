"""What the store remembers."""

import pathlib
import sqlite3
from typing import Any

import pytest

from ocisource import digest as digests
from ocisource.storage import index

_A, _B, _C = (digests.Digest.of(data) for data in (b"a", b"b", b"c"))


def _file(path: str = "x/y/1", content: digests.Digest = _A) -> index.StoredFile:
    return index.StoredFile(path, content, 1, 12.5)


def test_records_outlive_the_process(tmp_path: pathlib.Path) -> None:
    """What was put is there after opening again, field by field."""
    first = index.Index(tmp_path / "db")
    first.put(_file())
    first.put(index.StoredFile("x/y/2", _B, 2, 1.0))
    first.close()
    again = index.Index(tmp_path / "db")
    assert again.get("x/y/1") == _file()
    assert again.folder("x/y").keys() == {"x/y/1", "x/y/2"}
    assert again.folder("x") == {}
    again.close()


def test_an_index_of_an_earlier_release_is_read_and_written(tmp_path: pathlib.Path) -> None:
    """It had one more column, the digest of the tar inside; retention goes on from its times."""
    index.Index(tmp_path / "db").close()
    earlier = sqlite3.connect(tmp_path / "db")
    earlier.executescript("ALTER TABLE files ADD COLUMN tar_digest TEXT")
    row = ("x/y/1", "x/y", _A.hex, 1, 12.5, "", _B.hex)
    earlier.execute(
        "INSERT INTO files (path, folder, digest, size, stored_at, note, tar_digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    earlier.commit()
    earlier.close()
    records = index.Index(tmp_path / "db")
    records.put(_file("x/y/2", _C))
    assert records.folder("x/y") == {"x/y/1": _file(), "x/y/2": _file("x/y/2", _C)}
    records.close()


def test_a_damaged_index_is_begun_anew(tmp_path: pathlib.Path) -> None:
    """Garbage in the file costs the records, never the start."""
    (tmp_path / "db").write_bytes(b"no database" * 1000)
    records = index.Index(tmp_path / "db")
    records.put(_file())
    assert records.get("x/y/1") == _file()
    records.close()


def test_damage_inside_the_index_is_noticed_at_the_next_start(tmp_path: pathlib.Path) -> None:
    """An index with a broken page is begun anew, not trusted."""
    path = tmp_path / "db"
    records = index.Index(path)
    with records.transaction():
        for number in range(500):
            records.put(_file(f"x/y/{number}"))
    records.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    path.write_bytes(content)
    again = index.Index(path)
    assert again.paths() == ()
    again.close()


def test_an_index_of_another_version_is_begun_anew(tmp_path: pathlib.Path) -> None:
    """A layout this version does not know is not read."""
    other = sqlite3.connect(tmp_path / "db")
    other.executescript("CREATE TABLE files (strange); PRAGMA user_version = 99;")
    other.close()
    records = index.Index(tmp_path / "db")
    assert records.get("x/y/1") is None
    records.close()


def test_a_failed_transaction_changes_nothing(tmp_path: pathlib.Path) -> None:
    """All changes inside, or none."""
    records = index.Index(tmp_path / "db")
    records.put(_file())

    def change() -> None:
        with records.transaction():
            records.put(_file(content=_C))
            records.delete(["x/y/1"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert records.get("x/y/1") == _file()
    records.close()


def test_replaced_content_is_wanted_until_settled(tmp_path: pathlib.Path) -> None:
    """A replacement is remembered until it is confirmed or its path forgotten."""
    records = index.Index(tmp_path / "db")
    records.replacing("x/y/1", old=_A, new=_B)
    records.replacing("x/y/1", old=_A, new=_B)
    records.replacing("x/y/2", old=_C, new=_B)
    assert records.replacements("x/y/1") == {(_A, _B)}
    assert records.wanted() == {_A, _C}
    records.settled("x/y/1")
    assert records.wanted() == {_C}
    records.delete(["x/y/2"])
    assert records.wanted() == set()
    records.close()


class _Levels:
    """A connection that notes how far each change is flushed: 1 is NORMAL, 2 is FULL."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self.seen: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not statement.startswith("PRAGMA"):
            (level,) = self._real.execute("PRAGMA synchronous").fetchone()
            self.seen[" ".join(statement.split()[:5])] = level
        return self._real.execute(statement, *values)


def test_a_replacement_is_flushed_to_the_disk_at_once(tmp_path: pathlib.Path) -> None:
    """After a power cut nothing else tells which content it replaced; other commits may wait."""
    records = index.Index(tmp_path / "db")
    levels = _Levels(records._connection)
    records._connection = levels  # type: ignore[assignment]
    records.replacing("x/y/1", old=_A, new=_B)
    records.put(_file())
    assert levels.seen == {
        "INSERT OR IGNORE INTO replacements": 2,
        "INSERT OR REPLACE INTO files": 1,
    }
    with records.transaction(), pytest.raises(sqlite3.OperationalError, match="Safety level"):
        records.replacing("x/y/1", old=_A, new=_C)
    records.close()


def test_the_index_is_private(tmp_path: pathlib.Path) -> None:
    """So are the files that SQLite keeps beside it."""
    opened = index.Index(tmp_path / "db")
    opened.put(_file())
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    opened.close()
    assert modes.keys() >= {"db", "db-wal"}
    assert set(modes.values()) == {0o600}
