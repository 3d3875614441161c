"""Events folded, grouped and thinned out as client-go does."""

import pytest

from ocisource.api import meta
from ocisource.kube import correlator, resources
from tests.simulators import faketime


@pytest.fixture
def time() -> faketime.FakeTime:
    """Time under the test's control."""
    return faketime.FakeTime()


def event(message: str, *, reason: str = "R", name: str = "o", at: str = "t0") -> resources.Event:
    """An event about an object."""
    return resources.Event(
        metadata=meta.ObjectMeta(name=f"{name}.{message}.{at}", annotations={"k": message}),
        involved_object=resources.ObjectReference(kind="K", namespace="n", name=name, uid="u"),
        reason=reason,
        message=message,
        source=resources.EventSource(component="c"),
        first_timestamp=at,
        last_timestamp=at,
        count=1,
    )


def test_equal_events_are_counted_under_the_first_ones_name(time: faketime.FakeTime) -> None:
    """What kubectl prints as (x3 over ...)."""
    folded = correlator.Correlator(clock=time.clock)
    seen = [folded.correlate(event("m", at=f"t{number}")) for number in range(3)]
    assert all(each is not None and each.key == seen[0].key for each in seen if seen[0])
    last = seen[-1]
    assert last is not None
    assert last.event.count == 3
    assert last.event.metadata.name == "o.m.t0"
    assert (last.event.first_timestamp, last.event.last_timestamp) == ("t0", "t2")


def test_from_the_tenth_message_on_similar_events_become_one(time: faketime.FakeTime) -> None:
    """Within ten minutes of each other; the one shows the newest message."""
    folded = correlator.Correlator(clock=time.clock)
    texts = []
    names = set()
    for number in range(14):
        found = folded.correlate(event(f"m{number}"))
        assert found is not None
        texts.append(found.event.message)
        names.add(found.event.metadata.name)
        time.now += 500
    assert texts[:9] == [f"m{number}" for number in range(9)]
    assert texts[9:] == [f"(combined from similar events): m{number}" for number in range(9, 14)]
    assert len(names) == 10
    assert found is not None
    assert found.event.count == 5
    assert found.event.metadata.annotations == {}


def test_ten_quiet_minutes_end_the_grouping(time: faketime.FakeTime) -> None:
    """After them an event stands for itself again."""
    folded = correlator.Correlator(clock=time.clock)
    for number in range(10):
        folded.correlate(event(f"m{number}"))
    time.now += 601
    found = folded.correlate(event("later"))
    assert found is not None
    assert found.event.message == "later"


def test_an_object_may_have_25_events_then_one_per_5_minutes(time: faketime.FakeTime) -> None:
    """Each object has its own budget; the counts go on for what is dropped."""
    folded = correlator.Correlator(clock=time.clock)
    passed = [folded.correlate(event("m")) is not None for _ in range(40)]
    assert passed == [True] * 25 + [False] * 15
    assert folded.correlate(event("m", name="other")) is not None
    time.now += 299
    assert folded.correlate(event("m")) is None
    time.now += 2
    found = folded.correlate(event("m"))
    assert found is not None
    assert found.event.count == 42


def test_only_the_subjects_used_last_are_remembered(time: faketime.FakeTime) -> None:
    """Memory is bounded, however many objects there are."""
    settings = correlator.CorrelatorSettings(memory=10)
    folded = correlator.Correlator(clock=time.clock, settings=settings)
    for number in range(100):
        folded.correlate(event("m", name=f"o{number}"))
    assert len(folded._seen) == len(folded._groups) == len(folded._budgets) == 10
    again = folded.correlate(event("m", name="o0"))
    assert again is not None
    assert again.event.count == 1


@pytest.mark.parametrize("name", ["short", "x" * 253, "x" * 235 + "." * 18])
def test_event_names_are_valid_however_long_the_objects(name: str) -> None:
    """A DNS subdomain of at most 253 characters, with the time in hex."""
    made = correlator.event_name(name, nanoseconds=0x17C0FFEE00000000)
    assert len(made) <= 253
    assert made.endswith("x.17c0ffee00000000") or made == "short.17c0ffee00000000"
