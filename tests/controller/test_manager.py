"""The controller's workers: what they do with results, errors and cancellations."""

import asyncio
import contextlib
import dataclasses
import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ocisource import errors, logs, metrics
from ocisource.controller import manager, measures, request, workqueue
from tests.simulators import faketime

A, B = request.Request("ns", "a"), request.Request("ns", "b")
Reconcile = Callable[[request.Request], Awaitable[request.Result]]


@dataclasses.dataclass(slots=True)
class Works:
    """A controller at work on made-up time."""

    controller: manager.Controller
    queue: workqueue.Workqueue[request.Request]
    time: faketime.FakeTime
    observed: metrics.Metrics
    task: asyncio.Task[None]

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.observed.registry.get_sample_value(name, {"controller": "test"} | labels)


@contextlib.asynccontextmanager
async def working(
    reconcile: Reconcile, *, concurrency: int = 2, grace: float = 5.0, kind: str = ""
) -> AsyncIterator[Works]:
    """A running controller, stopped at the end."""
    time = faketime.FakeTime()
    observed = metrics.Metrics()
    counts = measures.QueueMeasures(observed, name="test")
    queue: workqueue.Workqueue[request.Request] = workqueue.Workqueue(
        clock=time.clock, sleep=time.sleep, observer=counts
    )
    counts.attach(queue, clock=time.clock)
    controller = manager.Controller(
        "test",
        reconcile,
        queue=queue,
        concurrency=concurrency,
        observed=observed,
        clock=time.clock,
        kind=kind,
    )
    task = asyncio.create_task(controller.run(grace=grace))
    works = Works(controller, queue, time, observed, task)
    try:
        yield works
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Runs:
    """A reconcile function that follows a script and remembers its runs."""

    def __init__(self, *script: request.Result | Exception) -> None:
        self.script = list(script)
        self.keys: list[request.Request] = []

    async def __call__(self, key: request.Request) -> request.Result:
        """Do the next thing of the script, then nothing."""
        self.keys.append(key)
        step = self.script.pop(0) if self.script else request.Result()
        if isinstance(step, Exception):
            raise step
        return step


async def test_outcomes_are_counted_from_nothing() -> None:
    """A share of failures can be drawn before the first one: it is 0, not "no data"."""
    async with working(Runs()) as works:
        for outcome in ("success", "error", "requeue", "requeue_after"):
            assert works.sample("controller_runtime_reconcile_total", result=outcome) == 0
        assert works.sample("controller_runtime_reconcile_errors_total") == 0


async def test_a_success_ends_the_backoff_and_waits_for_the_interval() -> None:
    """A second late at most, and never early; the failures before are forgotten."""
    runs = Runs(errors.StorageError("full"), request.Result(requeue_after=60.0))
    async with working(runs) as works:
        works.queue.add(A)
        await works.time.advance(0.75)
        assert runs.keys == [A, A]
        assert works.queue.failures(A) == 0
        await works.time.advance(59.875)
        assert len(runs.keys) == 2
        await works.time.advance(1.125)
        assert len(runs.keys) == 3
        assert works.sample("controller_runtime_reconcile_total", result="error") == 1
        assert works.sample("controller_runtime_reconcile_total", result="requeue_after") == 1
        assert works.sample("controller_runtime_reconcile_total", result="success") == 1
        assert works.sample("controller_runtime_reconcile_errors_total") == 1


async def test_errors_are_tried_again_with_growing_pauses() -> None:
    """750 ms, 1.5 s, 3 s."""
    runs = Runs(*(errors.StorageError("full") for _ in range(3)))
    async with working(runs) as works:
        works.queue.add(A)
        await works.time.advance(0.75)
        assert len(runs.keys) == 2
        await works.time.advance(1.4)
        assert len(runs.keys) == 2
        await works.time.advance(0.1)
        assert len(runs.keys) == 3
        await works.time.advance(3)
        assert len(runs.keys) == 4


async def test_an_errors_own_retry_after_replaces_the_backoff() -> None:
    """The worker is free meanwhile; those sent away do not come back together."""
    runs = Runs(errors.TooManyRequestsError("slow down", retry_after=100.0))
    async with working(runs) as works:
        works.queue.add(A)
        await works.time.advance(99)
        assert len(runs.keys) == 1
        assert works.queue.failures(A) == 0
        await works.time.advance(11)
        assert len(runs.keys) == 2


async def test_requeue_now_is_rate_limited() -> None:
    """Immediately means: as soon as the back-off allows."""
    runs = Runs(request.Result(is_requeue_now=True), request.Result(is_requeue_now=True))
    async with working(runs) as works:
        works.queue.add(A)
        await works.time.advance(0.75)
        assert len(runs.keys) == 2
        await works.time.advance(1.5)
        assert len(runs.keys) == 3
        assert works.sample("controller_runtime_reconcile_total", result="requeue") == 2


async def test_a_bug_in_a_run_ends_no_worker() -> None:
    """An exception nobody foresaw is an error like others, logged with its place."""
    runs = Runs(ZeroDivisionError("boom"), RecursionError("deep"))
    async with working(runs, concurrency=1) as works:
        works.queue.add(A)
        works.queue.add(B)
        await works.time.advance(10)
        assert runs.keys == [A, B, A, B]


async def test_all_lines_of_a_run_bear_its_id_and_whom_it_is_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also those that lower rooms write, and the line of its failure; the next run has another."""
    caplog.set_level("INFO", "ocisource")

    async def runs(key: request.Request) -> request.Result:
        logs.get("registry").info("asked", host="127.0.0.1")
        raise errors.StorageError("full")

    async with working(runs, kind="Thing") as works:
        works.queue.add(A)
        await works.time.advance(0.75)
    lines = [record.__dict__["ocisource_fields"] for record in caplog.records]
    about = {"namespace": A.namespace, "name": A.name}
    assert all(about.items() <= line.items() and line["Thing"] == about for line in lines)
    assert [line.get("host") for line in lines] == ["127.0.0.1", None, "127.0.0.1", None]
    ids = [str(line["reconcileID"]) for line in lines]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert all(str(uuid.UUID(each)) == each for each in ids)


async def test_a_key_is_never_reconciled_twice_at_once() -> None:
    """Two workers, one object: the second run waits for the first."""
    gate = asyncio.Event()
    running: list[request.Request] = []
    most = 0

    async def reconcile(key: request.Request) -> request.Result:
        nonlocal most
        running.append(key)
        most = max(most, running.count(key))
        await gate.wait()
        running.remove(key)
        return request.Result()

    async with working(reconcile) as works:
        works.queue.add(A)
        await faketime.settle()
        works.queue.add(A)
        works.queue.add(B)
        await faketime.settle()
        assert works.controller.in_work == {A, B}
        assert works.sample("controller_runtime_active_workers") == 2
        gate.set()
        await faketime.settle()
        assert most == 1
        assert works.sample("controller_runtime_active_workers") == 0
        assert works.sample("controller_runtime_max_concurrent_reconciles") == 2


async def test_cancel_calls_a_run_off_and_starts_it_anew() -> None:
    """A newer generation does not wait for the old fetch, and costs no back-off."""
    seen: list[str] = []

    async def reconcile(key: request.Request) -> request.Result:
        if seen:
            seen.append("new run")
            return request.Result()
        seen.append("old run")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("old run tidied up")
        return request.Result()

    async with working(reconcile) as works:
        assert not works.controller.cancel(A)
        works.queue.add(A)
        await faketime.settle()
        assert works.controller.cancel(A)
        await faketime.settle()
        assert seen == ["old run", "old run tidied up", "new run"]
        assert works.queue.failures(A) == 0
        assert works.sample("controller_runtime_reconcile_total", result="requeue") == 1


async def test_a_run_called_off_twice_leaves_its_worker_as_it_was() -> None:
    """Two newer generations while the old run tidies up: one cancellation, taken back."""
    seen: list[str] = []
    tidied = asyncio.Event()

    async def reconcile(key: request.Request) -> request.Result:
        if not seen:
            seen.append("old run")
            try:
                await asyncio.Event().wait()
            finally:
                await tidied.wait()
                seen.append("old run tidied up")
        # A worker that still counted as cancelled could not tell its own deadline.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        seen.append("new run")
        return request.Result()

    async with working(reconcile, concurrency=1) as works:
        works.queue.add(A)
        await faketime.settle()
        assert works.controller.cancel(A)
        await faketime.settle()
        assert works.controller.cancel(A)
        await faketime.settle()
        tidied.set()
        await faketime.settle()
        assert seen == ["old run", "old run tidied up", "new run"]
        assert works.sample("controller_runtime_reconcile_errors_total") in {None, 0}


async def test_a_run_that_succeeds_though_called_off_costs_its_worker_nothing() -> None:
    """What it found counts, it runs again, and the worker can still be stopped."""
    runs = 0

    async def reconcile(key: request.Request) -> request.Result:
        nonlocal runs
        runs += 1
        if runs == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        else:
            await asyncio.sleep(0)
        return request.Result()

    async with working(reconcile, concurrency=1) as works:
        works.queue.add(A)
        await faketime.settle()
        works.controller.cancel(A)
        await faketime.settle()
        assert runs == 2
        assert works.sample("controller_runtime_reconcile_total", result="success") == 2
        works.task.cancel()
        await asyncio.wait_for(asyncio.wait([works.task]), 5)


async def test_a_run_cancelled_from_within_is_an_error() -> None:
    """A library that raises CancelledError by itself must not end the worker."""
    runs = 0

    async def reconcile(key: request.Request) -> request.Result:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise asyncio.CancelledError
        return request.Result()

    async with working(reconcile, concurrency=1) as works:
        works.queue.add(A)
        await works.time.advance(0.75)
        assert runs == 2
        assert works.sample("controller_runtime_reconcile_errors_total") == 1


async def test_stopping_lets_runs_in_work_end() -> None:
    """No new run begins, the running one ends by itself."""
    gate = asyncio.Event()
    ended: list[request.Request] = []

    async def reconcile(key: request.Request) -> request.Result:
        await gate.wait()
        ended.append(key)
        return request.Result()

    async with working(reconcile, concurrency=1) as works:
        works.queue.add(A)
        works.queue.add(B)
        await faketime.settle()
        works.task.cancel()
        await faketime.settle()
        assert not works.task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await works.task
    assert ended == [A]


async def test_a_run_that_outlasts_the_grace_is_cancelled() -> None:
    """A stop is never held up by a slow registry."""
    cancelled: list[request.Request] = []

    async def reconcile(key: request.Request) -> request.Result:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(key)
            raise
        return request.Result()

    async with working(reconcile, grace=0.01) as works:
        works.queue.add(A)
        await faketime.settle()
    assert cancelled == [A]
    assert works.sample("controller_runtime_reconcile_errors_total") in {None, 0}


async def test_a_run_that_will_not_end_is_left_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stop goes on; the log names the object."""
    gate = asyncio.Event()

    async def reconcile(key: request.Request) -> request.Result:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()
        return request.Result()

    async with working(reconcile, grace=0.01) as works:
        works.queue.add(A)
        await faketime.settle()
        works.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await works.task
        assert caplog.records[-1].__dict__["ocisource_fields"]["error"] == "still in work: ns/a"
        gate.set()
        await faketime.settle()


async def test_a_broken_queue_ends_the_controller_with_its_error() -> None:
    """What nobody can work with is not worked around."""

    class Broken(workqueue.Workqueue[request.Request]):
        async def get(self) -> request.Request | None:
            raise RuntimeError("broken")

    controller = manager.Controller("test", Runs(), queue=Broken(), concurrency=2)
    with pytest.raises(RuntimeError, match="broken"):
        await controller.run(grace=0.01)
    # Of the other worker's failure nobody is told once more, from the collector.
    gc.collect()


async def test_workers_wait_for_the_caches() -> None:
    """No object is reconciled, or taken for gone, before the first list."""
    gate = asyncio.Event()

    class Cache:
        async def wait_synced(self) -> None:
            await gate.wait()

    runs = Runs()
    queue: workqueue.Workqueue[request.Request] = workqueue.Workqueue()
    controller = manager.Controller("test", runs, queue=queue, waits_for=[Cache()])
    task = asyncio.create_task(controller.run())
    queue.add(A)
    await faketime.settle()
    assert runs.keys == []
    gate.set()
    await faketime.settle()
    assert runs.keys == [A]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_queue_metrics_bear_client_gos_names() -> None:
    """Existing dashboards read them."""
    gate = asyncio.Event()

    async def reconcile(key: request.Request) -> request.Result:
        await gate.wait()
        return request.Result()

    async with working(reconcile, concurrency=1) as works:

        def value(name: str) -> float | None:
            return works.observed.registry.get_sample_value(name, {"name": "test"})

        works.queue.add(A)
        works.queue.add(B)
        await faketime.settle()
        works.time.now += 7
        assert value("workqueue_depth") == 1
        assert value("workqueue_adds_total") == 2
        assert value("workqueue_longest_running_processor_seconds") == 7
        assert value("workqueue_unfinished_work_seconds") == 7
        gate.set()
        await faketime.settle()
        assert value("workqueue_work_duration_seconds_count") == 2
        assert value("workqueue_queue_duration_seconds_sum") == 7
        assert value("workqueue_unfinished_work_seconds") == 0
