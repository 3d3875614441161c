"""`ocisource up --once`: waiting until all sources are Ready, as of this run.

1. A source that an earlier run left Ready is asked for again (``reconcile.fluxcd.io/requestedAt``):
   what was true then may not be now.
2. A source is settled when it is Ready for its present generation, and for that request if there
   was one. A suspended one is not waited for.
3. One that is Stalled ends it at once: waiting would not help.
"""

import asyncio
import dataclasses
import datetime
import typing
from collections.abc import Iterable

from ocisource import errors
from ocisource.api import conditions, meta, ocirepository
from ocisource.cli import output
from ocisource.cli.machines import live
from ocisource.kube import answers, patch, resources

if typing.TYPE_CHECKING:
    from ocisource.cli.machines import machine

_POLL = 0.1  # seconds between two looks at the objects

Name = tuple[str, str]  # namespace and name
_SOURCES: resources.Resource[meta.PartialObjectMetadata] = resources.Resource(
    ocirepository.GROUP,
    ocirepository.VERSIONS[0],
    ocirepository.PLURAL,
    ocirepository.KIND,
    meta.PartialObjectMetadata,
    is_metadata_only=True,
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Settling:
    """Waits for the sources of a machine, ``wanted`` among them though they may not be seen yet."""

    here: "machine.Machine"
    wanted: frozenset[Name]
    asked: dict[Name, str] = dataclasses.field(default_factory=dict)

    async def wait(self, seconds: float, interrupted: asyncio.Event) -> int:
        """0 once all are settled; 1 when one is Stalled, or not Ready in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.here.objects.wait_synced()
                await self._ask()
                while not interrupted.is_set():
                    known = self._known()
                    if any(_is_stalled(obj) for obj in known.values()):
                        break
                    if self.wanted <= known.keys() and not self._unsettled(known.values()):
                        return 0
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            pass
        return self._report()

    async def _ask(self) -> None:
        now = datetime.datetime.now().astimezone().isoformat()
        for name, obj in self._known().items():
            if obj.spec.suspend or not self.is_settled(obj):
                continue
            change = {"metadata": {"annotations": {ocirepository.REQUESTED_AT: now}}}
            try:
                await self.here.api.patch(
                    _SOURCES, obj.metadata.name, patch.merge(change), namespace=name[0]
                )
            except errors.APIStatusError as error:
                if not answers.is_not_found(error):
                    raise
            else:
                self.asked[name] = now

    def is_settled(self, obj: ocirepository.OCIRepository) -> bool:
        """Whether a source is as it is wanted."""
        return obj.spec.suspend or (not self._is_pending(obj) and _is_ready(obj))

    def _is_pending(self, obj: ocirepository.OCIRepository) -> bool:
        asked = self.asked.get(_name(obj))
        return asked is not None and obj.status.last_handled_reconcile_at != asked

    def _known(self) -> dict[Name, ocirepository.OCIRepository]:
        return {_name(obj): obj for obj in self.here.objects}

    def _unsettled(
        self, known: Iterable[ocirepository.OCIRepository]
    ) -> list[ocirepository.OCIRepository]:
        return [obj for obj in known if not self.is_settled(obj)]

    def _report(self) -> int:
        known = self._known()
        for namespace, name in sorted(self.wanted - known.keys()):
            output.line(f"✗ {namespace}/{name}: not seen by the controller", is_error=True)
        for obj in sorted(self._unsettled(known.values()), key=live.name_of):
            message = live.state_of(obj)[1] or "waiting to be reconciled"
            if self._is_pending(obj) and _is_ready(obj):
                message = f"not looked at again in time; before this run: {message}"
            output.line(f"✗ {live.name_of(obj)}: {message}", is_error=True)
        return 1


def _name(obj: ocirepository.OCIRepository) -> Name:
    return obj.metadata.namespace, obj.metadata.name


def _is_observed(obj: ocirepository.OCIRepository) -> bool:
    return obj.status.observed_generation == obj.metadata.generation


def _is_ready(obj: ocirepository.OCIRepository) -> bool:
    return _is_observed(obj) and conditions.is_true(obj.status.conditions, conditions.READY)


def _is_stalled(obj: ocirepository.OCIRepository) -> bool:
    return _is_observed(obj) and conditions.is_true(obj.status.conditions, conditions.STALLED)
