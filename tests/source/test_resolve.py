"""Choosing a tag, where there are very many of them."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from ocisource import digest as digests
from ocisource.oci.grammar import manifest, reference, semver
from ocisource.source import resolve, wanted


class Registry:
    """A registry that has so many tags, the lowest version first."""

    def __init__(self, count: int) -> None:
        self._tags = tuple(f"1.{number}.0" for number in range(count))

    async def tags(self) -> tuple[str, ...]:
        """The tags."""
        return self._tags

    async def resolve(self, tag: str) -> manifest.Descriptor:
        """Never asked here."""
        raise AssertionError(tag)

    async def head(self, digest: digests.Digest) -> manifest.Descriptor:
        """Never asked here."""
        raise AssertionError(digest)


async def test_a_choice_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that went on would be missing: a registry may have millions of tags."""
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def choose(*_: object, is_cancelled: Callable[[], bool], **__: object) -> str:
        loop.call_soon_threadsafe(begun.set)
        while not is_cancelled():
            time.sleep(0.001)
        ended.set()
        return ""

    monkeypatch.setattr(semver, "latest_match", choose)
    want = wanted.Wanted(
        repository=reference.Repository("registry.test", "org/app"),
        platform=manifest.DEFAULT_PLATFORM,
        semver=">=1.0.0",
    )
    task = asyncio.create_task(resolve.choose_tag(Registry(resolve.MANY_TAGS), want))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 30)


@pytest.mark.parametrize("count", [resolve.MANY_TAGS - 1, resolve.MANY_TAGS])
async def test_many_tags_are_sifted_where_nobody_waits_for_it(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice is the same; above a few thousand tags it does not hold the event loop up."""
    threads = []
    real = semver.latest_match

    def choose(*args: object, **named: object) -> str:
        threads.append(threading.get_ident())
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(semver, "latest_match", choose)
    want = wanted.Wanted(
        repository=reference.Repository("registry.test", "org/app"),
        platform=manifest.DEFAULT_PLATFORM,
        semver=">=1.0.0",
    )
    assert await resolve.choose_tag(Registry(count), want) == f"1.{count - 1}.0"
    is_elsewhere = threads != [threading.get_ident()]
    assert is_elsewhere is (count >= resolve.MANY_TAGS)
