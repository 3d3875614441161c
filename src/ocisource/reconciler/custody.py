"""Custody: the artifact that status names is in the store, unaltered, or it is forgotten.

Every run asks. Mostly the answer is one ``stat``, through the link ``latest.tar.gz``; the file is
hashed again when its signature has changed. A missing or altered file is forgotten, so that the
same run builds it again; a link that is missing, or leads elsewhere, is made anew.
"""

import dataclasses
from collections.abc import Callable

import msgspec

from ocisource import digest as digests
from ocisource import errors, logs
from ocisource.api import artifact as artifacts
from ocisource.controller import request as requests
from ocisource.reconciler import draft, notify, options, reasons
from ocisource.source import publish, workers
from ocisource.storage import store as stores


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    health: stores.Health
    removed: int
    is_for_another_platform: bool
    link_problem: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """Looks after the files of objects.

    ``settled`` maps the folders that hold nothing but their current file to that file: there is
    nothing to collect in them.
    """

    store: stores.Store
    workers: workers.Workers
    recorder: notify.Recorder
    options: options.Options
    log: logs.Log
    settled: dict[str, str] = dataclasses.field(default_factory=dict)

    async def check(self, run: draft.Draft) -> None:
        """Compare status with what is on disk; collect superseded files."""
        artifact = run.status.artifact
        if artifact is None:
            run.forget_artifact()
            return
        problem = await self._problem(run, artifact)
        if problem is None:
            url = self.options.url(artifact.path)
            if artifact.url != url:
                artifact = msgspec.structs.replace(artifact, url=url)
            # A link that cannot be made is not advertised either.
            latest = self.options.url(f"{run.folder}/{publish.LATEST}") if run.is_linked else ""
            run.keep(artifact, url=latest)
            return
        if problem:
            message = f"failed to verify integrity of artifact: {problem}"
            event = notify.Event(
                type=notify.WARNING, reason=reasons.ARTIFACT_VERIFICATION_FAILED, message=message
            )
            self.recorder.record(run.obj, event)
            run.bind(self.log).error(message)
        run.forget_artifact()

    def changed(self, folder: str) -> None:
        """A file was committed to the folder: what it superseded will have to be collected."""
        self.settled.pop(folder, None)

    async def _problem(self, run: draft.Draft, artifact: artifacts.Artifact) -> str | None:
        """None when the file is as status says, "" when there is none, else what is wrong."""
        path = artifact.path
        if not path.startswith(f"{run.folder}/"):
            return ""
        text = artifact.digest or (f"sha256:{artifact.checksum}" if artifact.checksum else "")
        try:
            digest = digests.Digest.parse(text) if text else None
        except errors.ReferenceInvalidError as error:
            return f"failed to parse artifact digest '{text}': {error}"
        if digest is None:
            stored = await self.workers.block(lambda: self.store.stored(path))
            return "" if stored is None else "artifact has no digest"
        if self.settled.get(run.folder) == path and self.store.is_vouched(run.folder, digest):
            return None
        try:
            found = await self.workers.block(lambda: self._inspect(run.folder, path, digest))
        except errors.StorageError as error:
            return error.text
        if found.removed:
            self._tell_collected(run, f"garbage collected {found.removed} artifacts")
        if found.link_problem:
            run.is_linked = False
            self.recorder.record(run.obj, notify.link_failed(found.link_problem))
        if found.health is stores.Health.OK:
            run.is_rebuild_due = found.is_for_another_platform
            return None
        if found.health is stores.Health.MISSING:
            return ""
        return f"computed digest doesn't match '{text}'"

    def _inspect(self, folder: str, path: str, digest: digests.Digest) -> _Found:
        """Health of the file and of the link to it; collects superseded files. Blocks."""
        health = self.store.check(path, digest)
        link_problem = self._linked(folder, path) if health is stores.Health.OK else ""
        removed = 0
        is_for_another = False
        if health is stores.Health.OK and self.settled.get(folder) != path:
            record = self.store.stored(path)
            # The note is empty where the platform had no say: only indexes have children to choose.
            is_for_another = record is not None and record.note not in {
                "",
                str(self.options.platform),
            }
            try:
                removed = len(
                    self.store.collect(
                        folder,
                        current=path,
                        ttl=self.options.retention_ttl,
                        records=self.options.retention_records,
                    )
                )
            except errors.StorageError as error:
                # Superseded files do no harm; the next run tries again.
                self.log.error("garbage collection of artifacts failed", error=error.text)
            else:
                if len(self.store.files(folder)) == 1 and not is_for_another:
                    self.settled[folder] = path
        return _Found(health, removed, is_for_another, link_problem)

    def _linked(self, folder: str, path: str) -> str:
        """Why ``latest.tar.gz`` cannot be made to lead to the file, if it does not; mostly ""."""
        try:
            self.store.point_latest(folder, path)
        except errors.StorageError as error:
            return error.text
        return ""

    def _tell_collected(self, run: draft.Draft, message: str) -> None:
        event = notify.trace(reasons.GARBAGE_COLLECTION_SUCCEEDED, message)
        self.recorder.record(run.obj, event)

    async def forget(self, request: requests.Request) -> None:
        """Remove the files of an object that is not ours, or not any more; raises StorageError.

        It left the shard, or was deleted past our finalizer. The object itself, should there still
        be one, belongs to another controller now and is left alone.
        """
        folder = draft.folder_of(request.namespace, request.name)
        self.settled.pop(folder, None)
        if await self.workers.block(lambda: self.store.remove_all(folder)):
            self.log.info(
                "garbage collected artifacts of an object that is no longer watched",
                namespace=request.namespace,
                name=request.name,
            )

    async def orphans(self, is_known: Callable[[requests.Request], bool]) -> list[requests.Request]:
        """Whose files are in the store without a known object: they went while we were away."""
        folders = await self.workers.block(lambda: self.store.folders(draft.FOLDER))
        owners = (requests.Request(*folder.split("/")[1:]) for folder in folders)
        return [owner for owner in owners if not is_known(owner)]

    async def remove(self, run: draft.Draft) -> None:
        """Remove all files of a deleted object; raises StorageError."""
        self.settled.pop(run.folder, None)
        if await self.workers.block(lambda: self.store.remove_all(run.folder)):
            self._tell_collected(run, "garbage collected artifacts for deleted resource")
