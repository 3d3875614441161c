"""Events on their way out: routine ones within a budget, all others always."""

from typing import Any

from ocisource.api import meta, ocirepository
from ocisource.kube import ratelimit
from ocisource.reconciler import notify, reasons, recording


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []

    def record(self, about: Any, *, reason: str, annotations: dict[str, str], **_: Any) -> None:
        """Keep reason and annotations."""
        self.told.append((reason, annotations))


def test_routine_events_have_a_budget_and_others_none() -> None:
    """Of many ArtifactUpToDate a few are told; failures and collections are never thinned."""
    now = 0.0
    sink: Any = Sink()
    recorder = recording.EventRecorder(
        recorder=sink,
        api_version="source.toolkit.fluxcd.io/v1",
        routine=ratelimit.TokenBucket(qps=1.0, burst=2, clock=lambda: now),
    )
    obj = ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(
            name="podinfo",
            annotations={"event.toolkit.fluxcd.io/team": "red", "other": "left out"},
        )
    )
    for _ in range(5):
        recorder.record(obj, notify.trace(reasons.ARTIFACT_UP_TO_DATE, "nothing new"))
        recorder.record(obj, notify.trace(reasons.GARBAGE_COLLECTION_SUCCEEDED, "collected"))
    now = 1.0
    recorder.record(obj, notify.trace(reasons.ARTIFACT_UP_TO_DATE, "nothing new"))
    found = [reason for reason, _ in sink.told]
    assert found.count(reasons.ARTIFACT_UP_TO_DATE) == 3
    assert found.count(reasons.GARBAGE_COLLECTION_SUCCEEDED) == 5
    assert {tuple(told) for _, told in sink.told} == {("event.toolkit.fluxcd.io/team",)}
