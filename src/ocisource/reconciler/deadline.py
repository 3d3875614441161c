"""The time that all remote work of one run shares (``spec.timeout``)."""

import asyncio
import types

from ocisource import errors
from ocisource.reconciler import reasons, steps


class Deadline:
    """Begins to run when it is made; ``text`` is how the user wrote the time.

    ``subject`` is what the work is about, written down only if it comes too late.
    """

    __slots__ = ("subject", "text", "when")

    def __init__(self, subject: object, *, text: str, seconds: float) -> None:
        self.subject = subject
        self.text = text
        self.when = asyncio.get_running_loop().time() + seconds

    def step(self, reason: str, prefix: str) -> "TimedStep":
        """A fetching step that ends, at the latest, when the shared time is over."""
        return TimedStep(self, reason, prefix)


class TimedStep:
    """A step under a deadline, to be entered once with ``async with``."""

    # Not a generator with a decorator: every run of every object passes here.
    __slots__ = ("_limit", "_prefix", "_reason", "_timeout")

    def __init__(self, limit: Deadline, reason: str, prefix: str) -> None:
        self._limit = limit
        self._reason = reason
        self._prefix = prefix
        self._timeout = asyncio.timeout_at(limit.when)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = errors.DeadlineError(
                f"{self._limit.subject}: not done within the timeout of {self._limit.text}; raise "
                "spec.timeout if the registry or the cloud's login is slow"
            )
            error.__cause__ = late
        if isinstance(error, errors.OcisourceError):
            failed = steps.translated(
                error, condition=reasons.FETCH_FAILED, reason=self._reason, prefix=self._prefix
            )
            if failed is not None:
                raise failed from error
