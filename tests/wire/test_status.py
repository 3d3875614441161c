"""Status objects have the form that clients decode."""

from ocisource.wire import status


def test_tells_of_a_failure() -> None:
    """Code, reason, message and details stand where clients look for them."""
    failure = status.failure(404, "NotFound", "no", {"name": "x"})
    assert failure == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "no",
        "reason": "NotFound",
        "details": {"name": "x"},
        "code": 404,
    }
    assert status.is_status(failure)


def test_leaves_out_what_there_is_none_of() -> None:
    """An empty reason and absent details are not written."""
    assert {"reason", "details"}.isdisjoint(status.failure(500, "", "no"))
    assert status.success() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
    }
