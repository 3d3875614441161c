"""New content under a name that a status still connects with the old content."""

import pytest

from ocisource import digest as digests
from ocisource.storage import placement, store
from tests.storage import shelf

_OLD, _NEW, _NEWER = (digests.Digest.of(data) for data in (b"old", b"new", b"newer"))


def _content(local: store.LocalStore) -> bytes:
    return (local.root / shelf.PATH).read_bytes()


def test_a_replacement_nobody_confirmed_is_undone(local: store.LocalStore) -> None:
    """If the status never learnt of the new content, the old one is put back."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    assert _content(local) == b"new"
    assert local.check(shelf.PATH, _OLD) is store.Health.OK
    assert _content(local) == b"old"
    assert local.check(shelf.PATH, _NEW) is store.Health.ALTERED
    assert shelf.leftovers(local) == []


def test_a_replacement_is_undone_after_a_restart_too(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """The sweep at start does not take the old content for a leftover."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    local.close()
    again = shelf.create(local.root, clock)
    again.sweep()
    assert again.check(shelf.PATH, _OLD) is store.Health.OK
    assert shelf.leftovers(again) == []
    again.close()


def test_a_confirmed_replacement_frees_the_old_content(local: store.LocalStore) -> None:
    """Once the status names the new content, the old one is gone for good."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    assert local.check(shelf.PATH, _NEW) is store.Health.OK
    assert len(shelf.blobs(local)) == 1
    assert local.check(shelf.PATH, _OLD) is store.Health.ALTERED


def test_several_unconfirmed_replacements_can_all_be_undone(local: store.LocalStore) -> None:
    """Whichever content the status names, it comes back."""
    for data in (b"old", b"new", b"newer"):
        shelf.put(local, data)
    assert local.check(shelf.PATH, _OLD) is store.Health.OK
    for data in (b"new", b"newer"):
        shelf.put(local, data)
    assert local.check(shelf.PATH, _NEW) is store.Health.OK
    assert shelf.leftovers(local) == []


def test_a_crash_before_the_rename_loses_nothing(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noting a replacement that did not happen does no harm."""
    shelf.put(local, b"old")
    local._place.index.replacing(shelf.PATH, old=_OLD, new=_NEW)
    assert local.check(shelf.PATH, _OLD) is store.Health.OK
    assert local._place.index.wanted() == set()


def test_a_crash_between_rename_and_record_is_undone(local: store.LocalStore) -> None:
    """The file is new, the record old: the old content comes back if the status names it."""
    old = shelf.put(local, b"old")
    shelf.put(local, b"new")
    local._place.index.put(old)
    assert local.check(shelf.PATH, _OLD) is store.Health.OK
    assert _content(local) == b"old"


def test_old_content_gone_bad_is_not_put_back(local: store.LocalStore) -> None:
    """What is put back is read before."""
    shelf.put(local, b"old", shelf.OTHER)
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    (local.root / shelf.OTHER).write_bytes(b"bad")
    assert local.check(shelf.PATH, _OLD) is store.Health.ALTERED


def test_an_unrelated_file_is_not_mistaken_for_a_replacement(local: store.LocalStore) -> None:
    """Only the content that was put there by the store is taken back."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    stranger = local.root / "stranger"
    stranger.write_bytes(b"strange")
    stranger.replace(local.root / shelf.PATH)
    assert local.check(shelf.PATH, _OLD) is store.Health.ALTERED
    assert _content(local) == b"strange"


def test_content_without_a_link_left_is_copied_and_restore_says_so(
    local: store.LocalStore,
) -> None:
    """Restoring content that is not there is refused, not half done."""
    shelf.put(local, b"new")
    assert placement.restore(local._place, shelf.PATH, _NEWER) is False


def test_an_object_that_goes_takes_its_unconfirmed_contents_along(
    local: store.LocalStore, clock: shelf.Clock
) -> None:
    """Deleted or collected before a status named the new content: neither content stays."""
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    local.remove_all(shelf.FOLDER)
    assert shelf.blobs(local) == []
    shelf.put(local, b"old")
    shelf.put(local, b"new")
    current = f"{shelf.FOLDER}/current.tar.gz"
    clock.now += 1
    shelf.put(local, b"newer", current)
    assert local.collect(shelf.FOLDER, current=current, ttl=0, records=1) == (shelf.PATH,)
    assert len(shelf.blobs(local)) == 1
