"""A power cut at any moment: what a status names is there, whole; nothing else is half there."""

import contextlib
import itertools
import os
import pathlib
from collections.abc import Callable

import pytest

from ocisource import digest as digests
from ocisource.storage import placement, store
from tests.storage import disk, shelf

_OLD, _NEW = digests.Digest.of(b"old"), digests.Digest.of(b"new")
_WHOLE = {b"old", b"new"}


class _Object:
    """An object of an API whose writes are durable: what its status names, once it is written."""

    def __init__(self, root: pathlib.Path) -> None:
        self.store = shelf.create(root)
        self.status: digests.Digest | None = None

    def put(self, data: bytes) -> None:
        """Store and report."""
        self.status = self.stored(data)

    def stored(self, data: bytes) -> digests.Digest:
        """Store without reporting."""
        self.store.make_folder(shelf.FOLDER)
        digest = shelf.put(self.store, data).digest
        self.store.point_latest(shelf.FOLDER, shelf.PATH)
        return digest

    def check(self) -> None:
        """What each run does first."""
        assert self.status is not None
        assert self.store.check(shelf.PATH, self.status) is store.Health.OK

    def remove(self) -> None:
        """The finalizer's order: the object is marked first, then its files go."""
        self.status = None
        self.store.remove_all(shelf.FOLDER)


def _first(obj: _Object) -> None:
    obj.put(b"old")


def _replaced(obj: _Object) -> None:
    obj.put(b"old")
    obj.check()
    obj.put(b"new")
    obj.check()


def _replaced_twice(obj: _Object) -> None:
    _replaced(obj)
    obj.put(b"old")
    obj.check()


def _never_reported(obj: _Object) -> None:
    obj.put(b"old")
    obj.check()
    obj.stored(b"new")
    obj.check()


def _restored_by_a_killed_process(obj: _Object) -> None:
    """The name is given back, and before its folder is flushed another process goes on."""
    obj.put(b"old")
    obj.stored(b"new")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        placement.restore(obj.store._place, shelf.PATH, _OLD)
    obj.check()


def _in_a_folder_of_a_killed_process(obj: _Object) -> None:
    """The folder is made, and before its name is flushed another process goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        obj.store.make_folder(shelf.FOLDER)
    obj.store.sweep()
    obj.put(b"old")


def _deleted_and_made_again(obj: _Object) -> None:
    obj.put(b"old")
    obj.remove()
    obj.put(b"new")


def _shared(obj: _Object) -> None:
    shelf.put(obj.store, b"old", shelf.OTHER)
    obj.put(b"old")
    obj.check()
    obj.store.remove_all("ocirepository/apps/other")
    obj.put(b"new")


_STORIES = [
    _first, _replaced, _replaced_twice, _never_reported, _restored_by_a_killed_process,
    _in_a_folder_of_a_killed_process, _deleted_and_made_again, _shared,
]  # fmt: skip


def _examine(root: pathlib.Path, status: digests.Digest | None) -> None:
    local = shelf.create(root)
    local.sweep()
    if status is not None:
        assert local.check(shelf.PATH, status) is store.Health.OK
        assert digests.Digest.of((root / shelf.PATH).read_bytes()) == status
        assert (root / shelf.FOLDER / "latest.tar.gz").is_file()
    for location in root.glob("ocirepository/*/*/*.tar.gz"):
        assert location.is_symlink() or location.read_bytes() in _WHOLE
    assert shelf.leftovers(local) == []
    local.close()


@pytest.mark.parametrize("story", _STORIES)
def test_what_a_status_names_outlives_a_power_cut_at_any_moment(
    tmp_path: pathlib.Path, story: Callable[[_Object], None]
) -> None:
    """Cut before each call that names or flushes something, on a disk that keeps only flushes."""
    for passing in itertools.count():
        root = tmp_path / f"{passing}"
        root.mkdir()
        obj = None
        with contextlib.closing(disk.Disk(root, passing=passing)) as watched:
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(disk.PowerCut):
                watched.watch(patch)
                obj = _Object(root)
                story(obj)
            is_over = not watched.is_cut
            watched.cut()
            if obj is not None:
                obj.store.close()
            for has_latest_records in (True, False):
                after = tmp_path / f"{passing}-after-{has_latest_records}"
                watched.restart(after, has_latest_records=has_latest_records)
                _examine(after, None if obj is None else obj.status)
        if is_over:
            break
    assert passing > 10
