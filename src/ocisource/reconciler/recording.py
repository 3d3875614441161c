"""Recording: events about OCIRepositories, on their way to Kubernetes and to the receiver."""

import dataclasses
import typing

from ocisource.api import ocirepository
from ocisource.kube import events, resources
from ocisource.reconciler import notify, reasons

# What most runs end with. Everything else tells of a change.
_ROUTINE: typing.Final = frozenset({reasons.ARTIFACT_UP_TO_DATE})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventRecorder:
    """Fills in whom an event is about, and the annotations that users put on their object."""

    recorder: events.Recorder
    api_version: str

    def record(self, obj: ocirepository.OCIRepository, event: notify.Event) -> None:
        """Tell an event about an object; never waits."""
        is_routine = event.reason in _ROUTINE
        if is_routine and not self.recorder.has_room_for_routine():
            return
        meta = obj.metadata
        passed_on = {
            key: value
            for key, value in meta.annotations.items()
            if key.startswith(ocirepository.EVENT_ANNOTATION_PREFIX)
        }
        self.recorder.record(
            resources.ObjectReference(
                kind=ocirepository.KIND,
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                api_version=self.api_version,
                resource_version=meta.resource_version,
            ),
            event_type=event.type,
            reason=event.reason,
            message=event.message,
            annotations=passed_on | event.annotations,
            is_trace=event.is_trace,
            is_routine=is_routine,
        )
