"""Content that must never become an artifact; the last good one stays served."""

import asyncio
import io
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from ocisource.source import incoming
from ocisource.storage import store
from tests.reconciler import world as worlds
from tests.reconciler.world import World
from tests.simulators import registry as simulators

LAYER_FAILED = "OCIArtifactLayerOperationFailed"
GOOD = worlds.layer({"good.yaml": b"good: 1\n"})


def _tar(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    entry = tarfile.TarInfo("entry.yaml")
    change(entry)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(entry)
    return buffer.getvalue()


def _named(name: str) -> bytes:
    return _tar(lambda entry: setattr(entry, "name", name))


def _typed(kind: bytes) -> bytes:
    return _tar(lambda entry: setattr(entry, "type", kind))


def _served(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own loopback address
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize(
    ("blob", "text"),
    [
        (_named("../evil.yaml"), 'tar contained invalid name error "../evil.yaml"'),
        (_named("/etc/passwd"), 'tar contained invalid name error "/etc/passwd"'),
        (_named("a\\b"), "tar contained invalid name error"),
        (_typed(tarfile.CHRTYPE), "unsupported file type"),
        (_typed(tarfile.FIFOTYPE), "unsupported file type"),
        (b"not a tar at all", "failed to extract layer contents from artifact"),
        (GOOD[: len(GOOD) // 2], "failed to extract layer contents from artifact"),
    ],
    ids=["traversal", "absolute", "backslash", "device", "fifo", "garbage", "cut"],
)
async def test_an_unsafe_or_damaged_layer_fails_cleanly(
    world: World, blob: bytes, text: str
) -> None:
    """The condition says what is wrong; artifact, file and address stay as they were."""
    async with simulators.Simulator() as hostile, world.controller():
        hostile.add_image("podinfo", "latest", layers=[GOOD])
        await world.declare(url=f"oci://{hostile.host}/podinfo")
        before = await world.ready()
        hostile.add_image("podinfo", "latest", layers=[blob])
        await world.request("podinfo", "again")
        after = await world.failed(LAYER_FAILED)
        message = worlds.state(after)["Ready"][2]
        assert text in message
        assert "Traceback" not in message
        assert worlds.state(after)["ArtifactOutdated"][1] == "NewRevision"
        assert after.status.artifact == before.status.artifact
        assert before.status.artifact is not None
        body = await asyncio.to_thread(_served, before.status.artifact.url)
    assert len(body) == before.status.artifact.size


async def _cut(request: web.Request, answer: simulators.Handler) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(GOOD))})
    await response.prepare(request)
    await response.write(GOOD[:20])
    assert request.transport is not None
    request.transport.abort()
    return response


async def _swapped(request: web.Request, answer: simulators.Handler) -> web.StreamResponse:
    return web.Response(body=bytes(reversed(GOOD)))


@pytest.mark.parametrize("fault", [_cut, _swapped], ids=["truncated", "corrupted"])
async def test_a_blob_that_is_not_what_was_promised_never_becomes_an_artifact(
    world: World, fault: simulators.Fault
) -> None:
    """Nothing is stored, nothing is shown, and the true bytes heal it."""
    async with simulators.Simulator() as hostile:
        hostile.add_image("podinfo", "latest", layers=[GOOD])
        hostile.on("GET", "/blobs/", fault)
        async with world.controller():
            await world.declare(url=f"oci://{hostile.host}/podinfo", timeout="1s")
            obj = await world.failed(LAYER_FAILED)
            assert obj.status.artifact is None
            assert obj.status.url == ""
            folder = world.settings.storage_path / "ocirepository" / world.namespace / "podinfo"
            assert not list(folder.glob("*.tar.gz"))
            message = worlds.state(obj)["Ready"][2]
            assert message.startswith("failed to extract the first layer from artifact: ")
            hostile.heal()
            healed = await world.ready()
    assert world.stored(healed) == {"good.yaml": b"good: 1\n"}


async def test_a_layer_larger_than_what_it_may_unpack_to_is_not_even_fetched(world: World) -> None:
    """A registry may state any size, and would fill the disk with it; the flag is named."""
    async with (
        simulators.Simulator() as hostile,
        world.controller(max_unpacked_size=len(GOOD) - 1),
    ):
        hostile.add_image("podinfo", "latest", layers=[GOOD])
        await world.declare(url=f"oci://{hostile.host}/podinfo")
        obj = await world.failed(LAYER_FAILED)
        assert not any("/blobs/" in seen.path for seen in hostile.seen)
    assert worlds.state(obj)["Ready"][2] == (
        f"failed to extract the first layer from artifact: the layer of {len(GOOD)} bytes is "
        f"bigger than max archive size of {len(GOOD) - 1} bytes; raise --max-unpacked-size to "
        "allow it"
    )


async def test_a_layer_that_finds_no_room_on_its_way_is_a_failure_of_storage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is not to blame: the condition is StorageOperationFailed, and says where."""

    def full(**_: object) -> io.FileIO:
        return io.FileIO("/dev/full", "r+")

    async with simulators.Simulator() as good, world.controller():
        good.add_image("podinfo", "latest", layers=[GOOD])
        with monkeypatch.context() as patched:
            patched.setattr(incoming, "MEMORY_BYTES", 0)
            patched.setattr(tempfile, "TemporaryFile", full)
            await world.declare(url=f"oci://{good.host}/podinfo")
            obj = await world.failed("ArchiveOperationFailed")
        state = worlds.state(obj)
        assert state["StorageOperationFailed"][1] == "ArchiveOperationFailed"
        assert "FetchFailed" not in state
        assert state["Ready"][2].startswith(
            "unable to archive artifact to storage: failed to spool the layer in "
        )
        assert state["Ready"][2].endswith("make room there, or name another folder in TMPDIR")
        await world.request("podinfo", "again")
        await world.ready()


async def test_a_repository_that_is_not_there_is_told_apart_from_a_missing_tag(
    world: World,
) -> None:
    """Then it is the URL that has a slip."""
    async with simulators.Simulator() as registry, world.controller():
        await world.declare(url=f"oci://{registry.host}/pod-inof")
        obj = await world.failed("OCIArtifactPullFailed")
    assert worlds.state(obj)["Ready"][2] == (
        f"failed to pull artifact from 'oci://{registry.host}/pod-inof': couldn't find tag "
        '"latest" (the registry knows no such repository)'
    )


async def test_a_registry_that_never_answers_is_given_up_after_the_timeout(world: World) -> None:
    """The message names spec.timeout."""
    released = asyncio.Event()

    async def silent(request: web.Request, answer: simulators.Handler) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with simulators.Simulator() as hostile:
        async with world.controller():
            hostile.add_image("podinfo", "latest", layers=[GOOD])
            hostile.on("*", "/manifests/", silent)
            await world.declare(url=f"oci://{hostile.host}/podinfo", timeout="200ms")
            obj = await world.failed("OCIArtifactPullFailed")
        released.set()
    assert worlds.state(obj)["Ready"][2] == (
        f"failed to determine artifact digest: {hostile.host}/podinfo:latest: not done within the "
        "timeout of 200ms; raise spec.timeout if the registry or the cloud's login is slow"
    )
    await asyncio.sleep(0.05)  # the simulator's cut-off handlers end by themselves


async def test_a_newer_generation_does_not_wait_for_an_old_fetch(world: World) -> None:
    """The old fetch is called off; nothing of it is committed."""
    released = asyncio.Event()

    async def held(request: web.Request, answer: simulators.Handler) -> web.StreamResponse:
        await released.wait()
        return web.Response(body=GOOD)

    async with simulators.Simulator() as slow, world.controller():
        old = slow.add_image("podinfo", "old", layers=[worlds.layer({"old.yaml": b"old"})])
        slow.add_image("podinfo", "new", layers=[GOOD])
        slow.on("GET", "/blobs/", held, times=1)
        await world.declare(url=f"oci://{slow.host}/podinfo", ref={"tag": "old"})
        # The old fetch has to be the one that is held.
        await world.until(lambda _: any("/blobs/" in seen.path for seen in slow.seen))
        await world.declare(url=f"oci://{slow.host}/podinfo", ref={"tag": "new"})
        obj = await world.ready()
        released.set()
        folder = world.path(obj).parent
        names = {path.name for path in folder.iterdir()}
    assert world.stored(obj) == {"good.yaml": b"good: 1\n"}
    assert f"{old.removeprefix('sha256:')}.tar.gz" not in names
    await asyncio.sleep(0.05)  # the simulator's cut-off handler ends by itself


async def test_a_newer_generation_does_not_overtake_a_commit_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread cannot be called off: the next run begins when it is done, and has the last word."""
    has_begun, released = asyncio.Event(), threading.Event()
    loop, publish = asyncio.get_running_loop(), store.LocalStore.publish

    def held(self: store.LocalStore, *args: Any, **more: Any) -> Any:
        if not released.is_set():
            loop.call_soon_threadsafe(has_begun.set)
            assert released.wait(worlds.WAIT_SECONDS)
        return publish(self, *args, **more)

    monkeypatch.setattr(store.LocalStore, "publish", held)
    old = await world.push("podinfo", "old", {"old.yaml": b"old"})
    new = await world.push("podinfo", "new", {"new.yaml": b"new"})
    async with world.controller() as running:
        obj = await world.declare(ref={"tag": "old"})
        await has_begun.wait()
        obj = await world.declare(ref={"tag": "new"})
        key = worlds.request_of(obj)

        def is_noticed(_: worlds.Object) -> bool:
            seen = running.objects.get(key)
            return seen is not None and seen.metadata.generation == obj.metadata.generation

        await world.until(is_noticed)
        for _ in range(20):  # what would be overtaking has time to do so
            await world.get()
        released.set()
        obj = await world.ready()
        latest = world.path(obj).with_name("latest.tar.gz").read_bytes()
    assert obj.status.artifact is not None
    assert obj.status.artifact.revision == new.hex != old.hex
    assert latest == world.path(obj).read_bytes()
