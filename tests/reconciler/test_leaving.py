"""Objects that are not ours any more: forgotten, their files removed, nothing else touched."""

import asyncio
import pathlib

from tests.parts import processes
from tests.reconciler import world as worlds
from tests.reconciler.world import World

_FILES = {"a.yaml": b"a: 1\n"}
_LABEL = {"metadata": {"labels": {"shard": "one"}}}


def folder(world: World) -> pathlib.Path:
    """Where the files of the object lie."""
    return world.settings.storage_path / "ocirepository" / world.namespace / "podinfo"


async def gone(path: pathlib.Path) -> None:
    """Wait until a folder is gone."""
    await asyncio.to_thread(processes.poll, lambda: not path.exists(), what=f"{path} to go")


async def test_an_object_that_leaves_the_shard_stays_as_it_is(world: World) -> None:
    """Its finalizer and status too: they are the next shard's."""
    await world.push("podinfo", "latest", _FILES)
    await world.declare()
    await world.change("podinfo", _LABEL)
    async with world.controller(watch_label_selector="shard=one"):
        before = await world.ready()
        assert folder(world).exists()
        await world.change("podinfo", {"metadata": {"labels": {"shard": "two"}}})
        await gone(folder(world))
        after = await world.get()
        assert after.status == before.status
        assert after.metadata.finalizers == before.metadata.finalizers
        assert not after.metadata.is_being_deleted
        # And back again: made anew.
        await world.change("podinfo", _LABEL)
        await world.until(lambda obj: worlds.is_ready(obj) and folder(world).exists())


async def test_an_object_deleted_past_its_finalizer_leaves_no_files(world: World) -> None:
    """Somebody took the finalizer off by hand."""
    await world.push("podinfo", "latest", _FILES)
    async with world.controller():
        await world.declare()
        await world.ready()
        await world.change("podinfo", {"metadata": {"finalizers": None}})
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()
        await gone(folder(world))


async def test_files_of_objects_that_went_meanwhile_are_collected_at_start(world: World) -> None:
    """Those of the others stay."""
    for name in ("podinfo", "stays"):
        await world.push(name, "latest", _FILES)
        await world.declare(name)
    async with world.controller():
        await world.ready()
        await world.ready("stays")
    await world.change("podinfo", {"metadata": {"finalizers": None}})
    await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
    assert folder(world).exists()
    async with world.controller():
        await gone(folder(world))
    assert folder(world).with_name("stays").exists()
