"""A disk that refuses: said in StorageOperationFailed, and the artifact that is there stays."""

import errno
import os
import pathlib
import stat

import aiohttp
import pytest

from tests.reconciler import world as worlds
from tests.reconciler.world import World

_HINTS = {
    errno.ENOSPC: "no space left on device; free some space in the store",
    errno.EDQUOT: "disk quota exceeded; raise the quota or free some space in the store",
    errno.EROFS: "read-only file system; mount the store writable",
    errno.EACCES: "permission denied; give this process write permission on the store",
    errno.EIO: "input/output error",
}


async def _served(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.parametrize("number", _HINTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_what_the_disk_refuses_is_said_and_the_old_artifact_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    """While bytes are written or named: condition, status and served bytes; then it heals."""
    real = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (what == "folder"):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    await world.push("podinfo", "latest", {"a.yaml": b"old"})
    async with world.controller():
        await world.declare()
        before = (await world.ready()).status.artifact
        assert before is not None
        content = await _served(before.url)
        await world.push("podinfo", "latest", {"a.yaml": b"new"})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            await world.request("podinfo", "go")
            obj = await world.failed("ArchiveOperationFailed")
        state = worlds.state(obj)
        message = state["StorageOperationFailed"][2]
        assert message.startswith("unable to archive artifact to storage: failed to ")
        assert message.endswith(f": {_HINTS[number]}")
        assert str(pathlib.Path(world.settings.storage_path)) not in message
        assert state["Ready"][2] == message
        assert "FetchFailed" not in state
        assert obj.status.artifact == before
        assert await _served(before.url) == content
        await world.request("podinfo", "again")
        obj = await world.ready()
        assert set(worlds.state(obj)) == {"Ready", "ArtifactInStorage"}
        assert obj.status.artifact is not None
        assert obj.status.artifact.revision != before.revision
