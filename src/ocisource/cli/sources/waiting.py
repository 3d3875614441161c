"""Waiting until an OCIRepository is done: kstatus, and failing as soon as it has failed.

Judged from top to bottom:

1. being deleted: terminating.
2. Ready=False for the present generation because a step failed: failed. (kstatus would go on
   waiting, because the controller goes on trying.)
3. the present generation is not observed, or Reconciling: in progress.
4. Stalled: failed.
5. Ready is True, or there is none: current. Else in progress.
"""

import asyncio
import enum
import typing
from collections.abc import Awaitable, Callable, Iterator

from ocisource import errors
from ocisource.api import conditions, ocirepository
from ocisource.wire import durations

if typing.TYPE_CHECKING:
    from ocisource.cli import cluster

_STEPS = ("FetchFailed", "StorageOperationFailed", "IncludeUnavailable", "AuthenticationFailed")
_VERIFIED = "SourceVerified"
_RETRYING = "ProgressingWithRetry"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two looks

Source = ocirepository.OCIRepository
Predicate = Callable[[Source], bool]


class State(enum.Enum):
    """How far an object is."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"


def state(obj: Source) -> tuple[State, str]:
    """State of an object, and the message that explains it."""
    found, generation = obj.status.conditions, obj.metadata.generation
    if obj.metadata.is_being_deleted:
        return State.TERMINATING, "Resource scheduled for deletion"
    ready = conditions.get(found, conditions.READY)
    if ready is not None and _has_failed(found, ready, generation):
        return State.FAILED, ready.message
    if obj.status.observed_generation not in {0, generation}:
        return State.IN_PROGRESS, ready.message if ready else ""
    for condition in found:
        if condition.type == conditions.RECONCILING and condition.is_true:
            return State.IN_PROGRESS, condition.message
        if condition.type == conditions.STALLED and condition.is_true:
            return State.FAILED, condition.message
    if ready is None or ready.is_true:
        return State.CURRENT, ready.message if ready else ""
    return State.IN_PROGRESS, ready.message


def is_observed(obj: Source) -> bool:
    """Whether the controller has judged the present generation."""
    ready = conditions.get(obj.status.conditions, conditions.READY)
    if ready is None:
        return False
    if ready.observed_generation:
        return ready.observed_generation == obj.metadata.generation
    return obj.status.observed_generation == obj.metadata.generation


async def settled(
    connection: "cluster.Connection",
    name: str,
    *,
    is_judged: Predicate,
    seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Source:
    """The object once it is judged and current.

    Raises ContentError with the object's message when it failed, DeadlineError at the connection's
    deadline, which is ``seconds`` after the command's start; APIStatusError.
    """
    message = ""
    try:
        async with asyncio.timeout_at(connection.deadline):
            for pause in _pauses():
                obj = await connection.api.get(
                    connection.sources, name, namespace=connection.namespace
                )
                how_far, message = state(obj)
                if is_judged(obj) and how_far is State.CURRENT:
                    return obj
                if is_judged(obj) and how_far is not State.IN_PROGRESS:
                    raise errors.ContentError(message)
                await sleep(pause)
    except TimeoutError:
        pass
    raise errors.DeadlineError(
        f"timed out after {durations.format_seconds(seconds)} waiting for {name}: "
        + (message or "no controller has taken notice of it")
    )


def revision(obj: Source) -> str:
    """The revision of the object's artifact, empty without one."""
    return obj.status.artifact.revision if obj.status.artifact is not None else ""


def _has_failed(found: conditions.Conditions, ready: conditions.Condition, generation: int) -> bool:
    if ready.status != conditions.FALSE or ready.observed_generation not in {0, generation}:
        return False
    reconciling = conditions.get(found, conditions.RECONCILING)
    if reconciling is not None and reconciling.reason == _RETRYING:
        return True
    if reconciling is not None and ready.reason == reconciling.reason:
        return False  # a run is on its way
    verified = conditions.get(found, _VERIFIED)
    if verified is not None and verified.status == conditions.FALSE:
        return True
    return any(conditions.is_true(found, step) for step in _STEPS)


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)
