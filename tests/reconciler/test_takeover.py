"""Replicas that take over from each other on CPUs of unlike kinds, which pack a tar differently.

The other kind of CPU is played by the other compressor. What really differs, and where, is held by
tests/archive/test_compressors.py.
"""

import collections
import hashlib
import pathlib
from collections.abc import Callable

import pytest

from ocisource.api import artifact as artifacts
from ocisource.archive import compressors
from tests.reconciler import world as worlds
from tests.reconciler.world import World

_ADDRESS = "artifacts.example.com"  # of whoever leads
_FILES = {f"{number}.yaml": b"kind: ConfigMap\n" * 50 * number for number in range(9)}


class Cpu:
    """A kind of CPU: a compressor, and how often it has packed."""

    def __init__(self, make: Callable[[], compressors.Compressor]) -> None:
        self._make = make
        self.packed = 0

    def compressor(self) -> compressors.Compressor:
        """The compressor of one archive."""
        self.packed += 1
        return self._make()


async def look(world: World, token: str) -> artifacts.Artifact:
    """Ask for a run; the artifact that status tells after it."""
    await world.request("podinfo", token)
    obj = await world.until(
        lambda o: o.status.last_handled_reconcile_at == token and worlds.is_ready(o)
    )
    assert obj.status.artifact is not None
    return obj.status.artifact


def assert_served(folder: pathlib.Path, artifact: artifacts.Artifact) -> None:
    """The file below a storage path has the digest that status tells."""
    stored = (folder / artifact.path).read_bytes()
    assert artifact.digest == f"sha256:{hashlib.sha256(stored).hexdigest()}"


async def test_on_a_shared_volume_the_bytes_of_another_cpu_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read and hashed, never packed again: the digest in status is theirs for good."""
    await world.push("podinfo", "latest", _FILES)
    async with world.controller(storage_adv_addr=_ADDRESS):
        await world.declare()
        before = await look(world, "here")
    cpu = Cpu(compressors.portable)
    monkeypatch.setattr(compressors, "fast", cpu.compressor)
    async with world.controller(storage_adv_addr=_ADDRESS):
        for token in ("first", "second", "third"):
            assert await look(world, token) == before
    events = [reason for _, reason, _ in await world.events()]  # all: a stop writes the last
    assert cpu.packed == 0
    assert_served(world.settings.storage_path, before)
    assert events.count("NewArtifact") == 1
    assert "ArtifactVerificationFailed" not in events


async def test_on_volumes_of_their_own_each_packs_once_when_it_takes_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status tells the digest of who leads, and neither builds again without a takeover."""
    cpus = {"one": Cpu(compressors.fast), "two": Cpu(compressors.portable)}
    found: dict[str, set[str]] = collections.defaultdict(set)
    await world.push("podinfo", "latest", _FILES)
    await world.declare()
    for turn, name in enumerate(("one", "two", "one")):
        folder = world.folder / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(compressors, "fast", cpus[name].compressor)
        before = cpus[name].packed
        async with world.controller(storage_path=folder, storage_adv_addr=_ADDRESS):
            first = await look(world, f"{turn} at first")
            assert_served(folder, first)
            for token in ("again", "and again"):
                assert await look(world, f"{turn} {token}") == first
        events = collections.Counter(reason for _, reason, _ in await world.events())
        assert cpus[name].packed == before + 1
        found[name].add(f"{first.digest} of {first.revision}")
        # What came back found its own file where status tells of the other's.
        assert events["NewArtifact"] == 1
        assert events["ArtifactVerificationFailed"] == (1 if turn == 2 else 0)
    assert [len(digests) for digests in found.values()] == [1, 1]
    assert found["one"] != found["two"]
