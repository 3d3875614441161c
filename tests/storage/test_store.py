"""Storing, naming, checking and removing files."""

import os
import pathlib

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import integrity, staging, store
from tests.storage import shelf

_HELLO = digests.Digest.of(b"hello")


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: pathlib.Path, kind: str) -> None:
    """The store does not invent its root."""
    root = tmp_path / "root"
    if kind == "file":
        root.write_bytes(b"")
    with pytest.raises(errors.StorageError, match=f"^invalid dir path: {root}$"):
        store.LocalStore(root)


def test_a_published_file_holds_the_bytes_and_is_remembered(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Path, digest, size and time come back, also from the index."""
    clock.now = 42.5
    stored = shelf.put(local, b"hello")
    assert stored == store.StoredFile(shelf.PATH, _HELLO, 5, 42.5)
    assert local.stored(shelf.PATH) == stored
    assert local.files(shelf.FOLDER) == (stored,)
    assert (local.root / shelf.PATH).read_bytes() == b"hello"
    with local.open(shelf.PATH) as file:
        assert file.read() == b"hello"


def test_files_are_private(local: store.LocalStore) -> None:
    """A stored file has mode 0600."""
    shelf.put(local, b"hello")
    assert (local.root / shelf.PATH).stat().st_mode & 0o777 == 0o600


def test_a_large_content_arrives_whole(local: store.LocalStore) -> None:
    """Many writes of odd sizes make one file."""
    blocks = [bytes([number % 256]) * (number * 37) for number in range(500)]
    with local.stage() as stage:
        for block in blocks:
            stage.write(block)
        stored = local.publish(stage.finish(), path=shelf.PATH)
    content = b"".join(blocks)
    assert (local.root / shelf.PATH).read_bytes() == content
    assert (stored.digest, stored.size) == (digests.Digest.of(content), len(content))


def test_equal_content_is_on_disk_once(local: store.LocalStore) -> None:
    """However many paths name it, there is one inode and no leftover."""
    for number in range(5):
        shelf.put(local, b"hello", f"o/n/{number}.tar.gz")
    inodes = {(local.root / f"o/n/{number}.tar.gz").stat().st_ino for number in range(5)}
    assert len(inodes) == 1
    assert len(shelf.blobs(local)) == 1
    assert shelf.leftovers(local) == []


def test_storing_the_same_again_changes_nothing_but_the_time(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Equal bytes under the same path keep their inode; the record is renewed."""
    shelf.put(local, b"hello")
    inode = (local.root / shelf.PATH).stat().st_ino
    clock.now += 10
    stored = shelf.put(local, b"hello")
    assert stored.stored_at == clock.now
    assert (local.root / shelf.PATH).stat().st_ino == inode
    assert shelf.leftovers(local) == []


def test_content_gone_bad_is_replaced_and_not_linked_again(local: store.LocalStore) -> None:
    """Content is read again before it is re-used: a second path gets good bytes."""
    shelf.put(local, b"hello", shelf.OTHER)
    (local.root / shelf.OTHER).write_bytes(b"jello")
    shelf.put(local, b"hello")
    assert (local.root / shelf.PATH).read_bytes() == b"hello"
    assert (local.root / shelf.OTHER).read_bytes() == b"jello"
    assert local.check(shelf.OTHER, _HELLO) is store.Health.ALTERED
    shelf.put(local, b"hello", shelf.OTHER)
    assert local.check(shelf.OTHER, _HELLO) is store.Health.OK
    assert len(shelf.blobs(local)) == 1
    assert shelf.leftovers(local) == []


def test_reuse_reads_the_content_whatever_its_signature_says(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that rot on the disk leave the stat signature as it was: only reading finds them."""
    shelf.put(local, b"hello", shelf.OTHER)
    assert local.check(shelf.OTHER, _HELLO) is store.Health.OK
    rotten = digests.Digest.of(b"rotten")
    monkeypatch.setattr(integrity, "hash_descriptor", lambda _descriptor, **_: rotten)
    shelf.put(local, b"hello")
    inodes = {(local.root / path).stat().st_ino for path in (shelf.PATH, shelf.OTHER)}
    assert len(inodes) == 2


def test_content_linked_by_another_object_meanwhile_is_still_the_same_content(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two objects storing the same at the same moment share one inode."""
    shelf.put(local, b"hello", shelf.OTHER)
    real = local._place.blobs.proven

    def slow(wanted: digests.Digest) -> integrity.Signature | None:
        proven = real(wanted)
        monkeypatch.setattr(local._place.blobs, "proven", real)
        shelf.put(local, b"hello", "o/n/meanwhile.tar.gz")
        return proven

    monkeypatch.setattr(local._place.blobs, "proven", slow)
    shelf.put(local, b"hello")
    paths = (shelf.PATH, shelf.OTHER, "o/n/meanwhile.tar.gz")
    assert len({(local.root / path).stat().st_ino for path in paths}) == 1


def test_staged_bytes_that_were_not_published_leave_nothing(local: store.LocalStore) -> None:
    """Leaving the stage without publishing removes its file, also after an error."""
    with local.stage() as stage:
        stage.write(b"hello")
        stage.finish()

    def fail() -> None:
        with local.stage() as stage:
            stage.write(b"hello")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert shelf.leftovers(local) == []


def test_a_stage_can_be_published_once_and_not_after_it_was_left(local: store.LocalStore) -> None:
    """A staged blob without its file is a storage error, not a half-made artifact."""
    with local.stage() as stage:
        stage.write(b"hello")
        staged = stage.finish()
    with pytest.raises(errors.StorageError, match="failed to store"):
        local.publish(staged, path=shelf.PATH)
    assert not (local.root / shelf.PATH).exists()
    assert local.stored(shelf.PATH) is None


def test_nothing_can_be_written_after_finish(local: store.LocalStore) -> None:
    """The digest handed out stays true."""
    with local.stage() as stage:
        stage.finish()
        with pytest.raises(errors.StorageError, match="finished file"):
            stage.write(b"more")


@pytest.mark.parametrize("path", ["/etc/x", "../x/y", "o/../../x", "o/n/.tmp-x", "x"])
def test_a_path_that_leaves_the_store_is_refused(local: store.LocalStore, path: str) -> None:
    """No operation takes a name that is not inside the store."""
    with local.stage() as stage:
        staged = stage.finish()
        with pytest.raises(errors.StorageError):
            local.publish(staged, path=path)
    for operation in (local.open, local.remove, local.remove_all):
        with pytest.raises(errors.StorageError):
            operation(path)
    with pytest.raises(errors.StorageError):
        local.check(path, _HELLO)


def test_a_folder_that_is_a_link_is_not_written_through(
    local: store.LocalStore, tmp_path: pathlib.Path
) -> None:
    """A link planted in the store does not lead writes elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (local.root / "ocirepository").mkdir()
    (local.root / "ocirepository" / "apps").symlink_to(outside)
    with pytest.raises(errors.StorageError, match="not a directory"):
        shelf.put(local, b"hello")
    assert list(outside.iterdir()) == []
    assert shelf.leftovers(local) == []


def test_a_file_that_is_well_is_not_read_twice(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unchanged signature vouches for the content: a check costs a stat."""
    shelf.put(local, b"hello")
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK

    def refuse(_descriptor: int, **_options: object) -> digests.Digest:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(integrity, "hash_descriptor", refuse)
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK


def test_names_added_by_the_store_itself_do_not_cost_a_reading(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linking and unlinking equal content changes ctime, which the store knows about."""
    shelf.put(local, b"hello")
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK
    shelf.put(local, b"hello", shelf.OTHER)
    reads: list[int] = []
    monkeypatch.setattr(integrity, "hash_descriptor", lambda number, **_: reads.append(number))
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK
    assert reads == []


def test_a_new_process_reads_every_file_once(local: store.LocalStore, clock: shelf.Clock) -> None:
    """After a restart nothing is believed: an alteration hidden from stat is found."""
    shelf.put(local, b"hello")
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK
    path = local.root / shelf.PATH
    before = path.stat()
    path.write_bytes(b"jello")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = shelf.create(local.root, clock)
    assert again.check(shelf.PATH, _HELLO) is store.Health.ALTERED
    again.close()


@pytest.mark.parametrize("content", [b"jello", b"", b"hello, world"])
def test_an_altered_file_is_noticed(tmp_path: pathlib.Path, content: bytes) -> None:
    """Other bytes, of the same size too and in the very moment after storing."""
    (tmp_path / "root").mkdir()
    local = store.LocalStore(tmp_path / "root")
    shelf.put(local, b"hello")
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK
    (tmp_path / "root" / shelf.PATH).write_bytes(content)
    assert local.check(shelf.PATH, _HELLO) is store.Health.ALTERED
    shelf.put(local, b"hello")
    assert local.check(shelf.PATH, _HELLO) is store.Health.OK
    local.close()


def test_a_file_replaced_behind_the_stores_back_is_noticed(local: store.LocalStore) -> None:
    """Another file moved over the path is not healed in silence."""
    shelf.put(local, b"hello")
    other = local.root / "other"
    other.write_bytes(b"other")
    other.replace(local.root / shelf.PATH)
    assert local.check(shelf.PATH, _HELLO) is store.Health.ALTERED


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "no folder"])
def test_what_is_no_regular_file_is_missing(local: store.LocalStore, kind: str) -> None:
    """A folder or a link does not count as the stored file."""
    shelf.put(local, b"hello")
    path = local.root / shelf.PATH
    (local.root / shelf.OTHER).parent.mkdir()
    path.rename(local.root / shelf.OTHER)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(local.root / shelf.OTHER)
    elif kind == "no folder":
        path.parent.rmdir()
    assert local.check(shelf.PATH, _HELLO) is store.Health.MISSING


def test_what_is_remembered_outlives_the_file(local: store.LocalStore) -> None:
    """A rebuild can be compared with what was lost."""
    stored = shelf.put(local, b"hello")
    local.remove(shelf.PATH)
    assert local.check(shelf.PATH, _HELLO) is store.Health.MISSING
    assert local.stored(shelf.PATH) == stored
    assert shelf.blobs(local) == []


def test_removing_what_is_not_there_is_an_error(local: store.LocalStore) -> None:
    """The caller learns that there was nothing."""
    with pytest.raises(errors.StorageError, match="no such file or directory"):
        local.remove(shelf.PATH)


def test_a_lost_index_costs_no_artifact(local: store.LocalStore, clock: shelf.Clock) -> None:
    """Files without a record are recognised by their bytes and recorded again."""
    shelf.put(local, b"hello")
    local.close()
    for path in (local.root / ".ocisource").glob("index.db*"):
        path.unlink()
    clock.now += 5
    again = shelf.create(local.root, clock)
    assert again.check(shelf.PATH, _HELLO) is store.Health.OK
    assert again.stored(shelf.PATH) == store.StoredFile(shelf.PATH, _HELLO, 5, clock.now)
    again.close()


def test_latest_is_a_relative_link_to_the_newest(local: store.LocalStore) -> None:
    """The link names its neighbour, so that it holds wherever the store is mounted."""
    for name in ("1.tar.gz", "2.tar.gz", "2.tar.gz"):
        shelf.put(local, name.encode(), f"{shelf.FOLDER}/{name}")
        local.point_latest(shelf.FOLDER, f"{shelf.FOLDER}/{name}")
        latest = local.root / shelf.FOLDER / "latest.tar.gz"
        assert str(latest.readlink()) == name
        assert latest.read_bytes() == name.encode()
    assert shelf.leftovers(local) == []


def test_a_stat_through_the_latest_link_vouches_for_link_and_file(
    local: store.LocalStore,
) -> None:
    """No link, no file, another file, other bytes, no folder, no name at all: all say no."""
    shelf.put(local, b"hello")
    other = f"{shelf.FOLDER}/other.tar.gz"
    shelf.put(local, b"other", other)
    for path, digest in ((shelf.PATH, _HELLO), (other, digests.Digest.of(b"other"))):
        assert local.check(path, digest) is store.Health.OK
    latest = local.root / shelf.FOLDER / "latest.tar.gz"
    assert not local.is_vouched(shelf.FOLDER, _HELLO)
    local.point_latest(shelf.FOLDER, shelf.PATH)
    assert local.is_vouched(shelf.FOLDER, _HELLO)
    assert not local.is_vouched("ocirepository/none/none", _HELLO)
    assert not local.is_vouched("nul\0", _HELLO)
    local.point_latest(shelf.FOLDER, other)
    assert not local.is_vouched(shelf.FOLDER, _HELLO)
    local.point_latest(shelf.FOLDER, shelf.PATH)
    (local.root / shelf.PATH).unlink()
    assert latest.is_symlink()
    assert not local.is_vouched(shelf.FOLDER, _HELLO)


def test_latest_takes_the_place_of_an_absolute_link(local: store.LocalStore) -> None:
    """The link that Flux left is replaced."""
    shelf.put(local, b"hello")
    latest = local.root / shelf.FOLDER / "latest.tar.gz"
    latest.symlink_to(local.root / shelf.PATH)
    local.point_latest(shelf.FOLDER, shelf.PATH)
    assert str(latest.readlink()) == f"{'a' * 64}.tar.gz"


def test_latest_does_not_lead_to_another_folder(local: store.LocalStore) -> None:
    """A link into somebody else's folder is refused."""
    shelf.put(local, b"hello", shelf.OTHER)
    with pytest.raises(errors.StorageError, match="is not in"):
        local.point_latest(shelf.FOLDER, shelf.OTHER)


def test_nothing_stays_open(local: store.LocalStore) -> None:
    """Every operation closes what it opened, whether it works or not."""
    shelf.put(local, b"hello")
    local.check(shelf.PATH, _HELLO)
    before = shelf.open_files()
    for _ in range(20):
        shelf.put(local, b"hello")
        shelf.put(local, b"other", shelf.OTHER)
        local.check(shelf.PATH, _HELLO)
        local.check(shelf.OTHER, _HELLO)
        local.check("o/n/missing.tar.gz", _HELLO)
        local.point_latest(shelf.FOLDER, shelf.PATH)
        local.collect(shelf.FOLDER, current=shelf.PATH)
        with pytest.raises(errors.StorageError):
            local.open("o/n/missing.tar.gz")
        local.remove_all("ocirepository/apps/other")
    assert shelf.open_files() == before


def test_the_local_store_is_a_store(local: store.LocalStore) -> None:
    """What the rest of the house is promised is there."""
    promised: store.Store = local
    with promised.stage() as stage:
        assert isinstance(stage, staging.Stage)
