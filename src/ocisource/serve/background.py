"""Running parts beside one another: whoever fails ends the whole, and says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from ocisource import errors


@contextlib.asynccontextmanager
async def started(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the context's body and end it with the context.

    It is made to run as long as the body: if it ends before, the body is cancelled, and its
    failure is raised in the body's place.
    """
    owner = asyncio.current_task()
    is_leaving = False

    def ended(task: asyncio.Task[None]) -> None:
        if not is_leaving and not task.cancelled() and owner is not None:
            owner.cancel()

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if not task.done() or task.cancelled() or task.exception() is None:
            raise
        if owner is not None:
            owner.uncancel()
        raise _failure(task) from task.exception()
    finally:
        is_leaving = True
        task.cancel()
        await asyncio.wait([task])


def _failure(task: asyncio.Task[None]) -> errors.OcisourceError:
    error = task.exception()
    if isinstance(error, errors.OcisourceError):
        return error
    return errors.OcisourceError(
        f"a part of the controller failed: {type(error).__name__}: {error}"
    )
