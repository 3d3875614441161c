"""The informer: a cache that tells of changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from ocisource.controller import informer, reflector, request
from ocisource.kube import resources
from tests.controller import conftest
from tests.simulators import faketime

KEY = request.Request("default", "a")


def _owners(obj: resources.ConfigMap) -> Iterable[str]:
    return obj.data.get("uses", "").split()


class Heard:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def handler(self) -> informer.Handler[resources.ConfigMap]:
        """Take part."""
        return informer.Handler(
            on_add=lambda obj, is_initial: self._hear("add", obj, "first" if is_initial else ""),
            on_update=lambda old, new: self._hear("update", new, old.data.get("v", "")),
            on_delete=lambda obj: self._hear("delete", obj, ""),
        )

    def _hear(self, what: str, obj: resources.ConfigMap, more: str) -> None:
        self.calls.append((what, obj.metadata.name, more))


@pytest.fixture
async def cache(bench: conftest.Bench) -> AsyncIterator[informer.Informer[resources.ConfigMap]]:
    """An informer that is at work."""
    source = reflector.Reflector(
        bench.api, resources.CONFIG_MAPS, clock=bench.time.clock, sleep=bench.time.skip
    )
    made = informer.Informer(source, indexes={"uses": _owners})
    task = asyncio.create_task(made.run())
    yield made
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_handlers_hear_of_adds_updates_and_deletes(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """The first list is told apart from what comes later."""
    heard = Heard()
    cache.add_handler(heard.handler())
    bench.put("a", v="1")
    await cache.wait_synced()
    bench.put("a", v="2")
    bench.put("b", v="1")
    bench.drop("a")
    await faketime.until(lambda: len(heard.calls) == 4)
    assert heard.calls == [
        ("add", "a", "first"),
        ("update", "a", "1"),
        ("add", "b", ""),
        ("delete", "a", ""),
    ]
    assert cache.get(KEY) is None
    assert [obj.metadata.name for obj in cache] == ["b"]


async def test_a_late_handler_hears_of_what_is_there(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """No object is missed for having come earlier than the handler."""
    bench.put("a")
    await cache.wait_synced()
    heard = Heard()
    cache.add_handler(heard.handler())
    assert heard.calls == [("add", "a", "")]


async def test_it_is_synced_only_after_the_handlers_heard(bench: conftest.Bench) -> None:
    """Whoever waits for the cache finds the handlers' work done."""
    for number in range(10):
        bench.put(f"o{number}")
    source = reflector.Reflector(
        bench.api, resources.CONFIG_MAPS, clock=bench.time.clock, sleep=bench.time.skip
    )
    cache = informer.Informer(source)
    synced: list[bool] = []
    cache.add_handler(informer.Handler(on_add=lambda *_: synced.append(cache.has_synced)))
    task = asyncio.create_task(cache.run())
    await cache.wait_synced()
    assert synced == [False] * 10
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_relist_tells_only_of_differences(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """After a gap handlers hear what changed in it, and nothing else."""
    for name in ("same", "changes", "goes"):
        bench.put(name, v="1")
    await cache.wait_synced()
    await faketime.until(lambda: bench.server.watches)
    heard = Heard()
    cache.add_handler(heard.handler())
    heard.calls.clear()
    bench.server.fail(r"watch=", 500)
    bench.server.abort_watches()
    bench.put("changes", v="2")
    bench.drop("goes")
    bench.put("comes")
    bench.server.compact()
    await faketime.until(lambda: len(heard.calls) == 3)
    assert sorted(heard.calls) == [
        ("add", "comes", ""),
        ("delete", "goes", ""),
        ("update", "changes", "1"),
    ]


async def test_an_object_made_anew_under_its_name_is_another_one(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """A new uid is told as a delete and an add, though the gap hid the deletion."""
    bench.put("a", v="old")
    await cache.wait_synced()
    await faketime.until(lambda: bench.server.watches)
    heard = Heard()
    cache.add_handler(heard.handler())
    heard.calls.clear()
    bench.server.fail(r"watch=", 500)
    bench.server.abort_watches()
    bench.drop("a")
    bench.put("a", v="new")
    bench.server.compact()
    await faketime.until(lambda: len(heard.calls) == 2)
    assert [call[0] for call in heard.calls] == ["delete", "add"]


async def test_indexes_follow_the_objects(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """Who refers to a Secret is known without looking through all objects."""
    bench.put("a", uses="s1 s2")
    bench.put("b", uses="s2")
    await cache.wait_synced()
    b = request.Request("default", "b")
    assert cache.by_index("uses", "s2") == (KEY, b)
    bench.put("a", uses="s1")
    bench.drop("b")
    await faketime.until(lambda: b not in cache.by_index("uses", "s2"))
    assert cache.by_index("uses", "s1") == (KEY,)
    assert cache.by_index("uses", "s2") == ()


async def test_a_faulty_handler_disturbs_nobody(
    bench: conftest.Bench, cache: informer.Informer[resources.ConfigMap]
) -> None:
    """Other handlers and the cache go on."""

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    heard = Heard()
    cache.add_handler(informer.Handler(on_add=fail, on_update=fail, on_delete=fail))
    cache.add_handler(heard.handler())
    bench.put("a")
    await faketime.until(lambda: heard.calls)
    assert cache.get(KEY) is not None
