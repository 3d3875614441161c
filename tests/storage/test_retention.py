"""Collecting superseded files, and removing all of an object's."""

import itertools
import pathlib

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import store
from tests.storage import shelf


def _put_series(
    local: store.LocalStore, clock: shelf.Clock, count: int, *, step: float = 1.0
) -> list[str]:
    """Files 1…count, ``step`` seconds apart; the clock ends one step after the last."""
    made = []
    for number in range(1, count + 1):
        path = f"{shelf.FOLDER}/{number}.tar.gz"
        shelf.put(local, str(number).encode(), path)
        made.append(path)
        clock.now += step
    return made


def _left(local: store.LocalStore) -> list[str]:
    folder = local.root / shelf.FOLDER
    return sorted(path.name for path in folder.iterdir())


def test_superseded_files_go_with_their_content_and_records(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Five files, two records: the three oldest are gone, from disk and index."""
    made = _put_series(local, clock, 5)
    assert local.collect(shelf.FOLDER, current=made[-1], ttl=120, records=2) == tuple(made[:3])
    assert _left(local) == ["4.tar.gz", "5.tar.gz"]
    assert {file.path for file in local.files(shelf.FOLDER)} == set(made[3:])
    assert len(shelf.blobs(local)) == 2
    assert shelf.leftovers(local) == []


def test_links_folders_and_locks_are_not_counted(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Only regular files are artifacts; a Flux lock goes with its artifact."""
    made = _put_series(local, clock, 3)
    folder = local.root / shelf.FOLDER
    for number in (1, 2, 3):
        (folder / f"{number}.tar.gz.lock").touch()
    (folder / "0-folder").mkdir()
    (folder / "0-link").symlink_to("3.tar.gz")
    local.point_latest(shelf.FOLDER, made[-1])
    assert local.collect(shelf.FOLDER, current=made[-1], ttl=120, records=2) == (made[0],)
    assert _left(local) == [
        "0-folder", "0-link", "2.tar.gz", "2.tar.gz.lock", "3.tar.gz", "3.tar.gz.lock",
        "latest.tar.gz",
    ]  # fmt: skip


def test_age_comes_from_the_index_and_not_from_the_inode(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Equal content shares an inode with one mtime: its names still age one by one."""
    for number in (1, 2, 3):
        shelf.put(local, b"same", f"{shelf.FOLDER}/{number}.tar.gz")
        clock.now += 100
    current = f"{shelf.FOLDER}/3.tar.gz"
    gone = local.collect(shelf.FOLDER, current=current, ttl=250, records=9)
    assert gone == (f"{shelf.FOLDER}/1.tar.gz",)
    assert (local.root / current).read_bytes() == b"same"


def test_equal_content_of_another_object_stays(local: store.LocalStore, clock: shelf.Clock) -> None:
    """Collecting one name of a content leaves its other names alone."""
    shelf.put(local, b"1", shelf.OTHER)
    made = _put_series(local, clock, 2)
    assert local.collect(shelf.FOLDER, current=made[-1], ttl=0, records=1) == (made[0],)
    assert local.check(shelf.OTHER, digests.Digest.of(b"1")) is store.Health.OK


def test_a_pass_looks_at_so_many_files_and_no_more(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Six files 0.5 s apart, TTL 0.5 s, three looked at: the first three."""
    made = _put_series(local, clock, 6, step=0.5)
    gone = local.collect(shelf.FOLDER, current=made[-1], ttl=0.5, records=2, max_files=3)
    assert gone == tuple(made[:3])


def test_files_without_a_record_are_given_one_and_age_from_now(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """A file found without a record is not old, whatever its mtime says."""
    made = _put_series(local, clock, 1)
    stray = local.root / shelf.FOLDER / "stray.tar.gz"
    stray.write_bytes(b"stray")
    assert local.collect(shelf.FOLDER, current=made[0], ttl=60, records=2) == ()
    clock.now += 61
    gone = local.collect(shelf.FOLDER, current=made[0], ttl=60, records=2)
    assert gone == (f"{shelf.FOLDER}/stray.tar.gz",)


def test_a_pass_that_takes_too_long_ends(local: store.LocalStore, clock: shelf.Clock) -> None:
    """The limit is kept between deletions, and what was deleted stays deleted."""
    made = _put_series(local, clock, 5)
    ticks = itertools.count()
    local._monotonic = lambda: float(next(ticks))
    with pytest.raises(errors.StorageError, match=r"^context deadline exceeded$"):
        local.collect(shelf.FOLDER, current=made[-1], ttl=0, records=1, time_limit=3)
    assert _left(local) == ["3.tar.gz", "4.tar.gz", "5.tar.gz"]


def test_a_file_that_vanished_meanwhile_is_no_error(
    local: store.LocalStore, clock: shelf.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's deletion is as good as ours, and the other records stay."""
    made = _put_series(local, clock, 4)
    (local.root / made[0]).unlink()
    monkeypatch.setattr(
        "ocisource.storage.retention._names", lambda _folder: [path[-8:] for path in made]
    )
    assert local.collect(shelf.FOLDER, current=made[-1], ttl=0, records=1) == tuple(made[:3])
    assert {file.path for file in local.files(shelf.FOLDER)} == {made[-1]}


def test_records_of_vanished_files_are_dropped_except_the_current_one(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """The index does not grow; what a rebuild is compared with stays."""
    made = _put_series(local, clock, 3)
    for path in made:
        (local.root / path).unlink()
    assert local.collect(shelf.FOLDER, current=made[-1]) == ()
    assert {file.path for file in local.files(shelf.FOLDER)} == {made[-1]}


def test_latest_is_led_back_to_what_the_status_names(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """A newer file whose status was never written goes, and the link does not dangle."""
    made = _put_series(local, clock, 2)
    local.point_latest(shelf.FOLDER, made[1])
    assert local.collect(shelf.FOLDER, current=made[0], ttl=0, records=1) == (made[1],)
    assert (local.root / shelf.FOLDER / "latest.tar.gz").read_bytes() == b"1"


def test_a_missing_folder_holds_nothing_to_collect(local: store.LocalStore) -> None:
    """No folder, no garbage, no error."""
    assert local.collect(shelf.FOLDER, current=shelf.PATH) == ()


def test_remove_all_leaves_nothing_of_an_object(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Files, links, strays, records and contents go; other objects stay."""
    made = _put_series(local, clock, 3)
    local.point_latest(shelf.FOLDER, made[-1])
    (local.root / shelf.FOLDER / "stray").mkdir()
    shelf.put(local, b"1", shelf.OTHER)
    assert local.remove_all(shelf.FOLDER) is True
    assert not (local.root / shelf.FOLDER).exists()
    assert local.files(shelf.FOLDER) == ()
    assert local.check(shelf.OTHER, digests.Digest.of(b"1")) is store.Health.OK
    assert len(shelf.blobs(local)) == 1
    assert shelf.leftovers(local) == []
    assert local.remove_all(shelf.FOLDER) is False


def test_remove_all_does_not_follow_links(local: store.LocalStore, tmp_path: pathlib.Path) -> None:
    """A link in place of the folder, or inside it, is removed and what it names is not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    shelf.put(local, b"hello")
    (local.root / shelf.FOLDER / "link").symlink_to(outside)
    assert local.remove_all(shelf.FOLDER) is True
    (local.root / shelf.FOLDER).symlink_to(outside)
    assert local.remove_all(shelf.FOLDER) is True
    assert not (local.root / shelf.FOLDER).is_symlink()
    assert (outside / "precious").exists()
    assert shelf.leftovers(local) == []


def test_the_folders_of_all_objects_can_be_listed(
    local: store.LocalStore, tmp_path: pathlib.Path
) -> None:
    """Two levels down, without files, links and names that could not be an object's."""
    assert local.folders("ocirepository") == ()
    shelf.put(local, b"1")
    shelf.put(local, b"2", shelf.OTHER)
    shelf.put(local, b"3", "ocirepository/infra/x/1.tar.gz")
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (local.root / "ocirepository" / "link").symlink_to(tmp_path / "outside")
    (local.root / "ocirepository" / "apps" / "link").symlink_to("podinfo")
    (local.root / "ocirepository" / "apps" / ".hidden").mkdir()
    (local.root / "ocirepository" / "file").touch()
    assert local.folders("ocirepository") == (
        "ocirepository/apps/other", shelf.FOLDER, "ocirepository/infra/x",
    )  # fmt: skip
