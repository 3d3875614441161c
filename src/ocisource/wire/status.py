"""The Status object: how a Kubernetes API says no, and sometimes yes (``metav1.Status``)."""

from collections.abc import Mapping
from typing import Any

SUCCESS = "Success"
FAILURE = "Failure"


def failure(
    code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A Status that refuses; ``code`` is the HTTP status, ``reason`` the CamelCase word."""
    shown: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": FAILURE,
        "message": message,
    }
    if reason:
        shown["reason"] = reason
    if details is not None:
        shown["details"] = dict(details)
    shown["code"] = code
    return shown


def success(details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A Status that tells of a deletion done."""
    shown: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": SUCCESS,
    }
    if details is not None:
        shown["details"] = dict(details)
    return shown


def is_status(obj: Mapping[str, Any]) -> bool:
    """Whether a decoded answer is a Status of the core group."""
    return obj.get("kind") == "Status" and obj.get("apiVersion") == "v1"
