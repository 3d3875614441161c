"""A process killed at any moment of storing and serving loses nothing and leaves nothing."""

import asyncio
import pathlib
import random
import signal
import sys
from collections.abc import Callable

import pytest

from ocisource.storage import fileserver, store
from tests.storage import looping, shelf

_MAX_STEPS = 12  # of the loop before it is killed
_MAX_DELAY = 0.02  # s; several times what a step takes
_HOUSE = pathlib.Path(__file__).parents[2]


async def _run_and_kill(root: pathlib.Path, rng: random.Random) -> None:
    """Let the loop run for some steps and a little, and kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.storage.looping", root, str(rng.randrange(2**32)),
        stdout=asyncio.subprocess.PIPE, cwd=_HOUSE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for _ in range(rng.randrange(_MAX_STEPS)):
            if not await process.stdout.readline():
                break
        await asyncio.sleep(rng.uniform(0, _MAX_DELAY))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    assert process.returncode == -signal.SIGKILL, "the loop ended by itself"


async def _examine(root: pathlib.Path) -> int:
    """Restart on what was left; returns how many objects have an artifact."""
    local = store.LocalStore(root / "store")
    local.sweep()
    server = fileserver.FileServer(local)
    host, port = await server.start("127.0.0.1", 0)
    count = 0
    for folder in looping.OBJECTS:
        status = looping.read(root / "statuses", folder)
        if status is not None:
            path, digest = status
            assert local.check(path, digest) is store.Health.OK, path
            assert await looping.fetch(host, port, path) == digest
            assert (local.root / folder / "latest.tar.gz").is_file()
            count += 1
    assert shelf.leftovers(local) == []
    await server.stop()
    local.close()
    return count


@pytest.mark.soak
async def test_killed_at_random_points_every_path_serves_what_its_status_says(
    tmp_path: pathlib.Path, counts: Callable[[int, int], int]
) -> None:
    """Kill -9, again and again on the same store: statuses stay true, no temporary file stays."""
    (tmp_path / "store").mkdir()
    (tmp_path / "statuses").mkdir()
    rng = random.Random(20260817)
    seen = 0
    for _ in range(counts(200, 15)):
        await _run_and_kill(tmp_path, rng)
        seen += await _examine(tmp_path)
    assert seen > 0
