"""Conditions as kstatus and Flux understand them: rules on an ordered tuple, no I/O.

A condition of *negative polarity* is bad when True and is removed rather than set to False.
A condition of *positive polarity* is good when True. ``Ready`` is the summary of the others.
"""

import typing
from collections.abc import Iterable

import msgspec

READY: typing.Final = "Ready"
RECONCILING: typing.Final = "Reconciling"
STALLED: typing.Final = "Stalled"

TRUE: typing.Final = "True"
FALSE: typing.Final = "False"
UNKNOWN: typing.Final = "Unknown"

MAX_MESSAGE_BYTES = 32768  # maxLength of metav1.Condition.message
_ELLIPSIS = "..."
_FIRST_TYPES = (STALLED, RECONCILING, READY)


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One aspect of an object's state (``metav1.Condition``)."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the status is ``True``."""
        return self.status == TRUE


Conditions: typing.TypeAlias = tuple[Condition, ...]


def get(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if present."""
    # A loop and no generator, here and below: every run of every object asks many times.
    for condition in conditions:
        if condition.type == type_:
            return condition
    return None


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition is present and True."""
    condition = get(conditions, type_)
    return condition is not None and condition.is_true


def without(conditions: Iterable[Condition], *types: str) -> Conditions:
    """All conditions but those of the given types."""
    return tuple(c for c in conditions if c.type not in types)


def put(conditions: Iterable[Condition], condition: Condition, *, now: str) -> Conditions:
    """Set a condition; the transition time moves only with status, reason or message.

    ``now`` is RFC 3339 text. Reconciling and Stalled exclude each other (kstatus).
    """
    condition = msgspec.structs.replace(condition, message=_bounded(condition.message))
    old = get(conditions, condition.type)
    is_same = old is not None and (old.status, old.reason, old.message) == (
        condition.status,
        condition.reason,
        condition.message,
    )
    since = old.last_transition_time if old is not None and is_same else now
    condition = msgspec.structs.replace(condition, last_transition_time=since)
    dropped = [condition.type]
    if condition.is_true and condition.type == RECONCILING:
        dropped.append(STALLED)
    if condition.is_true and condition.type == STALLED:
        dropped.append(RECONCILING)
    return (*without(conditions, *dropped), condition)


def ordered(conditions: Iterable[Condition]) -> Conditions:
    """Stalled, Reconciling, Ready, then by observed generation (newest first), then by type."""

    def key(condition: Condition) -> tuple[int, int, str]:
        if condition.type in _FIRST_TYPES:
            return (_FIRST_TYPES.index(condition.type), 0, "")
        return (len(_FIRST_TYPES), -condition.observed_generation, condition.type)

    return tuple(sorted(conditions, key=key))


def summary(
    conditions: Iterable[Condition], *, priority: tuple[str, ...], negative: frozenset[str]
) -> Condition | None:
    """The condition from which Ready takes its reason and message, with Ready's status.

    The inputs are grouped by status and polarity; the first group with a member decides, and the
    member that stands first in ``priority`` speaks. ``None`` when there is no input at all.
    """
    known = {condition.type: condition for condition in conditions}
    inputs = [known[type_] for type_ in priority if type_ in known]
    groups = (
        (TRUE, True, FALSE),
        (FALSE, False, FALSE),
        (TRUE, False, TRUE),
        (FALSE, True, TRUE),
    )
    for status, is_negative, ready in groups:
        for condition in inputs:
            if condition.status == status and (condition.type in negative) == is_negative:
                return msgspec.structs.replace(condition, type=READY, status=ready)
    unknown = next((c for c in inputs if c.status == UNKNOWN), None)
    return None if unknown is None else msgspec.structs.replace(unknown, type=READY)


def _bounded(message: str) -> str:
    data = message.encode()
    if len(data) <= MAX_MESSAGE_BYTES:
        return message
    return data[: MAX_MESSAGE_BYTES - len(_ELLIPSIS)].decode(errors="ignore") + _ELLIPSIS
