"""The reflector against an API that fails in every way known."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import random
from collections.abc import AsyncIterator

import pytest

from ocisource.controller import reflector
from ocisource.kube import resources
from tests.controller import conftest
from tests.simulators import faketime

LIST = r"^GET /api/v1/configmaps\?(?!.*watch)"
WATCH = r"^GET /api/v1/configmaps\?.*watch="


@dataclasses.dataclass(slots=True)
class Mirror:
    """What a reflector has shown so far."""

    bench: conftest.Bench
    settings: reflector.ReflectorSettings
    objects: dict[str, str]
    lists: int
    reports: list[Exception | None]

    async def follow(self) -> None:
        """Take in all changes."""
        source = reflector.Reflector(
            self.bench.api,
            resources.CONFIG_MAPS,
            settings=self.settings,
            clock=self.bench.time.clock,
            sleep=self.bench.time.skip,
            rng=random.Random(1),
            report=self.reports.append,
        )
        async with contextlib.aclosing(source.changes()) as changes:
            async for change in changes:
                match change:
                    case reflector.Replaced():
                        self.lists += 1
                        self.objects.clear()
                        self.objects |= {obj.metadata.name: _value(obj) for obj in change.items}
                    case reflector.Changed():
                        self.objects[change.obj.metadata.name] = _value(change.obj)
                    case reflector.Deleted():
                        del self.objects[change.name]

    async def shows(self, **objects: str) -> None:
        """Wait until exactly these objects are shown."""
        await faketime.until(lambda: self.objects == objects)

    async def watches(self) -> None:
        """Wait until a watch is open."""
        await faketime.until(lambda: self.bench.server.watches)


def _value(obj: resources.ConfigMap) -> str:
    return obj.data.get("v", "")


@contextlib.asynccontextmanager
async def mirroring(
    bench: conftest.Bench, settings: reflector.ReflectorSettings = reflector.DEFAULTS
) -> AsyncIterator[Mirror]:
    """A reflector at work."""
    mirror = Mirror(bench, settings, {}, 0, [])
    task = asyncio.create_task(mirror.follow())
    try:
        yield mirror
    finally:
        assert not task.done(), task
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_shows_what_is_there_and_what_changes(bench: conftest.Bench) -> None:
    """List in pages, then watch from the list's version."""
    for number in range(7):
        bench.put(f"o{number}", v="1")
    async with mirroring(bench) as mirror:
        await faketime.until(lambda: len(mirror.objects) == 7)
        assert bench.server.count(LIST) == 3
        bench.put("o1", v="2")
        bench.drop("o0")
        bench.put("new", v="3")
        await faketime.until(lambda: mirror.objects.get("new") == "3")
        assert mirror.objects["o1"] == "2"
        assert "o0" not in mirror.objects
        assert mirror.lists == 1


async def test_a_cut_watch_goes_on_where_it_ended(bench: conftest.Bench) -> None:
    """What happened between two watches is not missed, and nothing is listed again."""
    bench.put("a", v="1")
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        for round_ in range(3):
            await mirror.watches()
            bench.server.abort_watches()
            bench.put("a", v=f"after {round_}")
            await mirror.shows(a=f"after {round_}")
        assert mirror.lists == 1


async def test_a_bookmark_moves_the_version_on(bench: conftest.Bench) -> None:
    """The next watch asks for changes after the bookmark."""
    bench.put("a")
    async with mirroring(bench) as mirror:
        await mirror.watches()
        bench.server.put("api/v1/secrets", {"metadata": {"name": "other", "namespace": "x"}})
        bench.server.bookmark()
        await faketime.settle(200)
        await asyncio.sleep(0.02)
        bench.server.cut_watches()
        await faketime.until(lambda: bench.server.count(WATCH) == 2)
        last = [seen for seen in bench.server.seen if seen.is_watch][-1]
        assert last.query["resourceVersion"] == str(bench.server.version)
        assert last.query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize("is_event", [True, False], ids=["as an event", "as HTTP"])
async def test_410_lists_again_without_a_version(bench: conftest.Bench, is_event: bool) -> None:
    """A version that is too old is answered by a list of the newest state."""
    bench.put("a", v="1")
    bench.put("gone", v="1")
    bench.server.is_gone_an_event = is_event
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1", gone="1")
        await mirror.watches()
        bench.server.fail(WATCH, 500)  # keeps the next watch away while history is lost
        bench.server.abort_watches()
        bench.put("a", v="2")
        bench.drop("gone")
        bench.server.compact()
        await mirror.shows(a="2")
        assert mirror.lists == 2
        lists = [seen for seen in bench.server.seen if not seen.is_watch]
        assert all("resourceVersion" not in seen.query for seen in lists)


async def test_410_in_the_middle_of_pages_lists_all_at_once(bench: conftest.Bench) -> None:
    """Pages that outlive the history are replaced by one whole list."""
    for number in range(7):
        bench.put(f"o{number}")
    bench.server.fail(r"continue=", 410, reason="Expired")
    async with mirroring(bench) as mirror:
        await faketime.until(lambda: len(mirror.objects) == 7)
    last = [seen for seen in bench.server.seen if not seen.is_watch][-1]
    assert "limit" not in last.query


async def test_it_survives_a_restart_of_the_server(bench: conftest.Bench) -> None:
    """Refused connections are waited out, and the changes meanwhile arrive."""
    bench.put("a", v="1")
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        await mirror.watches()
        await bench.server.stop()
        await faketime.until(lambda: len(mirror.reports) > 3)
        bench.put("a", v="2")
        await bench.server.start()
        await mirror.shows(a="2")
        assert mirror.reports[-1] is None
        assert any("cannot connect to the API server" in str(report) for report in mirror.reports)


async def test_500s_and_429s_on_list_and_watch_pass(bench: conftest.Bench) -> None:
    """A server in trouble is asked again, less and less often, until it answers."""
    bench.put("a", v="1")
    bench.server.fail(LIST, 500, times=4)
    bench.server.fail(WATCH, 503, times=2)
    bench.server.fail(WATCH, 429, times=2, headers={"Retry-After": "45"})
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        await mirror.watches()
        bench.put("a", v="2")
        await mirror.shows(a="2")
    assert bench.time.slept.count(45) == 2


async def test_backoff_grows_with_jitter_and_begins_anew_after_health(
    bench: conftest.Bench,
) -> None:
    """Delays double from 0.8 s up to 30 s, spread by half; two healthy minutes reset them."""
    bench.server.fail(LIST, 500, times=8)
    async with mirroring(bench) as mirror:
        await mirror.watches()
        delays = bench.time.slept[:8]
        for number, delay in enumerate(delays):
            base = min(0.8 * 2**number, 30)
            assert base * 0.5 <= delay <= min(base * 1.5, 30)
        bench.time.now += 130
        bench.time.slept.clear()
        bench.server.fail(WATCH, 500)
        bench.server.abort_watches()
        await faketime.until(lambda: bench.time.slept)
        assert bench.time.slept[0] <= 0.8 * 1.5


async def test_after_failures_in_a_row_it_lists_again(bench: conftest.Bench) -> None:
    """A watch that never works is no reason to show the past for ever."""
    bench.put("a", v="1")
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        await mirror.watches()
        bench.server.fail(WATCH, 500, times=5)
        bench.server.cut_watches()
        await faketime.until(lambda: mirror.lists == 2)


async def test_a_server_that_ends_watches_at_once_is_not_hammered(bench: conftest.Bench) -> None:
    """A watch without an event that ends within a second counts as a failure."""
    bench.server.answer(WATCH, b"", times=3)
    async with mirroring(bench) as mirror:
        await mirror.watches()
    assert len(bench.time.slept) == 3


async def test_a_silent_watch_is_renewed_without_a_list(bench: conftest.Bench) -> None:
    """Without bookmarks the stream is renewed after the inactivity timeout; no failure."""
    bench.server.has_bookmarks = False
    bench.put("a", v="1")
    # Real time passes only in the socket's read timeout: the clock has to follow it.
    settings = reflector.ReflectorSettings(inactivity=0.05, brief=0.0)
    async with mirroring(bench, settings) as mirror:
        await mirror.watches()
        bench.time.now += 1
        await faketime.until(lambda: bench.server.count(WATCH) > 2)
        bench.put("a", v="2")
        await mirror.shows(a="2")
        assert mirror.lists == 1


async def test_a_version_that_goes_backwards_lists_again(bench: conftest.Bench) -> None:
    """A server restored from a backup must not freeze the mirror."""
    bench.put("a", v="1")
    bench.put("lost", v="1")
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1", lost="1")
        await mirror.watches()
        bench.drop("lost")
        bench.server.restore_backup(50)
        bench.server.bookmark()
        await mirror.shows(a="1")
        await faketime.until(lambda: mirror.lists == 2)


async def test_an_unreadable_object_hides_no_others(bench: conftest.Bench) -> None:
    """A malformed object in a list or a watch is passed over."""
    bench.put("a", v="1")
    bench.server.put(
        conftest.ROOT, {"metadata": {"name": "bad", "namespace": "default"}, "data": "no map"}
    )
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        await mirror.watches()
        bench.server.put(
            conftest.ROOT, {"metadata": {"name": "worse", "namespace": "default"}, "data": [1]}
        )
        bench.put("b", v="2")
        await mirror.shows(a="1", b="2")
        assert mirror.lists == 1


async def test_garbage_in_a_watch_is_survived(bench: conftest.Bench) -> None:
    """What is not JSON, and event types nobody knows, end nothing but that stream."""
    bench.put("a", v="1")
    bench.server.answer(WATCH, b"{]\n")
    bench.server.answer(WATCH, json.dumps({"type": "NEWS", "object": {}}).encode() + b"\n")
    bench.server.answer(WATCH, b'{"type": "MODIFIED", "object": {"metadata": {"name": "\xff"}}}\n')
    bench.server.answer(LIST, b"<html>proxy</html>")
    bench.server.answer(LIST, b'{"metadata": {}, "items": [{"metadata": {"name": "\xff"}}]}')
    async with mirroring(bench) as mirror:
        await mirror.watches()
        bench.put("a", v="2")
        await mirror.shows(a="2")


async def test_a_slow_list_is_waited_for(bench: conftest.Bench) -> None:
    """An answer that takes its time is no failure."""
    bench.put("a", v="1")
    gate = bench.server.hold(LIST)
    async with mirroring(bench) as mirror:
        await faketime.until(lambda: bench.server.count(LIST))
        assert mirror.lists == 0
        gate.set()
        await mirror.shows(a="1")
        assert mirror.reports == []


async def test_refusals_are_reported_and_asked_again(bench: conftest.Bench) -> None:
    """Missing rights or a missing kind are told of, and noticed when they are mended."""
    bench.put("a", v="1")
    bench.server.fail(LIST, 403, reason="Forbidden", message="configmaps is forbidden", times=3)
    async with mirroring(bench) as mirror:
        await mirror.shows(a="1")
        assert [str(report) for report in mirror.reports[:3]] == ["configmaps is forbidden"] * 3
        assert mirror.reports[-1] is None


def _has_watched(bench: conftest.Bench, times: int) -> bool:
    return bench.server.count(WATCH) == times


async def test_watches_last_a_random_time(bench: conftest.Bench) -> None:
    """Many controllers do not reconnect at the same moment."""
    async with mirroring(bench) as mirror:
        for number in range(4):
            await faketime.until(functools.partial(_has_watched, bench, number + 1))
            await mirror.watches()
            bench.time.now += 5
            bench.server.cut_watches()
        await faketime.until(lambda: bench.server.count(WATCH) == 5)
    durations = {int(seen.query["timeoutSeconds"]) for seen in bench.server.seen if seen.is_watch}
    assert len(durations) > 2
    assert all(300 <= duration <= 600 for duration in durations)
