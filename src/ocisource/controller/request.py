"""What a controller works on, and what it answers: a key, never an object."""

import enum

import msgspec


class Request(msgspec.Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """An object to look at; whatever happened to it, its present state decides."""

    # A Struct, because a run looks a dozen things up by it.

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Result(msgspec.Struct, frozen=True, gc=False):
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
