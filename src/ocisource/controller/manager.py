"""Workers that take keys from a queue and reconcile them, one run per key at a time.

The stages of a run, as controller-runtime's: take a key, reconcile it, and answer with the queue:

* Result: after ``requeue_after`` seconds, with the back-off (``is_requeue_now``), or not at all.
* An error: with the back-off, or after the error's own ``retry_after`` seconds.
* Called off (``cancel``): at once; a back-off neither grows nor ends.

Nothing that a run raises ends a worker.
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
# How a run may end, as controller-runtime's label "result" has it.
_OUTCOMES: typing.Final = ("success", "error", "requeue", "requeue_after")


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
        self._observed = observed
        self._durations = durations
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._runs: dict[request.Request, asyncio.Task[request.Result]] = {}
        self._called_off: set[request.Request] = set()
        self._log = log or logs.get("controller", controller=name)
        self._kind = kind
        # Looked up once: every run counts.
        self._active = None if observed is None else observed.active_workers.labels(name)
        self._time = None if observed is None else observed.reconcile_time.labels(name)
        if observed is not None:
            observed.max_concurrent.labels(name).set(concurrency)
            observed.active_workers.labels(name).set(0)
            # There from the start, as controller-runtime's: no failures are 0, not "no data".
            observed.reconcile_errors.labels(name)
            for outcome in _OUTCOMES:
                observed.reconcile_total.labels(name, outcome)

    @property
    def in_work(self) -> frozenset[request.Request]:
        """Keys that are being reconciled."""
        return frozenset(self._runs)

    def cancel(self, key: request.Request) -> bool:
        """Call off the run of a key and have it run again at once; True if there was one.

        The run sees CancelledError where it waits; a newer generation is not to wait for an old
        fetch.
        """
        run = self._runs.get(key)
        if run is None or run.done():
            return False
        self._called_off.add(key)
        self.queue.add(key, request.Priority.USER)
        run.cancel()
        return True

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
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        finally:
            self.queue.shut_down()
            await self._end(workers, grace=grace)

    async def _end(self, workers: Sequence[asyncio.Task[None]], *, grace: float) -> None:
        """Let the runs in work end; those that do not are cancelled."""
        _, late = await asyncio.wait(workers, timeout=grace)
        if not late:
            return
        self._called_off.update(self._runs)
        for run in self._runs.values():
            run.cancel()
        _, stuck = await asyncio.wait(late, timeout=min(grace, CANCEL_GRACE))
        for worker in stuck:
            worker.cancel()
        if stuck:
            keys = ", ".join(map(str, sorted(self._runs)))
            self._log.error("runs did not end", error=f"still in work: {keys}")

    async def _work(self) -> None:
        while (key := await self.queue.get()) is not None:
            self._count_active(1)
            try:
                await self._handle(key)
            finally:
                self._count_active(-1)
                self.queue.done(key)

    async def _handle(self, key: request.Request) -> None:
        began = self._clock()
        run_id = _RunID(self._rng)
        run = asyncio.create_task(self._run_once(key, run_id), name=f"{self.name} {key}")
        self._runs[key] = run
        try:
            result = await run
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            outcome = self._abandon(key, run_id)
        except Exception as exc:  # noqa: BLE001 - whatever a run raises must not end its worker
            outcome = "error"
            self._retry(key, exc, run_id)
        else:
            outcome = self._requeue(key, result)
        finally:
            self._runs.pop(key, None)
            self._called_off.discard(key)
        seconds = self._clock() - began
        if self._observed is not None:
            self._observed.reconcile_total.labels(self.name, outcome).inc()
        if self._time is not None:
            self._time.observe(seconds)
        if self._durations is not None:
            self._durations.observe(key, seconds)

    async def _run_once(self, key: request.Request, run_id: "_RunID") -> request.Result:
        logs.during(**self._subject(key, run_id))
        # Whatever the function does before its first wait must not happen in the worker either.
        return await self._reconcile(key)

    def _abandon(self, key: request.Request, run_id: "_RunID") -> str:
        if key in self._called_off:
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
        if self._observed is not None:
            self._observed.reconcile_errors.labels(self.name).inc()

    def _count_active(self, change: int) -> None:
        if self._active is not None:
            self._active.inc(change)


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


def _is_being_cancelled() -> bool:
    """Whether somebody wants the present task itself to end."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


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
