"""Fetch: from a declared source to a stored artifact, each fallible step with its meaning.

Resolve the digest (``resolving.py``); stop there if the stored artifact is that already. Otherwise
announce the fetch, pull manifest and layer, pack, and commit, if the object is still the one it was
made for.
"""

import dataclasses
import typing
from collections.abc import Callable

from ocisource import digest as digests
from ocisource import errors, logs
from ocisource.api import artifact as artifacts
from ocisource.api import ocirepository
from ocisource.controller import request as requests
from ocisource.oci import registry
from ocisource.oci.grammar import manifest
from ocisource.reconciler import (
    access,
    deadline,
    declared,
    draft,
    notify,
    options,
    reasons,
    resolving,
    steps,
    writer,
)
from ocisource.source import publish, pull, resolve
from ocisource.wire import timestamps


class Objects(typing.Protocol):
    """The newest objects that are known."""

    def get(self, request: requests.Request) -> ocirepository.OCIRepository | None:
        """The object, or None when there is none."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Pulled:
    """A layer at hand; ``is_from_index`` when a platform was chosen for it."""

    layer: typing.BinaryIO
    annotations: dict[str, str]
    is_from_index: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Runs the road for one object at a time; safe for concurrent use.

    ``on_commit`` hears of each folder that a file was committed to.
    """

    objects: Objects
    writer: writer.Writer
    access: access.AccessReader
    registries: registry.Registries
    publisher: publish.Publisher
    recorder: notify.Recorder
    options: options.Options
    texts: notify.Texts
    clock: Callable[[], float]
    log: logs.Log
    on_commit: Callable[[str], object]
    resolver: resolving.Resolver = dataclasses.field(default_factory=resolving.Resolver)

    async def bring_up_to_date(
        self, request: requests.Request, run: draft.Draft, want: declared.Declared
    ) -> None:
        """Leave in ``run`` the artifact that is wanted.

        Raises StepFailedError, or AbandonedError when the object changed meanwhile.
        """
        granted = await self.access.read(run.obj)
        try:
            await self._bring(request, run, want, granted)
        except steps.StepFailedError as failure:
            # Resolving may be refused, and what a digest names only when it is pulled.
            raise access.explained(failure, granted, want.wanted.repository) from failure.__cause__

    async def _bring(
        self,
        request: requests.Request,
        run: draft.Draft,
        want: declared.Declared,
        granted: registry.Access,
    ) -> None:
        remote = self.registries.repository(want.wanted.repository, granted)
        limit = deadline.Deadline(want.wanted, text=want.timeout_text, seconds=want.timeout)
        resolved = await self.resolver.resolve(run, want, remote, granted=granted, limit=limit)
        revision = self.options.revision(resolved)
        if self._is_current(run, revision):
            self._settle(run, revision)
            return
        await self._announce(run, resolved, revision)
        with steps.step(
            reasons.STORAGE_OPERATION_FAILED,
            reasons.DIRECTORY_CREATION_FAILED,
            "failed to create artifact directory",
        ):
            await self.publisher.prepare(run.folder)
        pulled = await self._pull(want, remote, resolved, limit)
        with pulled.layer:
            staged = await self._stage(run, want, pulled.layer)
        committed = await self._commit(
            request,
            run,
            staged,
            path=f"{run.folder}/{resolved.digest.hex}{draft.SUFFIX}",
            # A plain image is the same on every platform.
            note=str(want.wanted.platform) if pulled.is_from_index else "",
        )
        self._keep(run, committed, revision=revision, metadata=pulled.annotations)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self.resolver.forget(uid)

    def _is_current(self, run: draft.Draft, revision: str) -> bool:
        artifact = run.status.artifact
        return (
            artifact is not None
            and artifact.revision == revision
            and not run.is_rebuild_due
            and not self.writer.fields.is_content_config_changed(run.obj)
        )

    def _settle(self, run: draft.Draft, revision: str) -> None:
        """Nothing to do: the stored artifact is what is wanted."""
        run.drop(reasons.FETCH_FAILED, reasons.ARTIFACT_OUTDATED)
        self._mark_stored(run, revision)
        self.recorder.record(
            run.obj, notify.trace(reasons.ARTIFACT_UP_TO_DATE, self.texts.up_to_date(revision))
        )

    async def _announce(self, run: draft.Draft, resolved: resolve.Resolved, revision: str) -> None:
        """A fetch begins: say so in the one intermediate status of the run."""
        artifact, advertised = run.status.artifact, run.obj.status.artifact
        # What was advertised already and only has to be made again keeps the reason NoArtifact.
        if advertised is None or advertised.revision != revision:
            message = self.texts.new_revision(revision, str(resolved))
            if artifact is not None:
                run.mark(reasons.ARTIFACT_OUTDATED, reason=reasons.NEW_REVISION, message=message)
            run.reconciling(reasons.NEW_REVISION, message)
        run.obj = await self.writer.write_status(run.obj, run.in_progress())

    async def _pull(
        self,
        want: declared.Declared,
        remote: registry.RemoteRepository,
        resolved: resolve.Resolved,
        limit: deadline.Deadline,
    ) -> "_Pulled":
        """The verified layer and what the manifest says of it."""
        layer_failed = reasons.LAYER_OPERATION_FAILED
        async with limit.step(
            reasons.PULL_FAILED, f"failed to pull artifact from '{want.shown_url}'"
        ):
            media_type, body = await pull.image_manifest(
                remote, resolved, platform=want.wanted.platform
            )
        with steps.step(reasons.FETCH_FAILED, layer_failed, "failed to parse artifact manifest"):
            image = pull.parse_image(media_type, body)
        with steps.step(reasons.FETCH_FAILED, layer_failed, ""):
            layer = manifest.select_layer(image, want.wanted.media_type or None)
        async with limit.step(layer_failed, "failed to extract the first layer from artifact"):
            with _storing("unable to archive artifact to storage", of=errors.StorageError):
                blob = await pull.blob(
                    remote,
                    layer,
                    spool_dir=self.publisher.spool_dir,
                    submit=self.publisher.workers.submit,
                    limits=self.publisher.limits,
                )
        return _Pulled(
            layer=blob,
            annotations=dict(image.annotations),
            is_from_index=digests.Digest.of(body) != resolved.digest,
        )

    async def _stage(
        self, run: draft.Draft, want: declared.Declared, blob: typing.BinaryIO
    ) -> publish.Staged:
        verb = "copy" if want.wanted.is_copied else "archive"
        with (
            _storing(f"unable to {verb} artifact to storage"),
            steps.step(
                reasons.FETCH_FAILED,
                reasons.LAYER_OPERATION_FAILED,
                "failed to extract layer contents from artifact",
                of=errors.ArchiveError,
            ),
            steps.step(
                None,
                reasons.SOURCE_IGNORE_ERROR,
                "failed to load source ignore patterns from repository",
                of=errors.IgnoreRulesError,
            ),
        ):
            staged = await self.publisher.stage(blob, want.wanted)
        run.drop(reasons.FETCH_FAILED)
        if staged.skipped:
            run.bind(self.log).info("entries left out of the artifact", skipped=staged.skipped)
        return staged

    async def _commit(
        self,
        request: requests.Request,
        run: draft.Draft,
        staged: publish.Staged,
        *,
        path: str,
        note: str,
    ) -> publish.Committed:
        newest = self.objects.get(request)
        if newest is None or not _is_same(newest, run.obj):
            await self.publisher.discard(staged)
            raise errors.AbandonedError("the object changed while its artifact was being built")
        with _storing("unable to archive artifact to storage"):
            try:
                return await self.publisher.commit(staged, path=path, note=note)
            finally:
                # Also when this is called off: the thread goes on and may well succeed.
                self.on_commit(run.folder)

    def _keep(
        self,
        run: draft.Draft,
        committed: publish.Committed,
        *,
        revision: str,
        metadata: dict[str, str],
    ) -> None:
        stored = committed.stored
        artifact = artifacts.Artifact(
            path=stored.path,
            url=self.options.url(stored.path),
            revision=revision,
            checksum=stored.digest.hex,
            digest=str(stored.digest),
            last_update_time=timestamps.format_seconds(self.clock()),
            size=stored.size,
            metadata=metadata,
        )
        url = self.options.url(f"{run.folder}/{publish.LATEST}")
        if committed.link_problem:
            self.recorder.record(run.obj, notify.link_failed(committed.link_problem))
            url = run.status.url
        run.keep(artifact, url=url)
        run.observe_content_config(checksum=declared.content_config_checksum(run.obj.spec))
        run.drop(reasons.ARTIFACT_OUTDATED)
        self._mark_stored(run, revision)

    def _mark_stored(self, run: draft.Draft, revision: str) -> None:
        run.mark(
            reasons.ARTIFACT_IN_STORAGE,
            reason=reasons.SUCCEEDED,
            message=self.texts.stored_for(revision),
        )


def _storing(
    prefix: str, *, of: type[errors.OcisourceError] = errors.OcisourceError
) -> typing.ContextManager[None]:
    return steps.step(
        reasons.STORAGE_OPERATION_FAILED, reasons.ARCHIVE_OPERATION_FAILED, prefix, of=of
    )


def _is_same(newest: ocirepository.OCIRepository, run: ocirepository.OCIRepository) -> bool:
    return (
        not newest.metadata.is_being_deleted
        and newest.metadata.uid == run.metadata.uid
        and newest.metadata.generation == run.metadata.generation
    )
