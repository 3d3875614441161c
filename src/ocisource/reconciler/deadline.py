"""The time that all remote work of one run shares (``spec.timeout``)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ocisource import errors
from ocisource.reconciler import reasons, steps


class Deadline:
    """Begins to run when it is made; ``text`` is how the user wrote the time."""

    def __init__(self, *, text: str, seconds: float) -> None:
        self._text = text
        self._when = asyncio.get_running_loop().time() + seconds

    @contextlib.asynccontextmanager
    async def step(self, reason: str, prefix: str) -> AsyncIterator[None]:
        """A fetching step that ends, at the latest, when the shared time is over."""
        with steps.step(reasons.FETCH_FAILED, reason, prefix):
            try:
                async with asyncio.timeout_at(self._when):
                    yield
            except TimeoutError as error:
                raise errors.DeadlineError(
                    f"not done within the timeout of {self._text}; raise spec.timeout if the "
                    "registry is slow"
                ) from error
