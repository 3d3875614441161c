"""Custody: the artifact that status names is in the store, unaltered, or it is forgotten.

Every run asks. Mostly the answer is one ``stat``; the file is hashed again when its signature has
changed. A missing or altered file is forgotten, so that the same run builds it again.
"""

import dataclasses

import msgspec

from ocisource import digest as digests
from ocisource import errors, logs
from ocisource.api import artifact as artifacts
from ocisource.reconciler import draft, notify, options, reasons
from ocisource.source import publish, workers
from ocisource.storage import store as stores


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """Looks after the files of objects."""

    store: stores.Store
    workers: workers.Workers
    recorder: notify.Recorder
    options: options.Options
    log: logs.Log

    async def check(self, run: draft.Draft) -> None:
        """Compare status with what is on disk; collect superseded files."""
        artifact = run.status.artifact
        if artifact is None:
            run.forget_artifact()
            return
        await self._collect(run, artifact)
        problem = await self._problem(artifact, folder=run.folder)
        if problem is None:
            url = self.options.url(artifact.path)
            if artifact.url != url:
                artifact = msgspec.structs.replace(artifact, url=url)
            run.keep(artifact, url=self.options.url(f"{run.folder}/{publish.LATEST}"))
            return
        if problem:
            message = f"failed to verify integrity of artifact: {problem}"
            event = notify.Event(
                type=notify.WARNING, reason=reasons.ARTIFACT_VERIFICATION_FAILED, message=message
            )
            self.recorder.record(run.obj, event)
            run.bind(self.log).error(message)
        run.forget_artifact()

    async def _problem(self, artifact: artifacts.Artifact, *, folder: str) -> str | None:
        """None when the file is as status says, "" when there is none, else what is wrong."""
        path = artifact.path
        if not path.startswith(f"{folder}/"):
            return ""
        text = artifact.digest or (f"sha256:{artifact.checksum}" if artifact.checksum else "")
        if not text:
            stored = await self.workers.block(lambda: self.store.stored(path))
            return "" if stored is None else "artifact has no digest"
        try:
            digest = digests.Digest.parse(text)
        except errors.ReferenceInvalidError as error:
            return f"failed to parse artifact digest '{text}': {error}"
        health = self.store.quick_check(path, digest)
        if health is None:
            health = await self.workers.block(lambda: self.store.check(path, digest))
        if health is stores.Health.OK:
            return None
        return "" if health is stores.Health.MISSING else f"computed digest doesn't match '{text}'"

    async def _collect(self, run: draft.Draft, artifact: artifacts.Artifact) -> None:
        if not self.store.has_superseded(run.folder, artifact.path):
            return
        try:
            removed = await self.workers.block(
                lambda: self.store.collect(
                    run.folder,
                    artifact.path,
                    ttl=self.options.retention_ttl,
                    records=self.options.retention_records,
                )
            )
        except errors.StorageError as error:
            # Superseded files do no harm; the next run tries again.
            run.bind(self.log).error("garbage collection of artifacts failed", error=error.text)
            return
        if removed:
            self.recorder.record(
                run.obj,
                notify.trace(
                    reasons.GARBAGE_COLLECTION_SUCCEEDED,
                    f"garbage collected {len(removed)} artifacts",
                ),
            )

    async def remove(self, run: draft.Draft) -> None:
        """Remove all files of a deleted object; raises StorageError."""
        if await self.workers.block(lambda: self.store.remove_all(run.folder)):
            self.recorder.record(
                run.obj,
                notify.trace(
                    reasons.GARBAGE_COLLECTION_SUCCEEDED,
                    "garbage collected artifacts for deleted resource",
                ),
            )
