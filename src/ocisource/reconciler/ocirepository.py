"""Reconcile one OCIRepository.

The road, in order:

1. an object under deletion is cleaned up; a suspended one is left alone; of one that is not there,
   or not ours any more, the files are removed;
2. *custody*: is the artifact that status names still in the store, and unaltered?
3. *fetch*: resolve the wanted digest and, if it is new, pull, pack and commit it;
4. *summarize*: conditions and Ready, written as a patch of what changed; events; the queue's
   answer.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from ocisource import errors, logs
from ocisource.api import ocirepository
from ocisource.controller import request as requests
from ocisource.net import redact
from ocisource.reconciler import (
    custody,
    declared,
    draft,
    fetch,
    notify,
    options,
    pacing,
    reasons,
    steps,
    summarize,
    writer,
)
from ocisource.wire import timestamps


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Brings one object's artifact and status up to date; safe for concurrent use.

    ``wants`` remembers, by uid, the spec of a generation as values.
    """

    objects: fetch.Objects
    writer: writer.Writer
    custody: custody.Custody
    fetcher: fetch.Fetcher
    recorder: notify.Recorder
    options: options.Options
    texts: notify.Texts
    clock: Callable[[], float]
    pacing: pacing.Pacing
    log: logs.Log
    wants: dict[str, tuple[int, declared.Declared]] = dataclasses.field(default_factory=dict)

    async def reconcile(self, request: requests.Request) -> requests.Result:
        """Run once for one object.

        Raises StepFailedError for a failed run, after its status is written: the queue backs off.
        """
        obj = self.objects.get(request)
        if obj is None:
            await self._forget(request)
            return requests.Result()
        run = self._draft(obj)
        try:
            if obj.metadata.is_being_deleted:
                await self._delete(run)
                return requests.Result()
            if ocirepository.FINALIZER not in obj.metadata.finalizers:
                with self._telling(obj):
                    run = self._draft(await self.writer.add_finalizer(obj))
            if obj.spec.suspend:
                run.bind(self.log).info("reconciliation is suspended for this object")
                return requests.Result()
            return await self._run(request, run)
        except errors.AbandonedError as error:
            # The object changed meanwhile, and that change has queued it again.
            run.bind(self.log).debug("run abandoned", error=error.text)
            return requests.Result()

    async def _run(self, request: requests.Request, run: draft.Draft) -> requests.Result:
        failure: steps.StepFailedError | None = None
        interval = 0.0
        old = run.obj.status
        try:
            await self.custody.check(run)
            want = self._declared(run.obj)
            interval = want.interval
            await self.fetcher.bring_up_to_date(request, run, want)
        except steps.StepFailedError as error:
            failure = error
        conclusion = summarize.conclude(
            run.status,
            failure=failure,
            generation=run.generation,
            now=run.now,
            requested_at=run.obj.requested_at,
        )
        try:
            await self.writer.write_status(run.obj, conclusion.status)
        except steps.StepFailedError as unwritten:
            # Status shows neither this nor how the run ended: events are all there is.
            if failure is not None and failure.message != unwritten.message:
                self.recorder.record(run.obj, notify.failure_event(failure))
            self.recorder.record(run.obj, notify.failure_event(unwritten))
            raise
        self._tell(run, old, conclusion, failure)
        if conclusion.answer is summarize.Answer.NEVER:
            return requests.Result()
        if conclusion.answer is summarize.Answer.AFTER_INTERVAL:
            return requests.Result(requeue_after=self.pacing.next_run(request, interval))
        raise failure or steps.StepFailedError(
            conclusion.error, condition=None, reason=reasons.FAILED
        )

    async def _forget(self, request: requests.Request) -> None:
        """Remove what an object that is gone, or another's now, may have left in our store."""
        with steps.step(
            None, reasons.GARBAGE_COLLECTION_FAILED, "garbage collection of a former object failed"
        ):
            await self.custody.forget(request)

    async def _delete(self, run: draft.Draft) -> None:
        """Remove the object's files, then our finalizer."""
        if ocirepository.FINALIZER not in run.obj.metadata.finalizers:
            return
        with self._telling(run.obj):
            with steps.step(
                None,
                reasons.GARBAGE_COLLECTION_FAILED,
                "garbage collection for deleted resource failed",
            ):
                await self.custody.remove(run)
            self.forget(run.obj)
            await self.writer.remove_finalizer(run.obj)

    @contextlib.contextmanager
    def _telling(self, obj: ocirepository.OCIRepository) -> Iterator[None]:
        """Record the event of a step that fails here, outside the run that status tells of."""
        try:
            yield
        except steps.StepFailedError as failure:
            self.recorder.record(obj, notify.failure_event(failure))
            raise

    def _tell(
        self,
        run: draft.Draft,
        old: ocirepository.Status,
        conclusion: summarize.Conclusion,
        failure: steps.StepFailedError | None,
    ) -> None:
        """Record the event that the run ends with, and log it."""
        if failure is not None:
            self.recorder.record(run.obj, notify.failure_event(failure))
            if failure.is_stalling:
                run.bind(self.log).error("reconciliation stalled", error=failure.message)
            return
        if conclusion.status is old or conclusion.answer is not summarize.Answer.AFTER_INTERVAL:
            return  # most runs end here: what nothing has changed is the same object still
        event = notify.success_event(
            old=self.writer.fields.comparable(old, conclusion.status),
            new=conclusion.status,
            url=redact.url(run.obj.spec.url),
            is_content_config_changed=run.is_rebuild_due,
            texts=self.texts,
        )
        if event is not None:
            self.recorder.record(run.obj, event)
            run.bind(self.log).info(event.message)

    def _declared(self, obj: ocirepository.OCIRepository) -> declared.Declared:
        """The spec as values; a generation is read once. Raises a stalling StepFailedError."""
        known = self.wants.get(obj.metadata.uid)
        if known is not None and known[0] == obj.metadata.generation:
            return known[1]
        want = declared.read(obj.spec, platform=self.options.platform)
        self.wants[obj.metadata.uid] = (obj.metadata.generation, want)
        return want

    def forget(self, obj: ocirepository.OCIRepository) -> None:
        """The object is gone."""
        self.wants.pop(obj.metadata.uid, None)
        self.fetcher.forget(obj.metadata.uid)

    def _draft(self, obj: ocirepository.OCIRepository) -> draft.Draft:
        return draft.Draft(obj, now=timestamps.format_seconds(self.clock()))
