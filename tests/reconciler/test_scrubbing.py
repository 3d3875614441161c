"""The slow reading of everything: what it finds is queued, and it ends when it is told to."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.controller import request as requests
from ocisource.reconciler import scrubbing
from tests.reconciler import world as worlds
from tests.reconciler.world import World


class Store:
    """A store whose passes find these paths, or fail."""

    def __init__(self, *passes: tuple[str, ...] | errors.StorageError) -> None:
        self.passes = list(passes)

    def scrub(
        self, *, sleep: Callable[[float], object], is_cancelled: Callable[[], bool]
    ) -> tuple[str, ...]:
        """The next pass."""
        found = self.passes.pop(0)
        if isinstance(found, errors.StorageError):
            raise found
        return found


async def test_altered_files_queue_their_objects_pass_after_pass() -> None:
    """Once for each object; a failing pass ends nothing; foreign names are left alone."""
    queued: list[requests.Request] = []
    paths = ("ocirepository/a/b/1.tar.gz", "ocirepository/a/b/2.tar.gz", "odd", "bucket/a/b/c")
    store = Store(paths, errors.StorageError("disk gone"), ("ocirepository/c/d/3.tar.gz",))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not store.passes:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await scrubbing.run(store, on_altered=queued.append, pause=5.0, sleep=sleep)
    assert queued == [requests.Request("a", "b"), requests.Request("c", "d")]
    assert pauses == [5.0] * 4


async def test_a_pass_under_way_ends_when_cancelled() -> None:
    """The thread is told, and waited for: the store is closed after that."""
    began, ended = threading.Event(), threading.Event()

    class Endless:
        def scrub(
            self, *, sleep: Callable[[float], object], is_cancelled: Callable[[], bool]
        ) -> tuple[str, ...]:
            began.set()
            while not is_cancelled():
                sleep(60.0)
            ended.set()
            return ()

    async def no_pause(_: float) -> None:
        return

    task = asyncio.create_task(
        scrubbing.run(Endless(), on_altered=lambda _: None, pause=0.0, sleep=no_pause)
    )
    assert await asyncio.to_thread(began.wait, 20.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()


async def test_decay_that_no_signature_shows_is_found_and_rebuilt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrub in the running controller reports the altered file; its object builds it again."""
    due = asyncio.Event()
    run = scrubbing.run

    async def wait(_: float) -> None:
        await due.wait()
        due.clear()

    def at_will(store: scrubbing.Scrubbed, **more: object) -> object:
        return run(store, sleep=wait, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scrubbing, "run", at_will)
    await world.push("podinfo", "latest", {"a.yaml": b"a: 1\n"})
    async with world.controller():
        await world.declare()
        obj = await world.ready()
        path = world.path(obj)
        good = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(bytes(reversed(good)))
        due.set()
        await world.event("ArtifactVerificationFailed")
        await world.until(lambda o: worlds.is_ready(o) and world.path(o).read_bytes() == good)
