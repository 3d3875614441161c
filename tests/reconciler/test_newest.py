"""Which state of an object a run starts from: the informer's, or that of our own last write."""

import sys

from ocisource.api import meta, ocirepository
from ocisource.controller import request as requests
from ocisource.reconciler import newest

KEY = requests.Request("apps", "podinfo")


def state(version: int, *, uid: str = "a") -> ocirepository.OCIRepository:
    """The object in one of its versions."""
    return ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(
            name=KEY.name, namespace=KEY.namespace, uid=uid, resource_version=str(version)
        )
    )


def test_a_write_counts_until_the_informer_has_seen_it() -> None:
    """A run right after a write must not start from what was before it."""
    cache = {KEY: state(1)}
    known = newest.Newest(cache)
    written = state(2)
    known.remember(written)
    assert known.get(KEY) is written
    cache[KEY] = state(3)
    known.observe(cache[KEY])
    assert known.get(KEY) is cache[KEY]


def test_an_answer_that_comes_after_its_own_watch_event_is_not_kept() -> None:
    """The watch may be quicker: a second copy would lie there until the object's next run."""
    cache = {KEY: state(2)}
    known = newest.Newest(cache)
    known.remember(state(1))
    assert known.get(KEY) is cache[KEY]
    for version in (2, 1):
        assert not is_kept(known, state(version))
    assert is_kept(known, state(3))


def test_a_late_answer_ends_what_an_earlier_one_left() -> None:
    """The newest state is the informer's then."""
    cache = {KEY: state(1)}
    known = newest.Newest(cache)
    known.remember(state(2))
    cache[KEY] = state(4)
    known.remember(state(3))
    assert known.get(KEY) is cache[KEY]


def test_an_object_made_anew_is_another_one() -> None:
    """Versions of objects with different uids say nothing about each other."""
    cache = {KEY: state(7, uid="old")}
    known = newest.Newest(cache)
    known.remember(state(8, uid="new"))
    assert known.get(KEY) is cache[KEY]


def is_kept(known: newest.Newest, obj: ocirepository.OCIRepository) -> bool:
    """Whether an object is held on to after a write returned it."""
    holders = sys.getrefcount(obj)
    known.remember(obj)
    return sys.getrefcount(obj) > holders
