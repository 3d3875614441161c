"""What every recorded status must be: valid, and judged by kstatus as its conditions mean it."""

import re
from collections.abc import Sequence

from ocisource.api import conditions, kstatus, ocirepository
from ocisource.reconciler import reasons

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Object = ocirepository.OCIRepository


def check(history: Sequence[Object]) -> None:
    """Fail on the first state that is not valid or contradicts itself."""
    for obj in history:
        _check_conditions(obj)
        _check_meaning(obj)


def _check_conditions(obj: Object) -> None:
    found = obj.status.conditions
    types = [condition.type for condition in found]
    assert len(types) == len(set(types)), types
    assert found == conditions.ordered(found), types
    assert not {"Stalled", "Reconciling"} <= set(types), "they exclude each other"
    for condition in found:
        assert condition.status in {"True", "False", "Unknown"}
        assert _REASON.fullmatch(condition.reason), condition
        assert _MOMENT.fullmatch(condition.last_transition_time), condition
        assert 0 < condition.observed_generation <= obj.metadata.generation
        if condition.type in reasons.NEGATIVE:
            assert condition.is_true, "one that is bad when True is removed, never False"


def _check_meaning(obj: Object) -> None:
    judged, message = kstatus.state(obj)
    status = obj.status
    ready = conditions.get(status.conditions, conditions.READY)
    if not status.conditions or obj.metadata.is_being_deleted:
        return
    assert ready is not None
    if conditions.is_true(status.conditions, conditions.STALLED):
        is_observed = status.observed_generation == obj.metadata.generation
        assert judged is (kstatus.State.FAILED if is_observed else kstatus.State.IN_PROGRESS)
        assert not ready.is_true
    elif judged is kstatus.State.CURRENT:
        assert ready.is_true
        assert status.artifact is not None
        assert status.url
        assert status.observed_generation == obj.metadata.generation
        assert message.startswith("stored artifact for digest '")
    else:
        assert judged is kstatus.State.IN_PROGRESS
        if status.observed_generation == obj.metadata.generation:
            assert not ready.is_true
