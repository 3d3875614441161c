"""A disk that is full, or refuses, at any moment: the old artifact is untouched."""

import errno
import os
import pathlib
import sqlite3
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import blobs, index, store
from tests.storage import shelf

_OLD, _NEW = digests.Digest.of(b"old"), digests.Digest.of(b"new")
# What storing asks of the system. Opening to read is left out: it needs no space.
_CALLS = ("fsync", "link", "mkdir", "replace", "symlink", "rename")


class _Full:
    """Lets so many calls pass and refuses the next one with an error of the system."""

    def __init__(self, passing: int, number: int) -> None:
        self.passing = passing
        self.number = number
        self.has_refused = False

    def __call__(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            if self.passing == 0 and not self.has_refused:
                self.has_refused = True
                raise OSError(self.number, os.strerror(self.number))
            self.passing -= 1
            return call(*args, **options)

        return counted


def _refusing(monkeypatch: pytest.MonkeyPatch, passing: int, number: int) -> _Full:
    full = _Full(passing, number)
    for name in _CALLS:
        monkeypatch.setattr(os, name, full(getattr(os, name)))
    return full


def _replaced(local: store.LocalStore) -> None:
    shelf.put(local, b"new")
    local.point_latest(shelf.FOLDER, shelf.PATH)


def _stored_first(local: store.LocalStore) -> None:
    shelf.put(local, b"new", shelf.OTHER)
    local.point_latest("ocirepository/apps/other", shelf.OTHER)


def _failure(work: Callable[[store.LocalStore], None], local: store.LocalStore) -> str | None:
    """The error's text, if the work fails."""
    try:
        work(local)
    except errors.StorageError as exc:
        return exc.text
    return None


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES]
)
@pytest.mark.parametrize("work", [_replaced, _stored_first])
def test_a_failure_at_any_step_leaves_the_old_artifact(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[store.LocalStore], None],
    number: int,
) -> None:
    """Refusing each call in turn: the old bytes stay, nothing is left over, a retry works."""
    for passing in range(100):
        local = shelf.create(tmp_path / f"{passing}")
        shelf.put(local, b"old")
        local.point_latest(shelf.FOLDER, shelf.PATH)
        with monkeypatch.context() as patch:
            full = _refusing(patch, passing, number)
            text = _failure(work, local)
        if full.has_refused and text is not None:
            assert os.strerror(number).lower() in text
            assert str(tmp_path) not in text
        assert local.check(shelf.PATH, _OLD) is store.Health.OK
        assert (local.root / shelf.FOLDER / "latest.tar.gz").read_bytes() == b"old"
        work(local)
        path = shelf.PATH if work is _replaced else shelf.OTHER
        assert local.check(path, _NEW) is store.Health.OK
        assert shelf.leftovers(local) == []
        local.close()
        if not full.has_refused:
            break
    else:
        pytest.fail("the work never went through")
    assert passing > 4


def test_a_failure_leaves_no_content_that_nobody_names(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space is given back at once, not only at the next start."""
    for passing in range(8):
        local = shelf.create(tmp_path / f"{passing}")
        shelf.put(local, b"old")
        with monkeypatch.context() as patch:
            _refusing(patch, passing, errno.ENOSPC)
            try:
                shelf.put(local, b"new", shelf.OTHER)
            except errors.StorageError:
                assert shelf.leftovers(local) == []
        local.close()


def test_a_full_disk_is_reported_while_writing(local: store.LocalStore) -> None:
    """A real ENOSPC from the kernel becomes a storage error with a hint."""
    with local.stage() as stage, pathlib.Path("/dev/full").open("wb") as full:
        stage._file.close()
        stage._file = full
        stage.write(b"x")
        with pytest.raises(
            errors.StorageError,
            match=r"^failed to write to the store: no space left on device; free some space",
        ):
            stage.finish()
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert shelf.leftovers(local) == []


def test_a_full_index_leaves_the_old_artifact(local: store.LocalStore) -> None:
    """SQLite's own 'disk is full' undoes the whole publication."""
    shelf.put(local, b"old")
    connection = local._place.index._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(1000):
            shelf.put(local, b"new", f"o/n/{number:03}-{'x' * 200}.tar.gz")

    with pytest.raises(errors.StorageError, match="the store's index: database or disk is full"):
        fill()
    names = {f"o/n/{path.name}" for path in (local.root / "o/n").iterdir()}
    assert names == {file.path for file in local.files("o/n")}
    assert local.check(shelf.PATH, _OLD) is store.Health.OK
    assert shelf.leftovers(local) == []


class _Connection:
    """A connection whose commits fail."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(statement, *values)


@pytest.fixture
def broken(local: store.LocalStore) -> Iterator[store.LocalStore]:
    """A store with an old artifact, whose index cannot commit."""
    shelf.put(local, b"old")
    records = local._place.index
    real = records._connection
    records._connection = _Connection(real)  # type: ignore[assignment]
    yield local
    records._connection = real


@pytest.mark.parametrize("has_links", [True, False])
def test_a_commit_that_fails_puts_the_old_file_back(
    broken: store.LocalStore, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    """The rename is undone when its record cannot be written."""
    with pytest.raises(errors.StorageError, match="disk I/O error"):
        shelf.put(broken, b"new")
    with pytest.raises(errors.StorageError, match="disk I/O error"):
        shelf.put(broken, b"new", shelf.OTHER)
    assert (broken.root / shelf.PATH).read_bytes() == b"old"
    assert not (broken.root / shelf.OTHER).exists()
    assert shelf.leftovers(broken) == []


class _FullIndex(_Connection):
    """A connection on a disk without room for a change."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith(("INSERT", "DELETE")):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return self._real.execute(statement, *values)


@pytest.fixture
def full(local: store.LocalStore) -> Iterator[Callable[[], None]]:
    """Lets nothing more be recorded, until the end of the test."""
    records = local._place.index
    real = records._connection

    def fill() -> None:
        records._connection = _FullIndex(real)  # type: ignore[assignment]

    yield fill
    records._connection = real


def test_a_full_disk_can_be_made_room_on(local: store.LocalStore, full: Callable[[], None]) -> None:
    """Superseded files go, and all of a deleted object, before anything has to be recorded."""
    shelf.put(local, b"old", f"{shelf.FOLDER}/1.tar.gz")
    shelf.put(local, b"new")
    shelf.put(local, b"other", shelf.OTHER)
    full()
    text = "the store's index: database or disk is full; free some space in the store$"
    with pytest.raises(errors.StorageError, match=text):
        local.collect(shelf.FOLDER, current=shelf.PATH, ttl=-1, records=1)
    assert len(shelf.blobs(local)) == 2
    with pytest.raises(errors.StorageError, match=text):
        local.remove_all(shelf.FOLDER)
    assert [path.read_bytes() for path in shelf.blobs(local)] == [b"other"]
    assert not (local.root / shelf.FOLDER).exists()
    assert shelf.leftovers(local) == []


def test_a_file_that_is_well_is_well_on_a_full_disk_too(
    local: store.LocalStore, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """That a replacement is confirmed can be recorded later: no reason to fetch it again."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    full()
    assert local.check(shelf.PATH, _NEW) is store.Health.OK
    assert [record.getMessage() for record in caplog.records] == [
        f"what is known of '{shelf.PATH}' cannot be recorded: database or disk is full"
    ]


def _fill_while_there_are_leftovers(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> None:
    real = index._connect

    def connect(path: pathlib.Path) -> sqlite3.Connection:
        if any(folder.iterdir()):
            raise sqlite3.OperationalError("database or disk is full")
        return real(path)

    monkeypatch.setattr(index, "_connect", connect)


def test_a_disk_full_of_a_crash_s_leftovers_is_no_reason_not_to_start(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are removed where the index has no room; only if nobody else has the store."""
    shelf.put(local, b"old")
    tmp = local._place.tmp
    (tmp / "half-written").write_bytes(b"x")
    local.sweep()
    (tmp / "half-written").write_bytes(b"x")
    _fill_while_there_are_leftovers(monkeypatch, tmp)
    with pytest.raises(errors.StorageError, match="the store's index: database or disk is full"):
        shelf.create(local.root)
    assert list(tmp.iterdir()) == [tmp / "half-written"]
    local.close()
    again = shelf.create(local.root)
    assert again.check(shelf.PATH, _OLD) is store.Health.OK
    assert list(tmp.iterdir()) == []
    again.close()


def test_a_disk_full_of_other_things_is_told_at_the_start(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to remove, the message says what is wrong."""
    elsewhere = local.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").touch()
    _fill_while_there_are_leftovers(monkeypatch, elsewhere)
    local.close()
    with pytest.raises(errors.StorageError, match="the store's index: database or disk is full"):
        shelf.create(local.root)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP])
def test_where_links_are_impossible_files_are_copied(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On another file system, or one without links, everything works, with each file a copy."""

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    for path in (shelf.PATH, shelf.OTHER):
        shelf.put(local, b"old", path)
        shelf.put(local, b"new", path)
        assert local.check(path, _NEW) is store.Health.OK
        assert (local.root / path).stat().st_mode & 0o777 == 0o600
    assert shelf.blobs(local) == []
    assert shelf.leftovers(local) == []
    assert local.remove_all(shelf.FOLDER) is True


def test_an_inode_with_too_many_links_hands_over_to_a_new_one(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMLINK: the staged bytes become the content that is linked from now on."""
    real = os.link

    def limited(source: Any, target: Any, **options: Any) -> None:
        if os.stat(source, dir_fd=options.get("src_dir_fd"), follow_symlinks=False).st_nlink > 3:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", limited)
    for number in range(8):
        shelf.put(local, b"old", f"o/n/{number}.tar.gz")
    inodes = {(local.root / f"o/n/{number}.tar.gz").stat().st_ino for number in range(8)}
    assert len(inodes) == 3
    assert all(local.check(f"o/n/{number}.tar.gz", _OLD) is store.Health.OK for number in range(8))
    assert shelf.leftovers(local) == []


def test_bytes_reach_the_disk_before_their_name_does(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the file is flushed, then named, then its folder flushed: all or nothing is found."""
    steps: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **options: Any) -> Any:
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            steps.append(f"{name} folder" if is_folder else name)
            return call(*args, **options)

        return noting

    for name in ("fsync", "link", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    local.make_folder(shelf.FOLDER)
    steps.clear()
    shelf.put(local, b"hello")
    assert steps == ["fsync", "replace", "link", "replace", "fsync folder"]


def test_a_file_that_cannot_be_read_counts_as_altered(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch, clock: shelf.Clock
) -> None:
    """A bad sector is a reason to rebuild; being short of memory is not."""
    shelf.put(local, b"old")
    again = shelf.create(local.root, clock)

    def refuse(number: int) -> Callable[..., digests.Digest]:
        def failing(_descriptor: int, **_options: object) -> digests.Digest:
            raise OSError(number, os.strerror(number))

        return failing

    monkeypatch.setattr("ocisource.storage.integrity.hash_descriptor", refuse(errno.EIO))
    assert again.check(shelf.PATH, _OLD) is store.Health.ALTERED
    monkeypatch.setattr("ocisource.storage.integrity.hash_descriptor", refuse(errno.ENOMEM))
    with pytest.raises(errors.StorageError, match="failed to read"):
        again.check(shelf.PATH, _OLD)
    again.close()


def test_unreadable_content_is_not_reused(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content on a bad sector is replaced by the bytes at hand."""
    shelf.put(local, b"old", shelf.OTHER)
    place: blobs.Blobs = local._place.blobs

    def failing(_descriptor: int, **_options: object) -> digests.Digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("ocisource.storage.integrity.hash_descriptor", failing)
        assert place.proven(_OLD) is None
        shelf.put(local, b"old")
    inodes = {(local.root / path).stat().st_ino for path in (shelf.PATH, shelf.OTHER)}
    assert len(inodes) == 2
