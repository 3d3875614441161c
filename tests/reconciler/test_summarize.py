"""The end of a run as a table: acceptance cases K, result and Ready computation."""

import msgspec
import pytest

from ocisource.api import conditions, ocirepository
from ocisource.reconciler import reasons, steps, summarize

NOW = "2022-06-14T11:23:36Z"
BEFORE = "2022-06-14T11:00:00Z"


def _condition(type_: str, status: str = "True", *, reason: str = "R") -> conditions.Condition:
    return conditions.Condition(
        type=type_,
        status=status,
        reason=reason,
        message=f"{type_} {status}",
        observed_generation=1,
        last_transition_time=BEFORE,
    )


def _conclude(
    *before: conditions.Condition,
    failure: steps.StepFailedError | None = None,
    requested_at: str | None = None,
    handled_at: str = "",
) -> summarize.Conclusion:
    status = ocirepository.Status(
        conditions=before, observed_generation=1, last_handled_reconcile_at=handled_at
    )
    return summarize.conclude(
        status, failure=failure, generation=2, now=NOW, requested_at=requested_at
    )


def _failure(*, is_stalling: bool = False, condition: str | None = None) -> steps.StepFailedError:
    return steps.StepFailedError(
        "it broke", condition=condition, reason="Broken", is_stalling=is_stalling
    )


def _get(conclusion: summarize.Conclusion, type_: str) -> tuple[str, str] | None:
    found = conditions.get(conclusion.status.conditions, type_)
    return None if found is None else (found.status, found.reason)


STORED = _condition(reasons.ARTIFACT_IN_STORAGE, reason="Succeeded")
OUTDATED = _condition(reasons.ARTIFACT_OUTDATED, reason="NewRevision")
FETCH_FAILED = _condition(reasons.FETCH_FAILED, reason="OCIArtifactPullFailed")
RECONCILING = _condition("Reconciling", reason="NewGeneration")
STALLED = _condition("Stalled", reason="URLInvalid")
READY = _condition("Ready", reason="Succeeded")


def test_k1_success_is_ready_observed_and_requeued_after_the_interval() -> None:
    """Ready=True and success: Ready stays, the generation is recorded."""
    end = _conclude(READY, STORED)
    assert end.answer is summarize.Answer.AFTER_INTERVAL
    assert end.status.observed_generation == 2
    assert _get(end, "Ready") == ("True", "Succeeded")


@pytest.mark.parametrize(
    "gone", [pytest.param(RECONCILING, id="K2"), pytest.param(STALLED, id="K3")]
)
def test_k_success_removes_reconciling_and_stalled(gone: conditions.Condition) -> None:
    """Neither of the abnormal conditions outlives a success."""
    end = _conclude(gone, STORED)
    assert _get(end, gone.type) is None
    assert _get(end, "Ready") == ("True", "Succeeded")


@pytest.mark.parametrize(
    ("token", "before", "after"),
    [("now", "", "now"), (None, "old", "old"), ("", "old", ""), ("  ", "", "  "), ("b", "a", "b")],
)
@pytest.mark.parametrize("failure", [None, _failure(), _failure(is_stalling=True)])
def test_k4_the_reconcile_request_is_recorded_on_every_run(
    token: str | None, before: str, after: str, failure: steps.StepFailedError | None
) -> None:
    """Copied when the annotation is there, also empty or blank; left alone when it is not."""
    end = _conclude(STORED, requested_at=token, handled_at=before, failure=failure)
    assert end.status.last_handled_reconcile_at == after


def test_k7_a_stalling_error_stalls_without_a_requeue() -> None:
    """Stalled carries the error's reason and text; the generation is recorded."""
    end = _conclude(failure=_failure(is_stalling=True))
    assert end.answer is summarize.Answer.NEVER
    assert _get(end, "Stalled") == ("True", "Broken")
    assert end.status.observed_generation == 2


def test_k8_fetch_failed_speaks_for_ready_when_stalled() -> None:
    """FetchFailed ranks above Stalled."""
    end = _conclude(FETCH_FAILED, failure=_failure(is_stalling=True))
    assert _get(end, "Ready") == ("False", "OCIArtifactPullFailed")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param((STALLED,), id="K10"),
        pytest.param((STALLED, READY, STORED, FETCH_FAILED), id="K12"),
    ],
)
def test_k_another_error_backs_off_and_removes_stalled(
    before: tuple[conditions.Condition, ...],
) -> None:
    """A retried failure records no generation."""
    end = _conclude(*before, failure=_failure(condition=reasons.FETCH_FAILED))
    assert end.answer is summarize.Answer.BACK_OFF
    assert _get(end, "Stalled") is None
    assert end.status.observed_generation == 1


def test_k13_reconciling_keeps_its_reason_after_a_failure() -> None:
    """The seed's reason stays: never ProgressingWithRetry."""
    end = _conclude(RECONCILING, failure=_failure(condition=reasons.FETCH_FAILED))
    assert _get(end, "Reconciling") == ("True", "NewGeneration")


def test_k14_artifact_outdated_speaks_before_reconciling() -> None:
    """AO=True, Rec=True and an error: Ready takes AO's text."""
    end = _conclude(OUTDATED, RECONCILING, failure=_failure())
    assert _get(end, "Ready") == ("False", "NewRevision")


def test_k15_a_success_that_leaves_a_bad_condition_is_retried() -> None:
    """AO=True after a success: Ready=False from AO, and back-off."""
    end = _conclude(OUTDATED)
    assert _get(end, "Ready") == ("False", "NewRevision")
    assert end.answer is summarize.Answer.BACK_OFF
    assert end.error == OUTDATED.message


@pytest.mark.parametrize("other", [RECONCILING, STORED])
def test_k16_a_failed_verification_overrules_everything(other: conditions.Condition) -> None:
    """SourceVerified=False makes Ready False, whatever the rest says."""
    bad = _condition(reasons.SOURCE_VERIFIED, "False", reason="VerificationError")
    end = _conclude(other, bad, failure=_failure())
    assert _get(end, "Ready") == ("False", "VerificationError")


def test_k17_outdated_beats_a_good_verification() -> None:
    """Rec, AO True, SV True and an error: Ready=False from AO."""
    good = _condition(reasons.SOURCE_VERIFIED, "True", reason="Succeeded")
    end = _conclude(RECONCILING, OUTDATED, good, failure=_failure())
    assert _get(end, "Ready") == ("False", "NewRevision")


def test_k18_among_false_positive_conditions_the_first_in_order_speaks() -> None:
    """ArtifactInStorage stands before SourceVerified."""
    stored = _condition(reasons.ARTIFACT_IN_STORAGE, "False", reason="Gone")
    status = ocirepository.Status(conditions=(stored,))
    ready = summarize.ready(status, generation=1, now=NOW)
    assert conditions.get(ready.conditions, "Ready") == conditions.Condition(
        type="Ready",
        status="False",
        reason="Gone",
        message=stored.message,
        observed_generation=1,
        last_transition_time=NOW,
    )


def test_an_unknown_input_makes_ready_unknown() -> None:
    """Only when nothing else decides."""
    status = ocirepository.Status(
        conditions=(_condition(reasons.ARTIFACT_IN_STORAGE, "Unknown", reason="Asking"),)
    )
    ready = summarize.ready(status, generation=1, now=NOW)
    found = conditions.get(ready.conditions, "Ready")
    assert found is not None
    assert (found.status, found.reason) == ("Unknown", "Asking")


def test_k_without_conditions_no_generation_is_recorded() -> None:
    """The observed generation needs at least one condition."""
    assert _conclude().status.observed_generation == 1


def test_no_input_leaves_ready_as_it_is() -> None:
    """A failure that is told by an event alone changes no condition."""
    end = _conclude(READY, failure=_failure())
    assert _get(end, "Ready") == ("True", "Succeeded")


def test_transition_time_moves_only_with_status_reason_or_message() -> None:
    """A newer observedGeneration alone keeps the time."""
    same = summarize.mark(
        ocirepository.Status(conditions=(STORED,)),
        STORED.type,
        reason=STORED.reason,
        message=STORED.message,
        generation=7,
        now=NOW,
    )
    (kept,) = same.conditions
    assert kept == msgspec.structs.replace(STORED, observed_generation=7)
    (moved,) = summarize.mark(
        same, STORED.type, reason=STORED.reason, message="other", generation=7, now=NOW
    ).conditions
    assert moved.last_transition_time == NOW


def test_progress_shows_ready_false_with_the_reason_of_reconciling() -> None:
    """The one intermediate status of a run."""
    status = ocirepository.Status(conditions=(READY, RECONCILING))
    shown = summarize.in_progress(status, generation=2, now=NOW)
    ready = conditions.get(shown.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == (
        "False",
        RECONCILING.reason,
        RECONCILING.message,
    )


def test_conditions_are_ordered_on_write() -> None:
    """Stalled, Reconciling, Ready, then by generation (newest first), then by type."""
    older = msgspec.structs.replace(_condition("B"), observed_generation=1)
    newer = msgspec.structs.replace(_condition("Z"), observed_generation=2)
    also = msgspec.structs.replace(_condition("A"), observed_generation=1)
    names = [c.type for c in conditions.ordered((older, READY, newer, also, RECONCILING))]
    assert names == ["Reconciling", "Ready", "Z", "A", "B"]


def test_long_messages_are_cut_to_what_the_api_takes() -> None:
    """32768 bytes, the last three an ellipsis, and no half character."""
    long = msgspec.structs.replace(READY, message="ä" * 20000)
    (cut,) = conditions.put((), long, now=NOW)
    assert len(cut.message.encode()) <= conditions.MAX_MESSAGE_BYTES
    assert cut.message.endswith("ä...")
