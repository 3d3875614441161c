"""Objects that are not ours any more: forgotten, their files removed, nothing else touched."""

import asyncio
import pathlib
import typing

import msgspec
import pytest

from ocisource import errors
from ocisource.api import meta, ocirepository
from ocisource.kube import resources
from ocisource.reconciler import writer
from ocisource.wire import selectors
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


class Contested:
    """A client whose patches come too late: another shard has written meanwhile."""

    def __init__(self, live: ocirepository.OCIRepository) -> None:
        self._live = live
        self.patches = 0

    async def get(self, *_: object, **__: object) -> typing.Any:
        """The object as the other shard has it."""
        return self._live

    async def patch(self, *_: object, **__: object) -> typing.Any:
        """Refused, because of the resourceVersion."""
        self.patches += 1
        raise errors.APIStatusError("the object has been modified", code=409)


async def test_a_run_that_ends_after_the_object_left_writes_nothing() -> None:
    """The conflict tells: the status is the other shard's now."""
    ours = ocirepository.OCIRepository(metadata=meta.ObjectMeta(name="a", labels={"shard": "one"}))
    theirs = msgspec.structs.replace(
        ours, metadata=meta.ObjectMeta(name="a", labels={"shard": "two"}, resource_version="2")
    )
    contested = Contested(theirs)

    async def sleep(_: float) -> None:
        return

    writes = writer.Writer(
        client=contested,
        resource=resources.Resource(
            ocirepository.GROUP,
            "v1",
            ocirepository.PLURAL,
            ocirepository.KIND,
            ocirepository.OCIRepository,
        ),
        on_written=lambda _: None,
        selector=selectors.LabelSelector.parse("shard=one"),
        sleep=sleep,
    )
    with pytest.raises(errors.AbandonedError, match="left this shard"):
        await writes.write_status(ours, ocirepository.Status(url="http://host/one"))
    assert contested.patches == 1
