"""Many objects at once, and long random histories: the invariants of the store."""

import pathlib
import random
import tempfile
from concurrent import futures

import hypothesis
import hypothesis.stateful as hs
import hypothesis.strategies as st

from ocisource import digest as digests
from ocisource.storage import store
from tests.storage import shelf

_CONTENTS = (b"", b"a", b"b" * 70_000)
_FOLDERS = ("o/n/x", "o/n/y")
_NAMES = ("1.tar.gz", "2.tar.gz")


def _churn(local: store.LocalStore, folder: str, rng: random.Random) -> int:
    """One object's life: stored, checked, collected, removed; returns how often it was wrong."""
    wrong = 0
    for number in range(40):
        content = rng.choice(_CONTENTS)
        path = f"{folder}/{number % 3}.tar.gz"
        stored = shelf.put(local, content, path)
        local.point_latest(folder, path)
        wrong += local.check(path, stored.digest) is not store.Health.OK
        local.collect(folder, current=path, ttl=0, records=rng.randrange(1, 3))
        wrong += (local.root / folder / "latest.tar.gz").read_bytes() != content
        if rng.random() < 0.1:
            local.remove_all(folder)
    wrong += local.collect(folder, current=path, ttl=0, records=1) is None
    return wrong


def test_objects_sharing_content_do_not_disturb_each_other(tmp_path: pathlib.Path) -> None:
    """Eight threads store, replace and remove the same three contents: nobody loses anything."""
    local = shelf.create(tmp_path / "store")
    with futures.ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(_churn, local, f"o/n/{number}", random.Random(number))
            for number in range(8)
        ]
        assert sum(job.result() for job in jobs) == 0
    for number in range(8):
        for file in local.files(f"o/n/{number}"):
            assert local.check(file.path, file.digest) is store.Health.OK
    assert shelf.leftovers(local) == []
    assert len(shelf.blobs(local)) <= len(_CONTENTS)
    local.close()


class _Histories(hs.RuleBasedStateMachine):
    """A store beside a model of it: what each path should hold, and what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.clock = shelf.Clock()
        self.root = pathlib.Path(self._temporary.name)
        self.local = shelf.create(self.root, self.clock)
        self.model: dict[str, tuple[bytes, float]] = {}
        self.altered: set[str] = set()

    def teardown(self) -> None:
        self.local.close()
        self._temporary.cleanup()

    @hs.rule(
        folder=st.sampled_from(_FOLDERS),
        name=st.sampled_from(_NAMES),
        content=st.sampled_from(_CONTENTS),
    )
    def store(self, folder: str, name: str, content: bytes) -> None:
        """Store something and let its status know."""
        self.clock.now += 1
        path = f"{folder}/{name}"
        stored = shelf.put(self.local, content, path)
        assert stored.digest == digests.Digest.of(content)
        self.local.point_latest(folder, path)
        assert self.local.check(path, stored.digest) is store.Health.OK
        self.model[path] = (content, self.clock.now)
        self.altered.discard(path)

    @hs.precondition(lambda self: self.model)
    @hs.rule(data=st.data(), content=st.sampled_from(_CONTENTS))
    def store_without_telling(self, data: st.DataObject, content: bytes) -> None:
        """Store something whose status is never written: a check undoes it."""
        path = data.draw(st.sampled_from(sorted(self.model)))
        if path not in self.altered:
            shelf.put(self.local, content, path)
            self._check(path)
            self.model[path] = (self.model[path][0], self.clock.now)

    @hs.precondition(lambda self: self.model)
    @hs.rule(data=st.data())
    def alter(self, data: st.DataObject) -> None:
        """Change a file in place: every path with that inode is altered."""
        path = data.draw(st.sampled_from(sorted(self.model)))
        location = self.root / path
        if location.exists():
            inode = location.stat().st_ino
            location.write_bytes(b"altered")
            for other in self.model:
                if (self.root / other).exists() and (self.root / other).stat().st_ino == inode:
                    self.altered.add(other)

    @hs.precondition(lambda self: self.model)
    @hs.rule(data=st.data(), records=st.integers(0, 2), ttl=st.integers(0, 5))
    def collect(self, data: st.DataObject, records: int, ttl: int) -> None:
        """Collect a folder."""
        current = data.draw(st.sampled_from(sorted(self.model)))
        folder = current.rpartition("/")[0]
        gone = self.local.collect(folder, current=current, ttl=ttl, records=records)
        assert current not in gone
        left = [path for path in self.model if path.startswith(folder) and path not in gone]
        assert len(left) <= max(records, 1)
        for path in gone:
            del self.model[path]
            self.altered.discard(path)

    @hs.rule(folder=st.sampled_from(_FOLDERS))
    def remove_all(self, folder: str) -> None:
        """Remove an object."""
        gone = [path for path in self.model if path.startswith(folder)]
        self.local.remove_all(folder)
        assert not (self.root / folder).exists()
        for path in gone:
            del self.model[path]
            self.altered.discard(path)

    @hs.rule()
    def restart(self) -> None:
        """End the process, start again, sweep."""
        self.local.close()
        self.local = shelf.create(self.root, self.clock)
        self.local.sweep()

    def _check(self, path: str) -> None:
        content, _ = self.model[path]
        health = self.local.check(path, digests.Digest.of(content))
        expected = store.Health.ALTERED if path in self.altered else store.Health.OK
        assert health is expected
        if health is store.Health.OK:
            assert (self.root / path).read_bytes() == content

    @hs.invariant()
    def every_path_is_what_it_should_be(self) -> None:
        """Good files are good, altered ones noticed, times remembered, nothing lies about."""
        for path, (_, stored_at) in self.model.items():
            self._check(path)
            record = self.local.stored(path)
            assert record is not None
            assert record.stored_at == stored_at
        assert shelf.leftovers(self.local) == []


TestHistories = hypothesis.settings(
    max_examples=40, stateful_step_count=25, deadline=None
)(_Histories).TestCase  # fmt: skip
