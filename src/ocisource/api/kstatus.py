"""How "done" is judged by kstatus: pure rules on an object, as ``kubectl wait`` applies them.

From top to bottom, the first that holds:

1. under deletion: Terminating.
2. ``observedGeneration`` is there and is not the present generation: InProgress.
3. in the order of the conditions: Reconciling is True: InProgress; Stalled is True: Failed.
4. Ready: True is Current, anything else InProgress.
5. no Ready condition: Current.
"""

import enum

from ocisource.api import conditions, ocirepository


class State(enum.Enum):
    """How far an object is."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"


def state(obj: ocirepository.OCIRepository) -> tuple[State, str]:
    """State of an object, and the message that explains it."""
    if obj.metadata.is_being_deleted:
        return State.TERMINATING, "Resource scheduled for deletion"
    status = obj.status
    ready = conditions.get(status.conditions, conditions.READY)
    message = "" if ready is None else ready.message
    # 0 is how an absent number is read; a generation is never 0.
    if status.observed_generation not in {0, obj.metadata.generation}:
        return State.IN_PROGRESS, message
    for condition in status.conditions:
        if condition.is_true and condition.type == conditions.RECONCILING:
            return State.IN_PROGRESS, condition.message
        if condition.is_true and condition.type == conditions.STALLED:
            return State.FAILED, condition.message
    if ready is None or ready.is_true:
        return State.CURRENT, message
    return State.IN_PROGRESS, message
