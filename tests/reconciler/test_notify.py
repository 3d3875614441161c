"""Which event a successful run ends with: acceptance cases I."""

from typing import Any

import pytest

from ocisource import logs, settings
from ocisource.api import artifact as artifacts
from ocisource.api import conditions, meta, ocirepository
from ocisource.reconciler import draft, notify, reasons, steps, summarize, writer
from ocisource.reconciler import ocirepository as ocirepositories

URL = "oci://newurl.io"
METADATA = {
    notify.ORIGIN_SOURCE: "https://github.com/stefanprodan/podinfo",
    notify.ORIGIN_REVISION: "6.1.8/b3b00fe35424a45d373bf4c7214178bc36fd7872",
}
TEXTS = notify.Texts(revision_format=settings.REVISION_HEX)
FLUX_TEXTS = notify.Texts(revision_format=settings.REVISION_TAG_AT_DIGEST)


def _status(
    revision: str | None,
    *failed: str,
    checksum: str = "yyy",
    ignore: str | None = None,
    metadata: dict[str, str] | None = None,
) -> ocirepository.Status:
    artifact = None
    if revision is not None:
        artifact = artifacts.Artifact(
            revision=revision,
            checksum=checksum,
            digest=f"sha256:{checksum}",
            metadata=metadata or {},
        )
    return ocirepository.Status(
        artifact=artifact,
        observed_ignore=ignore,
        conditions=tuple(conditions.Condition(type=t, status="True") for t in failed),
    )


def _event(
    old: ocirepository.Status, new: ocirepository.Status, texts: notify.Texts = TEXTS
) -> notify.Event | None:
    return notify.success_event(old=old, new=new, url=URL, texts=texts)


@pytest.mark.parametrize(("texts", "noun"), [(TEXTS, "digest"), (FLUX_TEXTS, "revision")])
def test_i2_a_new_artifact_is_told_with_its_origin(texts: notify.Texts, noun: str) -> None:
    """Revision, checksum and digest go along as annotations."""
    event = _event(_status(None), _status("xxx", metadata=METADATA), texts)
    assert event == notify.Event(
        type="Normal",
        reason="NewArtifact",
        message=f"stored artifact with {noun} 'xxx' from 'oci://newurl.io', "
        "origin source 'https://github.com/stefanprodan/podinfo', "
        "origin revision '6.1.8/b3b00fe35424a45d373bf4c7214178bc36fd7872'",
        annotations={
            "source.toolkit.fluxcd.io/revision": "xxx",
            "source.toolkit.fluxcd.io/checksum": "yyy",
            "source.toolkit.fluxcd.io/digest": "sha256:yyy",
        },
    )


@pytest.mark.parametrize("missing", list(METADATA))
def test_an_origin_needs_both_annotations(missing: str) -> None:
    """One of the two alone is not told."""
    metadata = {k: v for k, v in METADATA.items() if k != missing}
    event = _event(_status(None), _status("xxx", metadata=metadata))
    assert event is not None
    assert event.message == "stored artifact with digest 'xxx' from 'oci://newurl.io'"


@pytest.mark.parametrize("failed", [reasons.FETCH_FAILED, reasons.STORAGE_OPERATION_FAILED])
def test_i3_a_recovery_is_told_as_succeeded(failed: str) -> None:
    """A failure before the run, none after it, the same artifact."""
    event = _event(_status("xxx", failed), _status("xxx"))
    assert event is not None
    assert (event.type, event.reason) == ("Normal", "Succeeded")
    assert event.message == "stored artifact with digest 'xxx' from 'oci://newurl.io'"


def test_i4_a_recovery_with_a_new_artifact_is_one_new_artifact() -> None:
    """NewArtifact beats Succeeded."""
    event = _event(_status("xxx", reasons.FETCH_FAILED), _status("zzz"))
    assert event is not None
    assert event.reason == "NewArtifact"


def test_i5_nothing_changed_tells_nothing() -> None:
    """Not even when only the packed bytes differ."""
    assert _event(_status("xxx"), _status("xxx")) is None
    assert _event(_status("xxx"), _status("xxx", checksum="other")) is None


def test_i_no_artifact_tells_nothing() -> None:
    """Without an artifact there is no success to tell."""
    assert _event(_status(None), _status(None)) is None


def test_other_ignore_rules_make_a_new_artifact() -> None:
    """The content configuration counts, not only the revision; unset and empty differ."""
    event = _event(_status("xxx"), _status("xxx", ignore=""))
    assert event is not None
    assert event.reason == "NewArtifact"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ()),
        ((reasons.FETCH_FAILED,), (reasons.FETCH_FAILED,)),
        ((reasons.FETCH_FAILED,), (reasons.STORAGE_OPERATION_FAILED,)),
        ((), (reasons.FETCH_FAILED,)),
    ],
)
def test_i_recovery_needs_a_failure_before_and_none_after(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """Anything else is no recovery."""
    assert _event(_status("xxx", *before), _status("xxx", *after)) is None


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        pytest.param(
            steps.StepFailedError("it broke", condition=None, reason="Broken"),
            summarize.Answer.BACK_OFF,
            id="I1",
        ),
        pytest.param(None, summarize.Answer.BACK_OFF, id="I6"),
    ],
)
def test_i_a_run_that_is_tried_again_tells_no_success(
    failure: steps.StepFailedError | None, answer: summarize.Answer
) -> None:
    """Neither NewArtifact nor Succeeded, although there is a new artifact."""
    told: list[notify.Event] = []
    nothing: Any = None
    reconciler = ocirepositories.Reconciler(
        objects=nothing,
        writer=writer.Writer(client=nothing, resource=nothing, on_written=lambda _: None),
        custody=nothing,
        fetcher=nothing,
        recorder=_Recorder(told),
        options=nothing,
        pacing=nothing,
        texts=TEXTS,
        clock=lambda: 0.0,
        log=logs.get("test"),
    )
    obj = ocirepository.OCIRepository(metadata=meta.ObjectMeta(generation=1))
    run = draft.Draft(obj, now="2022-06-14T11:23:36Z")
    conclusion = summarize.Conclusion(status=_status("xxx"), answer=answer, error="it broke")
    reconciler._tell(run, _status(None, reasons.FETCH_FAILED), conclusion, failure)
    assert [event.reason for event in told] == ([] if failure is None else ["Broken"])


class _Recorder:
    def __init__(self, told: list[notify.Event]) -> None:
        self._told = told

    def record(self, obj: ocirepository.OCIRepository, event: notify.Event) -> None:
        self._told.append(event)
