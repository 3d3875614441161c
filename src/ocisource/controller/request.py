"""What a controller works on, and what it answers: a key, never an object."""

import dataclasses
import enum


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Request:
    """An object to look at; whatever happened to it, its present state decides."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """When to look again.

    ``requeue_after`` seconds from now; ``is_requeue_now`` as soon as the back-off allows; neither:
    only when something changes.
    """

    requeue_after: float | None = None
    is_requeue_now: bool = False


class Priority(enum.IntEnum):
    """Whose work goes first."""

    USER = 0  # somebody changed something and waits for it
    INTERVAL = 1  # routine: intervals, retries, the objects found at start
