"""Scrubbing: every stored file is read again, slowly and for ever, in a thread of its own.

A run looks at a file's stat signature; decay of the disk does not show there. What a scrub finds
altered is queued, and the run that follows reports it and builds it again.
"""

import asyncio
import threading
import typing
from collections.abc import Awaitable, Callable

from ocisource import errors, logs
from ocisource.controller import request as requests
from ocisource.reconciler import draft

PAUSE = 24 * 3600.0  # seconds between two passes

_log = logs.get("scrub")


class Scrubbed(typing.Protocol):
    """A store that can be read as a whole."""

    def scrub(
        self, *, sleep: Callable[[float], object], is_cancelled: Callable[[], bool]
    ) -> tuple[str, ...]:
        """Read everything; the paths of altered files. Blocks; raises StorageError."""
        ...


async def run(
    store: Scrubbed,
    *,
    on_altered: Callable[[requests.Request], object],
    pause: float = PAUSE,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Scrub until cancelled; a pass under way ends after the block it reads."""
    while True:
        await sleep(pause)
        try:
            altered = await _once(store)
        except errors.StorageError as error:
            _log.error("scrubbing failed", error=error.text)
            continue
        for owner in sorted({owner for path in altered if (owner := _owner(path)) is not None}):
            on_altered(owner)


async def _once(store: Scrubbed) -> tuple[str, ...]:
    is_cancelled = threading.Event()
    # Waiting on the event is a sleep that ends early.
    work = asyncio.ensure_future(
        asyncio.to_thread(store.scrub, sleep=is_cancelled.wait, is_cancelled=is_cancelled.is_set)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        is_cancelled.set()
        # The store is closed next: the thread must have let go of it by then.
        await asyncio.wait([work])
        raise


def _owner(path: str) -> requests.Request | None:
    match path.split("/"):
        case [draft.FOLDER, namespace, name, _]:
            return requests.Request(namespace, name)
        case _:
            return None
