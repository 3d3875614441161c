"""Steps: where a library's error gets its meaning as a condition, one line per fallible step.

Example::

    with steps.step(FETCH_FAILED, PULL_FAILED, f"failed to pull artifact from '{url}'"):
        body = await remote.manifest(digest)
"""

import contextlib
from collections.abc import Iterator

from ocisource import errors


class StepFailedError(errors.OcisourceError):
    """A step failed: which condition tells it (None for an event alone), reason and message.

    ``is_stalling`` means that no retry can help; ``retry_after`` is the wait in seconds that the
    far side asked for, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        condition: str | None,
        reason: str,
        is_stalling: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.condition = condition
        self.reason = reason
        self.is_stalling = is_stalling
        self.retry_after = retry_after


@contextlib.contextmanager
def step(
    condition: str | None,
    reason: str,
    prefix: str,
    *,
    of: type[errors.OcisourceError] = errors.OcisourceError,
    is_stalling: bool = False,
) -> Iterator[None]:
    """Translate our errors (those that are an ``of``) into ``{prefix}: {cause}`` with a meaning.

    An empty prefix leaves the cause alone. Errors that already have a meaning, and work that was
    called off, pass through.
    """
    try:
        yield
    except of as error:
        failed = translated(
            error, condition=condition, reason=reason, prefix=prefix, is_stalling=is_stalling
        )
        if failed is None:
            raise
        raise failed from error


def translated(
    error: errors.OcisourceError,
    *,
    condition: str | None,
    reason: str,
    prefix: str,
    is_stalling: bool = False,
) -> StepFailedError | None:
    """The error with its meaning; None for one that has a meaning, or for work called off."""
    if isinstance(error, StepFailedError | errors.AbandonedError):
        return None
    return StepFailedError(
        f"{prefix}: {error.text}" if prefix else error.text,
        condition=condition,
        reason=reason,
        is_stalling=is_stalling,
        retry_after=getattr(error, "retry_after", None),
    )
