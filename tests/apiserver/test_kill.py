"""The data file survives kill -9 at any point without losing an acknowledged write."""

import pathlib
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from ocisource.apiserver.history import store

DELETED = -1  # the value that is told of a deletion
States = dict[str, tuple[int, int]]  # value and revision of each object

_PATIENCE_SECONDS = 60.0


def run_and_kill(path: pathlib.Path, lines: int) -> list[str]:
    """Let writers write some lines, kill them at once, and return what they were told."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.apiserver.looping", str(path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told: list[str] = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        # What stood in the pipe was acknowledged as well; a torn last line was not.
        told += process.stdout.read().splitlines(keepends=True)
        process.wait(_PATIENCE_SECONDS)
    return [line for line in told if line.endswith("\n")]


@pytest.mark.soak
async def test_a_killed_server_has_all_it_acknowledged(
    tmp_path: pathlib.Path, counts: Callable[[int, int], int]
) -> None:
    """Every object is at its last acknowledged state or a later one, and revisions go on."""
    path = tmp_path / "store.db"
    chosen = random.Random(7)
    acknowledged: dict[str, tuple[int, int]] = {}
    for _ in range(counts(100, 4)):
        for line in run_and_kill(path, chosen.randrange(1, 400)):
            name, value, revision = line.split()
            acknowledged[name] = (int(value), int(revision))
        held = await store.Store.open(path)
        try:
            found = {
                f"{record.key.namespace}/{record.key.name}": (
                    int(record.decode()["value"]),
                    record.revision,
                )
                for record in held.scan("things")
            }
            assert held.revision >= max(revision for _, revision in acknowledged.values())
        finally:
            await held.close()
        present = {name: state for name, state in acknowledged.items() if state[0] != DELETED}
        _compare(present, found)
        acknowledged = found


def _compare(acknowledged: States, found: States) -> None:
    """A writer waits for each answer, so one write of each may have come through unanswered."""
    differing = {
        name
        for name in acknowledged.keys() | found.keys()
        if acknowledged.get(name) != found.get(name)
    }
    writers = [name.partition("/")[0] for name in differing]
    assert len(writers) == len(set(writers)), f"more than one write is missing: {differing}"
    for name in differing & acknowledged.keys() & found.keys():
        assert found[name][1] > acknowledged[name][1], f"{name} went back"
