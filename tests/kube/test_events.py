"""The recorder: writes in the background, loses nothing it need not lose."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
import pytest

from ocisource import metrics
from ocisource.kube import events, losses, resources
from tests.kube import conftest
from tests.simulators import faketime, kubeapi

EVENTS = r"/namespaces/apps/events"
ABOUT = resources.ObjectReference(
    kind="Thing", namespace="apps", name="one", uid="u1", api_version="g/v1", resource_version="5"
)
NewRecorder = Callable[..., events.Recorder]


@pytest.fixture
async def new_recorder(
    new_client: conftest.NewClient, time: faketime.FakeTime
) -> AsyncIterator[NewRecorder]:
    """Recorders at work: ``new_recorder(is_running=True, …)``."""
    tasks = []

    def make(*, is_running: bool = True, **more: object) -> events.Recorder:
        made = events.Recorder(
            new_client(retries=0),
            component="source-controller",
            host="pod-1",
            clock=time.clock,
            wall=time.clock,
            sleep=time.skip,
            **more,  # type: ignore[arg-type]
        )
        if is_running:
            tasks.append(asyncio.create_task(made.run()))
        return made

    yield make
    for task in tasks:
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def record(recorder: events.Recorder, message: str = "m", **more: object) -> None:
    """Record a warning."""
    options: dict[str, object] = {"event_type": events.WARNING, "reason": "Failed"} | more
    recorder.record(ABOUT, message=message, **options)  # type: ignore[arg-type]


def stored(server: kubeapi.KubeAPI) -> list[kubeapi.Object]:
    """All events the server has."""
    return [obj for key, obj in sorted(server._objects.items()) if key[0] == "/api/v1/events"]


async def test_an_event_has_all_that_kubectl_shows(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """Whom it is about, who reports it, when, how often, and the annotations."""
    recorder = new_recorder()
    record(recorder, "it broke", annotations={"a/b": "c"})
    assert await recorder.flush(5)
    (found,) = stored(server)
    assert found["involvedObject"] == {
        "kind": "Thing",
        "namespace": "apps",
        "name": "one",
        "uid": "u1",
        "apiVersion": "g/v1",
        "resourceVersion": "5",
    }
    assert found["metadata"]["name"].startswith("one.")
    assert found["metadata"]["annotations"] == {"a/b": "c"}
    assert (found["type"], found["reason"], found["message"]) == ("Warning", "Failed", "it broke")
    assert found["source"] == {"component": "source-controller"}
    assert found["reportingComponent"] == "source-controller"
    assert found["firstTimestamp"] == found["lastTimestamp"]
    assert found["count"] == 1


async def test_repetitions_patch_the_count(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder, time: faketime.FakeTime
) -> None:
    """Nine failures in four seconds are one event: ``(x9 over 4s)``."""
    recorder = new_recorder()
    for _ in range(9):
        record(recorder)
        assert await recorder.flush(5)
        time.now += 0.5
    (found,) = stored(server)
    assert found["count"] == 9
    assert found["firstTimestamp"] < found["lastTimestamp"]
    assert server.count("^POST") == 1
    assert server.count("^PATCH") == 8
    patched = [seen for seen in server.seen if seen.method == "PATCH"][-1]
    assert json.loads(patched.body).keys() == {"count", "lastTimestamp", "message"}


async def test_an_expired_event_is_created_anew(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """An API server keeps events for an hour; the count goes on."""
    recorder = new_recorder()
    record(recorder)
    assert await recorder.flush(5)
    (found,) = stored(server)
    server.drop("api/v1/events", found["metadata"]["name"], "apps")
    record(recorder)
    assert await recorder.flush(5)
    (again,) = stored(server)
    assert again["count"] == 2


async def test_what_waits_is_folded(server: kubeapi.KubeAPI, new_recorder: NewRecorder) -> None:
    """While the API is away, repetitions take one place in the queue and one write."""
    recorder = new_recorder(is_running=False)
    for _ in range(20):
        record(recorder)
    task = asyncio.create_task(recorder.run())
    assert await recorder.flush(5)
    assert server.count("^POST") == 1
    assert server.count("^PATCH") == 0
    assert stored(server)[0]["count"] == 20
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_outage_of_the_api_loses_no_event(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """500s, 429s and lost connections are tried again."""
    server.fail(EVENTS, 500, times=3)
    server.reset(EVENTS, times=2)
    server.fail(EVENTS, 429, times=2)
    recorder = new_recorder()
    record(recorder)
    record(recorder, "another")
    assert await recorder.flush(20)
    assert {found["message"] for found in stored(server)} == {"m", "another"}


async def test_a_rejected_event_holds_up_no_others(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """A namespace that is going away forbids events; that is not tried again."""
    server.fail(EVENTS, 403, reason="Forbidden")
    recorder = new_recorder()
    record(recorder, "lost")
    record(recorder, "kept")
    assert await recorder.flush(5)
    assert [found["message"] for found in stored(server)] == ["kept"]


async def test_the_lanes_are_bounded_and_record_never_waits(new_recorder: NewRecorder) -> None:
    """More different events than there is room for are dropped and counted, each lane's apart."""
    settings = events.RecorderSettings(news=3, routine=2)
    observed = metrics.Metrics()
    recorder = new_recorder(is_running=False, settings=settings, observed=observed)
    for number in range(5):
        record(recorder, f"m{number}")
    for number in range(4):
        record(recorder, f"r{number}", is_routine=True)
    record(recorder, "m0")
    assert (recorder.lost.total, recorder.lost_routine.total) == (2, 2)
    assert not recorder.has_room_for_routine()
    exposition = observed.exposition().decode()
    assert 'ocisource_events_dropped_total{queue="news"} 2.0' in exposition
    assert 'ocisource_events_dropped_total{queue="routine"} 3.0' in exposition


async def test_losses_are_logged_once_an_interval(
    new_recorder: NewRecorder, time: faketime.FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """With how many there were since the last line."""
    caplog.set_level("ERROR", "ocisource.events")
    recorder = new_recorder(is_running=False, settings=events.RecorderSettings(news=1))
    for number in range(5):
        record(recorder, f"m{number}")
    time.now += losses.INTERVAL
    record(recorder, "one more")
    said = [line.__dict__["ocisource_fields"]["count"] for line in caplog.records]
    assert said == [1, 4]
    assert {line.getMessage() for line in caplog.records} == {"events are dropped"}


async def test_a_cold_start_of_ten_thousand_objects_loses_no_news(
    new_recorder: NewRecorder,
) -> None:
    """NewArtifact and a failure of each fit while the API takes nothing; routine takes no room."""
    recorder = new_recorder(is_running=False)
    for number in range(10_000):
        about = msgspec.structs.replace(ABOUT, name=f"app-{number}", uid=f"u{number}")
        for reason in ("ArtifactUpToDate", "NewArtifact", "OCIArtifactPullFailed"):
            is_routine = reason == "ArtifactUpToDate"
            recorder.record(
                about,
                event_type=events.NORMAL,
                reason=reason,
                message="m",
                is_trace=is_routine,
                is_routine=is_routine,
            )
    assert recorder.lost.total == 0
    assert recorder.lost_routine.total == 10_000 - events.DEFAULTS.routine


async def test_news_is_written_by_several_writers_and_each_event_by_one(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """A slow answer holds up its own event's repetitions and no other event."""
    gate = server.hold(EVENTS, times=1)
    recorder = new_recorder()
    record(recorder, "slow")
    await faketime.until(lambda: server.count("^POST"))
    record(recorder, "slow")
    for number in range(3):
        record(recorder, f"m{number}")
    await faketime.until(lambda: len(stored(server)) >= 3)
    assert {found["message"] for found in stored(server)} == {"m0", "m1", "m2"}
    gate.set()
    assert await recorder.flush(5)
    (found,) = (each for each in stored(server) if each["message"] == "slow")
    assert found["count"] == 2
    assert (server.count("^POST"), server.count("^PATCH")) == (4, 1)


async def test_routine_is_paced_and_what_waits_is_folded(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """After the burst one a second here; a repetition meanwhile costs no write of its own."""
    settings = events.RecorderSettings(routine_qps=1.0, routine_burst=2)
    recorder = events.Recorder(
        new_client(retries=0),
        component="source-controller",
        settings=settings,
        clock=time.clock,
        wall=time.clock,
        sleep=time.sleep,
    )
    task = asyncio.create_task(recorder.run())
    for _ in range(3):
        for number in range(3):
            record(recorder, f"r{number}", is_routine=True)
    await faketime.until(lambda: time.sleepers)
    assert {found["message"] for found in stored(server)} == {"r0", "r1"}
    record(recorder, "news")  # whose writers know no pace
    await faketime.until(lambda: len(stored(server)) >= 3)
    record(recorder, "r2", is_routine=True)
    await time.advance(1.0)
    await faketime.until(lambda: len(stored(server)) >= 4)
    counts = {found["message"]: found["count"] for found in stored(server)}
    assert counts == {"r0": 3, "r1": 3, "news": 1, "r2": 4}
    assert server.count("^PATCH") == 0
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_routine_whose_turn_comes_in_the_same_second_is_written_together(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """One awakening for all of them, and no more than the pace allows."""
    settings = events.RecorderSettings(routine_qps=4.0, routine_burst=4, routine_group=3)
    recorder = events.Recorder(
        new_client(retries=0),
        component="source-controller",
        settings=settings,
        clock=time.clock,
        wall=time.clock,
        sleep=time.sleep,
    )
    for number in range(9):
        record(recorder, f"r{number}", is_routine=True)
    task = asyncio.create_task(recorder.run())
    await faketime.until(lambda: time.sleepers)
    assert {found["message"] for found in stored(server)} == {"r0", "r1", "r2", "r3"}
    gate = server.hold("^POST", times=3)
    await time.advance(1.0)
    await faketime.until(lambda: server.count("^POST") == 7)  # three on their way at once
    gate.set()
    await faketime.until(lambda: time.sleepers)
    assert len(stored(server)) == 8  # the fourth of this second has followed
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_event_that_is_given_up_counts_as_lost(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """After a dozen tries."""
    server.fail(EVENTS, 500, times=12)
    recorder = new_recorder()
    record(recorder, "lost")
    assert await recorder.flush(20)
    assert recorder.lost.total == 1
    assert stored(server) == []


async def test_a_flush_has_an_end(server: kubeapi.KubeAPI, new_recorder: NewRecorder) -> None:
    """A stop is not held up by an API that hangs."""
    gate = server.hold(EVENTS)
    recorder = new_recorder()
    record(recorder)
    assert not await recorder.flush(0.05)
    gate.set()
    assert await recorder.flush(5)


class Forwarder:
    """Remembers what is forwarded."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def forward(
        self,
        about: resources.ObjectReference,
        *,
        event_type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str],
        at: float,
    ) -> None:
        """Take an event."""
        self.messages.append(message)


async def test_all_but_traces_are_forwarded_uncorrelated(
    server: kubeapi.KubeAPI, new_recorder: NewRecorder
) -> None:
    """The receiver decides for itself what is a duplicate."""
    forwarder = Forwarder()
    recorder = new_recorder(forwarder=forwarder)
    record(recorder, "one")
    record(recorder, "one")
    record(recorder, "trace", event_type=events.NORMAL, is_trace=True)
    assert await recorder.flush(5)
    assert forwarder.messages == ["one", "one"]
    assert {found["message"] for found in stored(server)} == {"one", "trace"}


async def test_very_long_texts_are_cut(server: kubeapi.KubeAPI, new_recorder: NewRecorder) -> None:
    """An error of a megabyte is no reason for the API to refuse the event."""
    recorder = new_recorder()
    record(recorder, "x" * 1_000_000)
    assert await recorder.flush(5)
    assert len(stored(server)[0]["message"]) == 16 * 1024
