"""The one writer: a thread that commits concurrent writes together.

While a transaction is being made durable the next writes gather; the thread then takes them all
at once. A batch that fails is told so, and the writes after it go on.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from ocisource import errors
from ocisource.apiserver.history import database

MAX_WAITING = 10_000  # rows; more concurrent writers than that are refused

Job = database.Row | Callable[[database.Database], None] | None
Committed = Callable[[Sequence[database.Row], errors.StorageError | None], None]


class Writer:
    """Owns the writing connection; ``committed`` is called on the loop, in order."""

    def __init__(
        self,
        opened: database.Database,
        *,
        loop: asyncio.AbstractEventLoop,
        committed: Committed,
    ) -> None:
        self._database = opened
        self._loop = loop
        self._committed = committed
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="apiserver-writer", daemon=True)
        self._thread.start()

    def submit(self, row: database.Row) -> None:
        """Queue a row; rows are committed in the order they come. Raises StorageError."""
        if self._jobs.qsize() > MAX_WAITING:
            raise errors.StorageError("too many writes are waiting for the disk: try again later")
        self._jobs.put(row)

    async def call(self, work: Callable[[database.Database], None]) -> None:
        """Run something between two batches; raises what it raises."""
        done: asyncio.Future[None] = self._loop.create_future()

        def job(opened: database.Database) -> None:
            error: Exception | None = None
            try:
                work(opened)
            except errors.StorageError as problem:
                error = problem
            self._tell(_settle, done, error)

        self._jobs.put(job)
        await done

    def close(self) -> None:
        """Commit what is queued, then end; blocks."""
        self._jobs.put(None)
        self._thread.join()
        self._database.close()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            rows: list[database.Row] = []
            while isinstance(job, database.Row):
                rows.append(job)
                if len(rows) == database.BATCH or self._jobs.empty():
                    break
                job = self._jobs.get()
            if rows:
                self._insert(rows)
            if isinstance(job, database.Row):
                continue
            if job is None:
                return
            job(self._database)

    def _insert(self, rows: list[database.Row]) -> None:
        failed: errors.StorageError | None = None
        try:
            self._database.insert(rows)
        except errors.StorageError as error:
            failed = error
        self._tell(self._committed, rows, failed)

    def _tell(self, callback: Callable[..., None], *values: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *values)


def _settle(done: "asyncio.Future[None]", error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
