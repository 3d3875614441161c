"""Workers that take keys from a queue and reconcile them, one run per key at a time.

The stages of a run, as controller-runtime's: take a key, reconcile it, and answer with the queue:

* Result: after ``requeue_after`` seconds, with the back-off (``is_requeue_now``), or not at all.
* An error: with the back-off, or after the error's own ``retry_after`` seconds.
* Called off (``cancel``): at once; a back-off neither grows nor ends.

Nothing that a run raises ends a worker. A run has no task of its own, which would cost every run
that finds nothing new several turns of the loop: it is called off by cancelling its worker, which
takes the cancellation back.
"""

import asyncio
import random
import time
import typing
import uuid
from collections.abc import Awaitable, Callable, Sequence

from ocisource import errors, logs, metrics
from ocisource.controller import measures, request, workqueue

Reconcile = Callable[[request.Request], Awaitable[request.Result]]

CONCURRENCY = 32  # workers: they mostly wait for registries
STOP_GRACE = 10.0  # seconds that runs may take to end when the controller stops
CANCEL_GRACE = 1.0  # seconds that cancelled runs may take to tidy up
_SPREAD = 0.1  # of a server's retry_after: those it sent away must not come back together


class Synced(typing.Protocol):
    """An informer, as far as a controller waits for it."""

    async def wait_synced(self) -> None:
        """Wait for the first list."""
        ...


class Controller:
    """Reconciles the keys of one queue with ``concurrency`` workers."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        queue: workqueue.Workqueue[request.Request],
        concurrency: int = CONCURRENCY,
        waits_for: Sequence[Synced] = (),
        observed: metrics.Metrics | None = None,
        durations: measures.Durations | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        log: logs.Log | None = None,
        kind: str = "",
    ) -> None:
        """``kind`` is what the objects are called in lines of log."""
        self.name = name
        self.queue = queue
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._waits_for = waits_for
        self._durations = durations
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._runs: dict[request.Request, asyncio.Task[None]] = {}  # the workers, by their key
        self._called_off: set[request.Request] = set()
        self._log = log or logs.get("controller", controller=name)
        self._kind = kind
        self._counts = None if observed is None else measures.RunMeasures(observed, name=name)
        if self._counts is not None:
            self._counts.attach(lambda: len(self._runs), concurrency=concurrency)

    @property
    def in_work(self) -> frozenset[request.Request]:
        """Keys that are being reconciled."""
        return frozenset(self._runs)

    def cancel(self, key: request.Request) -> bool:
        """Call off the run of a key and have it run again at once; True if there was one.

        The run sees CancelledError where it waits; a newer generation is not to wait for an old
        fetch.
        """
        worker = self._runs.get(key)
        if worker is None:
            return False
        self.queue.add(key, request.Priority.USER)
        self._call_off(key, worker)
        return True

    def _call_off(self, key: request.Request, worker: asyncio.Task[None]) -> None:
        # Once: each cancellation has to be taken back.
        if key not in self._called_off:
            self._called_off.add(key)
            worker.cancel()

    async def run(self, *, grace: float = STOP_GRACE) -> None:
        """Wait for the informers, then work until cancelled; runs in work then have ``grace``.

        Cancelling shuts the queue down; a run that outlasts ``grace`` seconds is cancelled.
        """
        for informer in self._waits_for:
            await informer.wait_synced()
        workers = [
            asyncio.create_task(self._work(), name=f"{self.name}-{number}")
            for number in range(self._concurrency)
        ]
        try:
            # Unlike gather, wait does not cancel what it waits for.
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.queue.shut_down()
            await self._end(workers, grace=grace)
            # Asked of each, or asyncio would tell of those that nobody asked, with a traceback.
            failures = [
                failure
                for worker in workers
                if worker.done() and not worker.cancelled() and (failure := worker.exception())
            ]
        if failures:
            raise failures[0]

    async def _end(self, workers: Sequence[asyncio.Task[None]], *, grace: float) -> None:
        """Let the runs in work end; those that do not are cancelled."""
        _, late = await asyncio.wait(workers, timeout=grace)
        if not late:
            return
        for key, worker in tuple(self._runs.items()):
            self._call_off(key, worker)
        _, stuck = await asyncio.wait(late, timeout=min(grace, CANCEL_GRACE))
        for worker in stuck:
            worker.cancel()
        if stuck:
            keys = ", ".join(map(str, sorted(self._runs)))
            self._log.error("runs did not end", error=f"still in work: {keys}")

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        while (key := await self.queue.get()) is not None:
            try:
                await self._handle(key, worker)
            finally:
                self.queue.done(key)

    async def _handle(self, key: request.Request, worker: asyncio.Task[None]) -> None:
        began = self._clock()
        run_id = _RunID(self._rng)
        self._runs[key] = worker
        failure: Exception | None = None
        result: request.Result | None = None
        logs.during(**self._subject(key, run_id))
        try:
            result = await self._reconcile(key)
        except asyncio.CancelledError:
            # Taken back below; what is left then is meant for the worker itself.
            if worker.cancelling() > (key in self._called_off):
                raise
        except Exception as exc:  # noqa: BLE001 - whatever a run raises must not end its worker
            failure = exc
        finally:
            del self._runs[key]
            is_called_off = key in self._called_off
            if is_called_off:
                self._called_off.discard(key)
                worker.uncancel()
        if result is not None:
            outcome = self._requeue(key, result)
        elif failure is not None:
            outcome = "error"
            self._retry(key, failure, run_id)
        else:
            outcome = self._abandon(key, run_id, is_called_off=is_called_off)
        seconds = self._clock() - began
        if self._counts is not None:
            self._counts.ended(outcome, seconds)
        if self._durations is not None:
            self._durations.observe(key, seconds)

    def _abandon(self, key: request.Request, run_id: "_RunID", *, is_called_off: bool) -> str:
        if is_called_off:
            self._log.debug("run called off", **self._subject(key, run_id))
            return "requeue"
        self._retry(key, errors.AbandonedError("the run was cancelled from within"), run_id)
        return "error"

    def _requeue(self, key: request.Request, result: request.Result) -> str:
        if result.is_requeue_now:
            self.queue.add_rate_limited(key)
            return "requeue"
        self.queue.forget(key)
        if result.requeue_after is None:
            return "success"
        self.queue.add_after(key, result.requeue_after, request.Priority.INTERVAL)
        return "requeue_after"

    def _subject(self, key: request.Request, run_id: "_RunID") -> dict[str, object]:
        """Whom a line is about, under controller-runtime's keys."""
        subject: dict[str, object] = {"namespace": key.namespace, "name": key.name}
        if self._kind:
            subject[self._kind] = dict(subject)
        subject["reconcileID"] = run_id
        return subject

    def _retry(self, key: request.Request, exc: Exception, run_id: "_RunID") -> None:
        retry_after: float | None = getattr(exc, "retry_after", None)
        if retry_after is None:
            delay = self.queue.add_rate_limited(key)
        else:
            delay = retry_after * (1 + _SPREAD * self._rng.random())
            self.queue.add_after(key, delay, request.Priority.INTERVAL)
        is_expected = isinstance(exc, errors.OcisourceError)
        self._log.error(
            "Reconciler error",
            error=exc.text if isinstance(exc, errors.OcisourceError) else _described(exc),
            retryAfter=round(delay, 3),
            **({} if is_expected else {"stacktrace": _stack(exc)}),
            **self._subject(key, run_id),
        )
        if self._counts is not None:
            self._counts.failed()


class _RunID:
    """The id of one run, a random UUID, made when a line first shows it: most runs log nothing."""

    __slots__ = ("_rng", "_text")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._text = ""

    def __str__(self) -> str:
        if not self._text:
            self._text = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        return self._text


def _described(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _stack(exc: Exception) -> list[str]:
    """Where an unexpected error came from: places alone, since values may be secret."""
    places: list[str] = []
    trace = exc.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places
