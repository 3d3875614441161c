"""Leftovers of a crash, the claim on the store, and the slow reading of everything."""

import os
import pathlib

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import index, integrity, paths, store
from tests.storage import shelf

_HELLO = digests.Digest.of(b"hello")


def _restart(local: store.LocalStore, clock: shelf.Clock) -> store.LocalStore:
    local.close()
    return shelf.create(local.root, clock)


def test_a_sweep_removes_every_leftover_and_nothing_else(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Half-written files, half-removed folders and contents without a name go."""
    shelf.put(local, b"hello")
    local.point_latest(shelf.FOLDER, shelf.PATH)
    own = local.root / ".ocisource"
    (own / "tmp" / "half-written").write_bytes(b"hal")
    (own / "trash" / "half-removed").mkdir()
    (own / "trash" / "half-removed" / "1.tar.gz").write_bytes(b"x")
    (local.root / shelf.FOLDER / paths.spare_names()[0]).write_bytes(b"x")
    shelf.put(local, b"lonely", shelf.OTHER)
    (local.root / shelf.OTHER).unlink()
    again = _restart(local, clock)
    assert again.sweep() == 4
    assert shelf.leftovers(again) == []
    assert again.check(shelf.PATH, _HELLO) is store.Health.OK
    assert (local.root / shelf.FOLDER / "latest.tar.gz").read_bytes() == b"hello"
    assert again.sweep() == 0
    again.close()


def test_a_sweep_spares_what_is_being_written(local: store.LocalStore) -> None:
    """A file that this process is staging is no leftover."""
    with local.stage() as stage:
        stage.write(b"hello")
        assert local.sweep() == 0
        local.publish(stage.finish(), path=shelf.PATH)
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK


@pytest.mark.parametrize("name", ["tmp", "trash", "blobs"])
def test_a_link_in_place_of_a_swept_folder_is_refused(
    local: store.LocalStore, tmp_path: pathlib.Path, clock: shelf.Clock, name: str
) -> None:
    """Whoever puts one there to win room would lose what lies where it leads."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    folder = local.root / ".ocisource" / name
    folder.rename(tmp_path / "moved")
    folder.symlink_to(outside)
    with pytest.raises(errors.StorageError, match=f"/{name}' is a link: remove it, and link or"):
        _restart(local, clock)
    assert (outside / "precious").exists()


def test_a_sweep_spares_what_others_left(local: store.LocalStore) -> None:
    """Other programs call their files ``.tmp-…`` too, and file managers leave theirs anywhere."""
    shelf.put(local, b"hello")
    foreign = [
        local.root / ".tmp-config.json",
        local.root / shelf.FOLDER / ".tmp-x",
        local.root / ".ocisource" / "blobs" / "sha256" / ".DS_Store",
        local.root / ".ocisource" / "blobs" / "sha256" / "ab" / ".nfs0001",
    ]
    foreign[-1].parent.mkdir()
    for each in foreign:
        each.touch()
    assert local.sweep() == 0
    assert all(each.exists() for each in foreign)


def test_a_sweep_does_not_follow_links(
    local: store.LocalStore, tmp_path: pathlib.Path, clock: shelf.Clock
) -> None:
    """A link planted in the store leads the sweep nowhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / paths.spare_names()[0]).touch()
    (local.root / "planted").symlink_to(outside)
    (local.root / ".ocisource" / "trash" / "link").symlink_to(outside)
    again = _restart(local, clock)
    assert again.sweep() == 1
    assert len(list(outside.iterdir())) == 1
    again.close()


def test_one_process_has_the_store(local: store.LocalStore, clock: shelf.Clock) -> None:
    """The claim of the first sweep keeps a second writer out until it ends."""
    local.sweep()
    second = shelf.create(local.root, clock)
    with pytest.raises(errors.StorageError, match="in use by another process"):
        second.sweep()
    local.close()
    second.sweep()
    second.close()


def test_a_scrub_finds_altered_files_and_check_reports_them(local: store.LocalStore) -> None:
    """Every file with a record is read again; each content only once."""
    shelf.put(local, b"hello")
    shelf.put(local, b"hello", "o/n/twin.tar.gz")
    shelf.put(local, b"other", shelf.OTHER)
    shelf.put(local, b"gone", "o/n/gone.tar.gz")
    (local.root / "o/n/gone.tar.gz").unlink()
    (local.root / shelf.OTHER).write_bytes(b"rehto")
    pauses: list[float] = []
    assert local.scrub(sleep=pauses.append, rate=1.0) == (shelf.OTHER,)
    assert pauses == [5, 5]
    assert local.check(shelf.OTHER, digests.Digest.of(b"other")) is store.Health.ALTERED
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK


def test_a_scrub_can_be_called_off(local: store.LocalStore) -> None:
    """A cancelled scrub reads nothing more."""
    (local.root / "o").mkdir()
    shelf.put(local, b"hello")
    (local.root / shelf.PATH).write_bytes(b"jello")
    assert local.scrub(sleep=lambda _seconds: None, is_cancelled=lambda: True) == ()


def test_a_scrub_rests_after_each_block_and_ends_there_when_called_off(
    local: store.LocalStore,
) -> None:
    """A file of a gigabyte is neither read in one go nor waited for when the process stops."""
    (local.root / "o").mkdir()
    shelf.put(local, bytes(3 * integrity.BLOCK + 7))
    pauses: list[float] = []
    assert local.scrub(sleep=pauses.append, rate=integrity.BLOCK) == ()
    assert pauses == [1, 1, 1, 7 / integrity.BLOCK]
    pauses.clear()
    assert local.scrub(sleep=pauses.append, is_cancelled=lambda: len(pauses) == 2) == ()
    assert len(pauses) == 2


def test_a_scrub_reads_the_disk_and_not_what_the_system_remembers(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of a file are given up before it is read: memory does not decay as a disk does."""
    shelf.put(local, b"hello")
    steps: list[str] = []

    def forget(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(descriptor, 5, 0) == b"hello"
        steps.append("forgotten")

    def read(_descriptor: int, **_options: object) -> digests.Digest:
        steps.append("read")
        return _HELLO

    monkeypatch.setattr(os, "posix_fadvise", forget)
    monkeypatch.setattr("ocisource.storage.integrity.hash_descriptor", read)
    assert local.scrub(sleep=lambda _seconds: None) == ()
    assert steps == ["forgotten", "read"]


def test_a_file_replaced_while_it_is_scrubbed_is_not_called_altered(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes read are not those of the record looked up before: it is another file by now."""
    shelf.put(local, b"hello")
    records = local._place.index
    record = records.get(shelf.PATH)

    def overtaken(_path: str) -> index.StoredFile | None:
        monkeypatch.undo()
        shelf.put(local, b"other")
        return record

    monkeypatch.setattr(records, "get", overtaken)
    assert local.scrub(sleep=lambda _seconds: None) == ()
