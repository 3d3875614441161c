"""The workqueue: one place per key, back-off, delays, priorities, a clean end."""

import asyncio
import contextlib

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource.controller import request, workqueue
from tests.simulators import faketime

USER, INTERVAL = request.Priority.USER, request.Priority.INTERVAL


@pytest.fixture
def time() -> faketime.FakeTime:
    """Time under the test's control."""
    return faketime.FakeTime()


def new_queue(time: faketime.FakeTime, **more: object) -> workqueue.Workqueue[str]:
    """A queue on made-up time."""
    return workqueue.Workqueue(clock=time.clock, sleep=time.sleep, **more)  # type: ignore[arg-type]


async def drain(queue: workqueue.Workqueue[str]) -> list[str]:
    """Take and finish all keys that wait."""
    taken = []
    while len(queue):
        key = await queue.get()
        assert key is not None
        taken.append(key)
        queue.done(key)
    return taken


async def test_a_key_added_twice_waits_once(time: faketime.FakeTime) -> None:
    """Many changes of one object are one piece of work."""
    queue = new_queue(time)
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert await drain(queue) == ["a", "b"]


async def test_a_key_in_work_is_not_handed_out_again(time: faketime.FakeTime) -> None:
    """Added while in work, a key waits until that work is done."""
    queue = new_queue(time)
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    assert queue.is_waiting("a")
    queue.done("a")
    assert await drain(queue) == ["a"]


async def test_user_actions_go_before_interval_work(time: faketime.FakeTime) -> None:
    """Somebody who waits is served first, in order of arrival."""
    queue = new_queue(time)
    for key in ("i1", "i2"):
        queue.add(key, INTERVAL)
    for key in ("u1", "u2"):
        queue.add(key, USER)
    assert await drain(queue) == ["u1", "u2", "i1", "i2"]


async def test_a_waiting_key_gains_priority_and_never_loses_it(time: faketime.FakeTime) -> None:
    """A user's wish lifts a key; routine does not push it back."""
    queue = new_queue(time)
    queue.add("a", INTERVAL)
    queue.add("b", INTERVAL)
    queue.add("b", USER)
    queue.add("b", INTERVAL)
    assert await drain(queue) == ["b", "a"]


async def test_a_key_in_work_keeps_the_best_priority_asked_for(time: faketime.FakeTime) -> None:
    """What was asked during the work counts afterwards."""
    queue = new_queue(time)
    queue.add("a")
    await queue.get()
    queue.add("a", USER)
    queue.add("a", INTERVAL)
    queue.add("b", INTERVAL)
    queue.done("a")
    assert await drain(queue) == ["a", "b"]


async def test_a_flood_of_user_actions_does_not_starve_interval_work(
    time: faketime.FakeTime,
) -> None:
    """Every eighth key is taken from interval work."""
    queue = new_queue(time)
    for number in range(20):
        queue.add(f"u{number}", USER)
    queue.add("i0", INTERVAL)
    queue.add("i1", INTERVAL)
    taken = await drain(queue)
    assert taken.index("i0") == 7
    assert taken.index("i1") == 15


async def test_backoff_doubles_from_750_ms_to_15_min_per_key(time: faketime.FakeTime) -> None:
    """Each key has its own back-off, which forget() ends."""
    queue = new_queue(time)
    delays = [queue.add_rate_limited("a") for _ in range(13)]
    assert delays[:4] == [0.75, 1.5, 3.0, 6.0]
    assert delays[10:] == [768.0, 900.0, 900.0]
    assert queue.add_rate_limited("b") == 0.75
    assert queue.failures("a") == 13
    queue.forget("a")
    assert queue.add_rate_limited("a") == 0.75
    queue.shut_down()
    await faketime.settle()


def test_backoff_survives_any_number_of_failures() -> None:
    """No count of failures overflows."""
    assert workqueue.Retry().delay(100_000) == 900.0


async def test_delayed_adds_come_when_due_and_in_order(time: faketime.FakeTime) -> None:
    """The timer follows the earliest of all delays."""
    queue = new_queue(time)
    queue.add_after("late", 10)
    queue.add_after("early", 2)
    queue.add_after("now", 0)
    assert await drain(queue) == ["now"]
    await time.advance(1.9)
    assert len(queue) == 0
    await time.advance(0.2)
    assert await drain(queue) == ["early"]
    await time.advance(8)
    assert await drain(queue) == ["late"]


async def test_the_earliest_delayed_add_of_a_key_counts(time: faketime.FakeTime) -> None:
    """A later delay does not put an earlier one off, an earlier one comes forward."""
    queue = new_queue(time)
    queue.add_after("a", 5)
    queue.add_after("a", 50)
    assert queue.delayed_until("a") == time.now + 5
    queue.add_after("a", 1)
    await time.advance(1)
    assert await drain(queue) == ["a"]
    await time.advance(100)
    assert len(queue) == 0


async def test_taking_a_key_drops_its_delayed_add(time: faketime.FakeTime) -> None:
    """A run decides anew when the next one is due."""
    queue = new_queue(time)
    queue.add_after("a", 60)
    queue.add("a")
    await queue.get()
    queue.add_after("a", 300)
    queue.done("a")
    await time.advance(299)
    assert len(queue) == 0
    await time.advance(1)
    assert await drain(queue) == ["a"]


async def test_a_delayed_add_keeps_its_priority(time: faketime.FakeTime) -> None:
    """A user's delayed wish is still a user's wish when it is due."""
    queue = new_queue(time)
    queue.add("routine", INTERVAL)
    queue.add_after("wish", 1, INTERVAL)
    queue.add_after("wish", 5, USER)
    await time.advance(1)
    assert await drain(queue) == ["wish", "routine"]


async def test_discard_forgets_all_about_a_key(time: faketime.FakeTime) -> None:
    """An object that left has no place, no delay and no back-off."""
    queue = new_queue(time)
    queue.add("a")
    queue.add_rate_limited("a")
    queue.discard("a")
    await time.advance(1000)
    assert len(queue) == 0
    assert queue.failures("a") == 0


async def test_many_replaced_delays_do_not_pile_up(time: faketime.FakeTime) -> None:
    """Delays that were dropped leave nothing behind for long."""
    queue = new_queue(time)
    for number in range(10_000):
        queue.add_after("a", 1000 - number / 100)
        queue._delayed.drop("a")
    assert len(queue._delayed._moments) <= 100
    queue.shut_down()
    await faketime.settle()


async def test_shut_down_wakes_getters_and_takes_no_more(time: faketime.FakeTime) -> None:
    """Every waiting worker learns of the end."""
    queue = new_queue(time)
    getters = [asyncio.create_task(queue.get()) for _ in range(3)]
    queue.add_after("later", 60)
    await faketime.settle()
    queue.shut_down()
    assert await asyncio.gather(*getters) == [None, None, None]
    queue.add("a")
    queue.add_after("b", 1)
    assert await queue.get() is None
    await time.advance(100)
    assert len(queue) == 0


async def test_a_cancelled_getter_passes_its_wake_up_on(time: faketime.FakeTime) -> None:
    """No key is left waiting because the worker it woke was cancelled."""
    queue = new_queue(time)
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await faketime.settle()
    queue.add("a")
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 5) == "a"


async def test_wait_idle_waits_for_work_in_progress(time: faketime.FakeTime) -> None:
    """Idle means: none waits and none is in work."""
    queue = new_queue(time)
    queue.add("a")
    await queue.get()
    idle = asyncio.create_task(queue.wait_idle())
    await faketime.settle()
    assert not idle.done()
    queue.done("a")
    await asyncio.wait_for(idle, 5)


class Counts:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def added(self) -> None:
        """Remember."""
        self.calls.append(("added",))

    def taken(self, *, waited: float) -> None:
        """Remember."""
        self.calls.append(("taken", waited))

    def finished(self, *, worked: float) -> None:
        """Remember."""
        self.calls.append(("finished", worked))

    def retried(self) -> None:
        """Remember."""
        self.calls.append(("retried",))


async def test_the_observer_hears_of_waits_work_and_retries(time: faketime.FakeTime) -> None:
    """Metrics get time waited and time worked."""
    counts = Counts()
    queue = new_queue(time, observer=counts)
    queue.add("a")
    await time.advance(2)
    await queue.get()
    await time.advance(3)
    queue.done("a")
    queue.add_rate_limited("a")
    assert counts.calls == [("added",), ("taken", 2.0), ("finished", 3.0), ("retried",)]
    queue.shut_down()
    await faketime.settle()


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "user", "after", "limited", "get", "done", "advance"]),
            st.sampled_from("abc"),
        ),
        max_size=60,
    )
)
@hypothesis.settings(max_examples=60)
def test_no_key_is_lost_or_handed_out_twice(steps: list[tuple[str, str]]) -> None:
    """Whatever happens in whatever order, each added key is worked on after its last add."""

    async def scenario() -> None:
        time = faketime.FakeTime()
        queue = new_queue(time)
        owed: set[str] = set()  # added since they were last taken
        working: list[str] = []
        for step, key in steps:
            if step in {"add", "user"}:
                queue.add(key, USER if step == "user" else INTERVAL)
                owed.add(key)
            elif step == "after":
                queue.add_after(key, 5)
                owed.add(key)
            elif step == "limited":
                queue.add_rate_limited(key)
                owed.add(key)
            elif step == "get" and len(queue):
                taken = await queue.get()
                assert taken is not None
                assert taken not in working
                working.append(taken)
                owed.discard(taken)
            elif step == "done" and working:
                queue.done(working.pop(0))
            elif step == "advance":
                await time.advance(7)
        for key in working:
            queue.done(key)
        await time.advance(10_000)
        assert set(await drain(queue)) >= owed
        queue.shut_down()
        await faketime.settle()

    asyncio.run(scenario())


async def test_keys_due_within_a_small_part_of_their_delay_come_together(
    time: faketime.FakeTime,
) -> None:
    """One awakening serves many; nobody is early, and nobody late by more than a 32nd."""
    queue = new_queue(time)
    for number in range(8):
        queue.add_after(f"long-{number}", 60 + number / 32)
        queue.add_after(f"short-{number}", 2 + number / 128)
    await time.advance(2 + 1 / 16)
    assert len(queue) == 8
    await time.advance(58 - 1 / 16)
    assert len(queue) == 9  # the one that is due to the point
    await time.advance(1.0)
    assert len(queue) == 16
    queue.shut_down()
    await faketime.settle()
    # One sleep for each moment, and none for each key.
    assert len(time.slept) < 8
