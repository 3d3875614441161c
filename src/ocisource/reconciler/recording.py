"""Recording: events about OCIRepositories, on their way to Kubernetes and to the receiver."""

import dataclasses
import typing

from ocisource.api import ocirepository
from ocisource.kube import events, ratelimit, resources
from ocisource.reconciler import notify, reasons

# Of "nothing new" so many are told a second, for all objects together. With thousands of objects
# they would be most of the requests to the API server, and most of the work of this process.
ROUTINE_RATE: typing.Final = 5.0
ROUTINE_BURST: typing.Final = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventRecorder:
    """Fills in whom an event is about, and the annotations that users put on their object.

    ``routine`` is the budget for ArtifactUpToDate.
    """

    recorder: events.Recorder
    api_version: str
    routine: ratelimit.TokenBucket

    def record(self, obj: ocirepository.OCIRepository, event: notify.Event) -> None:
        """Tell an event about an object; never waits."""
        if event.reason == reasons.ARTIFACT_UP_TO_DATE and not self.routine.try_take():
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
        )
