"""Events in both groups: the same objects, stored as core/v1, shown as either.

events.k8s.io/v1 renames ``involvedObject`` to ``regarding``, ``message`` to ``note`` and
``reportingComponent`` to ``reportingController``; count, source and the two timestamps become
``deprecated...``.
"""

from collections.abc import Mapping
from typing import Any

CORE_VERSION = "v1"
NEW_VERSION = "events.k8s.io/v1"

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "count": "deprecatedCount",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
}
_RENAMED_BACK = {new: core for core, new in _RENAMED.items()}
# Members that core/v1 writes although they are empty, and events.k8s.io/v1 does not.
_DROPPED_WHEN_EMPTY = ("reportingController", "reportingInstance")
_WRITTEN_BY_CORE: Mapping[str, Any] = {"reportingComponent": "", "reportingInstance": ""}


def to_core(event: Mapping[str, Any]) -> dict[str, Any]:
    """An events.k8s.io/v1 event as core/v1 writes it."""
    shown = {_RENAMED_BACK.get(name, name): value for name, value in event.items()}
    shown["apiVersion"] = CORE_VERSION
    return {**_WRITTEN_BY_CORE, **shown}


def from_core(event: Mapping[str, Any]) -> dict[str, Any]:
    """A core/v1 event as events.k8s.io/v1 writes it."""
    shown = {_RENAMED.get(name, name): value for name, value in event.items()}
    shown["apiVersion"] = NEW_VERSION
    for name in _DROPPED_WHEN_EMPTY:
        if not shown.get(name):
            shown.pop(name, None)
    return shown
