"""Writer: patches of what changed, to status and finalizers, and nothing when nothing did.

A status patch carries the resourceVersion it was made from, because merge patches replace lists:
conditions that others have set must survive. On a conflict the object is read again and the
patch made anew, a few times; the conditions that are ours win.

A patch that fails is a failed step of its own (PatchOperationFailed), which an event has to tell:
status cannot.
"""

import asyncio
import dataclasses
import typing
from collections.abc import Awaitable, Callable

import msgspec

from ocisource import errors
from ocisource.api import conditions, ocirepository
from ocisource.kube import patch as patches
from ocisource.kube import resources
from ocisource.reconciler import kept, reasons, steps
from ocisource.wire import selectors

CONFLICT_TRIES = 5
CONFLICT_PAUSE = 0.1  # seconds between two tries

_ANY: typing.Final = selectors.LabelSelector()
_CONFLICT = 409
_NOT_FOUND = 404


class Patcher(typing.Protocol):
    """Reads and patches single objects of the Kubernetes API."""

    async def get(
        self, resource: resources.Resource[resources.T], name: str, *, namespace: str = ""
    ) -> resources.T:
        """The object; raises APIStatusError."""
        ...

    async def patch(
        self,
        resource: resources.Resource[resources.T],
        name: str,
        change: patches.Patch,
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> resources.T:
        """The object after the patch; raises APIStatusError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes to OCIRepositories; ``on_written`` hears of each object that came back.

    ``fields`` are those of a status that the cluster keeps: no others are compared or sent.
    ``selector`` tells our objects: what another shard has taken over is not written to any more.
    """

    client: Patcher
    resource: resources.Resource[ocirepository.OCIRepository]
    on_written: Callable[[ocirepository.OCIRepository], object]
    fields: kept.Kept = kept.EVERYTHING
    selector: selectors.LabelSelector = _ANY
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def add_finalizer(self, obj: ocirepository.OCIRepository) -> ocirepository.OCIRepository:
        """The object with our finalizer.

        Raises AbandonedError if it changed meanwhile, StepFailedError.
        """
        with _patching("failed to add the finalizer"):
            return await self._set_finalizers(obj, is_present=True)

    async def remove_finalizer(self, obj: ocirepository.OCIRepository) -> None:
        """Take our finalizer off, so that the object may go; raises as add_finalizer() does."""
        with _patching("failed to remove the finalizer"):
            await self._set_finalizers(obj, is_present=False)

    async def write_status(
        self, obj: ocirepository.OCIRepository, status: ocirepository.Status
    ) -> ocirepository.OCIRepository:
        """The object as it is after the status is written.

        Raises AbandonedError when the object is gone or has a newer generation, StepFailedError.
        """
        if status is obj.status or status == obj.status:
            return obj  # most runs end here
        with _patching("failed to patch status"):
            return await self._set_status(obj, status)

    async def _set_status(
        self, obj: ocirepository.OCIRepository, status: ocirepository.Status
    ) -> ocirepository.OCIRepository:
        base = obj
        for attempt in range(CONFLICT_TRIES):
            wanted = self.fields.status(_with_foreign(status, base.status))
            change = patches.diff(base.status, wanted)
            if not change:
                return base
            document = patches.with_version({"status": change}, base.metadata.resource_version)
            try:
                written = await self._patch(obj, document, subresource="status")
            except errors.APIStatusError as error:
                if error.code != _CONFLICT or attempt == CONFLICT_TRIES - 1:
                    raise
                await self.sleep(CONFLICT_PAUSE)
                base = await self._reread(obj)
            else:
                self.on_written(written)
                return written
        raise AssertionError  # the loop returns or raises

    async def _reread(self, obj: ocirepository.OCIRepository) -> ocirepository.OCIRepository:
        try:
            live = await self.client.get(
                self.resource, obj.metadata.name, namespace=obj.metadata.namespace
            )
        except errors.APIStatusError as error:
            if error.code == _NOT_FOUND:
                raise errors.AbandonedError("the object is gone") from error
            raise
        if (live.metadata.uid, live.metadata.generation) != (
            obj.metadata.uid,
            obj.metadata.generation,
        ):
            raise errors.AbandonedError("the object has a newer generation")
        if not self.selector.matches(live.metadata.labels):
            raise errors.AbandonedError("the object left this shard")
        return live

    async def _set_finalizers(
        self, obj: ocirepository.OCIRepository, *, is_present: bool
    ) -> ocirepository.OCIRepository:
        base = obj
        for attempt in range(CONFLICT_TRIES):
            rest = [f for f in base.metadata.finalizers if f != ocirepository.FINALIZER]
            finalizers = [*rest, ocirepository.FINALIZER] if is_present else rest or None
            document = patches.with_version(
                {"metadata": {"finalizers": finalizers}}, base.metadata.resource_version
            )
            try:
                written = await self._patch(obj, document)
            except errors.APIStatusError as error:
                if error.code != _CONFLICT or attempt == CONFLICT_TRIES - 1:
                    raise
                await self.sleep(CONFLICT_PAUSE)
                base = await self._reread(obj)
            else:
                self.on_written(written)
                return written
        raise AssertionError  # the loop returns or raises

    async def _patch(
        self, obj: ocirepository.OCIRepository, document: patches.Document, *, subresource: str = ""
    ) -> ocirepository.OCIRepository:
        try:
            return await self.client.patch(
                self.resource,
                obj.metadata.name,
                patches.merge(document),
                namespace=obj.metadata.namespace,
                subresource=subresource,
            )
        except errors.APIStatusError as error:
            if error.code == _NOT_FOUND:
                raise errors.AbandonedError("the object is gone") from error
            raise


def _patching(prefix: str) -> typing.ContextManager[None]:
    return steps.step(None, reasons.PATCH_OPERATION_FAILED, prefix)


def _with_foreign(status: ocirepository.Status, live: ocirepository.Status) -> ocirepository.Status:
    """Our conditions, and those that others have on the live object."""
    ours = tuple(c for c in status.conditions if c.type in reasons.OWNED)
    foreign = tuple(c for c in live.conditions if c.type not in reasons.OWNED)
    return msgspec.structs.replace(status, conditions=conditions.ordered((*ours, *foreign)))
