"""Events on their way out: which of them are routine, and what users put on their objects."""

from typing import Any

from ocisource.api import meta, ocirepository
from ocisource.reconciler import notify, reasons, recording


class Sink:
    """Keeps what it is given."""

    def __init__(self, *, has_room: bool = True) -> None:
        self.told: list[tuple[str, bool, dict[str, str]]] = []
        self._has_room = has_room

    def has_room_for_routine(self) -> bool:
        """As told."""
        return self._has_room

    def record(
        self,
        about: Any,
        *,
        reason: str,
        is_routine: bool,
        annotations: dict[str, str],
        **_: Any,
    ) -> None:
        """Keep reason, kind and annotations."""
        self.told.append((reason, is_routine, annotations))


_OBJECT = ocirepository.OCIRepository(
    metadata=meta.ObjectMeta(
        name="podinfo",
        annotations={"event.toolkit.fluxcd.io/team": "red", "other": "left out"},
    )
)


def _record(sink: Sink) -> None:
    given: Any = sink
    recorder = recording.EventRecorder(recorder=given, api_version="source.toolkit.fluxcd.io/v1")
    recorder.record(_OBJECT, notify.trace(reasons.ARTIFACT_UP_TO_DATE, "nothing new"))
    recorder.record(_OBJECT, notify.trace(reasons.GARBAGE_COLLECTION_SUCCEEDED, "collected"))
    recorder.record(
        _OBJECT, notify.Event(type=notify.WARNING, reason=reasons.PULL_FAILED, message="it broke")
    )


def test_only_what_tells_nothing_new_is_routine() -> None:
    """Failures and collections are news; annotations for events go along with all of them."""
    sink = Sink()
    _record(sink)
    assert [(reason, is_routine) for reason, is_routine, _ in sink.told] == [
        (reasons.ARTIFACT_UP_TO_DATE, True),
        (reasons.GARBAGE_COLLECTION_SUCCEEDED, False),
        (reasons.PULL_FAILED, False),
    ]
    assert {tuple(told) for _, _, told in sink.told} == {("event.toolkit.fluxcd.io/team",)}


def test_where_there_is_no_room_for_routine_news_is_still_told() -> None:
    """Nothing is done for an event that would be dropped."""
    sink = Sink(has_room=False)
    _record(sink)
    assert [reason for reason, _, _ in sink.told] == [
        reasons.GARBAGE_COLLECTION_SUCCEEDED,
        reasons.PULL_FAILED,
    ]
