"""kstatus, rule by rule."""

import pytest

from ocisource.api import conditions, kstatus, meta, ocirepository


def _object(
    *found: tuple[str, str], observed: int = 2, is_deleted: bool = False
) -> ocirepository.OCIRepository:
    return ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(
            generation=2, deletion_timestamp="2022-06-14T11:23:36Z" if is_deleted else None
        ),
        status=ocirepository.Status(
            observed_generation=observed,
            conditions=tuple(
                conditions.Condition(type=type_, status=status, message=f"{type_} {status}")
                for type_, status in found
            ),
        ),
    )


@pytest.mark.parametrize(
    ("obj", "state", "message"),
    [
        (_object(("Ready", "True")), "Current", "Ready True"),
        (_object(("Ready", "True"), observed=0), "Current", "Ready True"),
        (_object(("Ready", "True"), observed=1), "InProgress", "Ready True"),
        (_object(("Ready", "True"), observed=-1), "InProgress", "Ready True"),
        (_object(("Ready", "False")), "InProgress", "Ready False"),
        (_object(("Ready", "Unknown")), "InProgress", "Ready Unknown"),
        (_object(("Reconciling", "True"), ("Ready", "True")), "InProgress", "Reconciling True"),
        (_object(("Reconciling", "False"), ("Ready", "True")), "Current", "Ready True"),
        (_object(("Stalled", "True"), ("Ready", "False")), "Failed", "Stalled True"),
        (_object(("Stalled", "True"), ("Reconciling", "True")), "Failed", "Stalled True"),
        (_object(), "Current", ""),
        (_object(("Ready", "True"), is_deleted=True), "Terminating", None),
    ],
)
def test_the_first_rule_that_holds_decides(
    obj: ocirepository.OCIRepository, state: str, message: str | None
) -> None:
    """State and message of each combination."""
    found, text = kstatus.state(obj)
    assert found.value == state
    assert message is None or text == message
