"""Summarize: pure rules from what a run found to conditions, status and the queue's answer.

    succeeded    Reconciling and Stalled go, observedGeneration is recorded, requeue after interval
    stalled      Stalled is set with the error's reason, observedGeneration is recorded, no requeue
    failed       Stalled goes, Reconciling keeps its reason, nothing is recorded, back-off

Ready is then computed from the other conditions (``reasons.PRIORITY``).
"""

import dataclasses
import enum

import msgspec

from ocisource.api import conditions, ocirepository
from ocisource.reconciler import reasons, steps


class Answer(enum.Enum):
    """What the queue is told."""

    AFTER_INTERVAL = "after interval"
    BACK_OFF = "back off"
    NEVER = "never"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The status to be written, the queue's answer and, for a failure, its text."""

    status: ocirepository.Status
    answer: Answer
    error: str = ""


def mark(
    status: ocirepository.Status,
    type_: str,
    *,
    reason: str,
    message: str,
    generation: int,
    now: str,
    value: str = conditions.TRUE,
) -> ocirepository.Status:
    """The status with one condition set, stamped with the object's generation.

    The same status if it says so already.
    """
    old = conditions.get(status.conditions, type_)
    if old is not None and (
        (old.status, old.reason, old.message, old.observed_generation)
        == (value, reason, message, generation)
    ):
        return status
    condition = conditions.Condition(
        type=type_,
        status=value,
        reason=reason,
        message=message,
        observed_generation=generation,
    )
    return msgspec.structs.replace(
        status, conditions=conditions.put(status.conditions, condition, now=now)
    )


def drop(status: ocirepository.Status, *types: str) -> ocirepository.Status:
    """The status without the conditions of these types; the same one if it has none of them."""
    for condition in status.conditions:
        if condition.type in types:
            break
    else:
        return status
    return msgspec.structs.replace(status, conditions=conditions.without(status.conditions, *types))


def ready(status: ocirepository.Status, *, generation: int, now: str) -> ocirepository.Status:
    """The status with Ready summarized from its other conditions; unchanged without inputs."""
    summary = conditions.summary(
        status.conditions, priority=reasons.PRIORITY, negative=reasons.NEGATIVE
    )
    verified = conditions.get(status.conditions, reasons.SOURCE_VERIFIED)
    if verified is not None and verified.status == conditions.FALSE:
        summary = verified
    if summary is not None:
        status = mark(
            status,
            conditions.READY,
            reason=summary.reason,
            message=summary.message,
            generation=generation,
            now=now,
            value=summary.status if summary is not verified else conditions.FALSE,
        )
    return _in_order(status)


def in_progress(status: ocirepository.Status, *, generation: int, now: str) -> ocirepository.Status:
    """The one intermediate status of a run: Ready=False with Reconciling's reason and message."""
    reconciling = conditions.get(status.conditions, conditions.RECONCILING)
    if reconciling is None:
        return status
    status = mark(
        status,
        conditions.READY,
        reason=reconciling.reason,
        message=reconciling.message,
        generation=generation,
        now=now,
        value=conditions.FALSE,
    )
    return _in_order(status)


def conclude(
    status: ocirepository.Status,
    *,
    failure: steps.StepFailedError | None,
    generation: int,
    now: str,
    requested_at: str | None = None,
) -> Conclusion:
    """The end of a run, from the conditions its steps left and its failure, if any."""
    if requested_at is not None and requested_at != status.last_handled_reconcile_at:
        status = msgspec.structs.replace(status, last_handled_reconcile_at=requested_at)
    if failure is None:
        return _succeeded(status, generation=generation, now=now)
    if failure.condition is not None:
        status = mark(
            status,
            failure.condition,
            reason=failure.reason,
            message=failure.message,
            generation=generation,
            now=now,
        )
    if failure.is_stalling:
        status = mark(
            status,
            conditions.STALLED,
            reason=failure.reason,
            message=failure.message,
            generation=generation,
            now=now,
        )
        status = _observed(status, generation)
        answer = Answer.NEVER
    else:
        status = drop(status, conditions.STALLED)
        answer = Answer.BACK_OFF
    return Conclusion(
        status=ready(status, generation=generation, now=now),
        answer=answer,
        error=failure.message,
    )


def _succeeded(status: ocirepository.Status, *, generation: int, now: str) -> Conclusion:
    status = drop(status, conditions.RECONCILING, conditions.STALLED)
    status = ready(_observed(status, generation), generation=generation, now=now)
    summary = conditions.get(status.conditions, conditions.READY)
    if summary is None or summary.is_true:
        return Conclusion(status=status, answer=Answer.AFTER_INTERVAL)
    # The steps succeeded, yet a condition says that something is wrong: try again.
    return Conclusion(status=status, answer=Answer.BACK_OFF, error=summary.message)


def _observed(status: ocirepository.Status, generation: int) -> ocirepository.Status:
    if not status.conditions or status.observed_generation == generation:
        return status
    return msgspec.structs.replace(status, observed_generation=generation)


def _in_order(status: ocirepository.Status) -> ocirepository.Status:
    ordered = conditions.ordered(status.conditions)
    if ordered == status.conditions:
        return status
    return msgspec.structs.replace(status, conditions=ordered)
