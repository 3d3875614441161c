"""Who owns which field: not recorded yet; a server-side apply is taken as a merge."""

from collections.abc import Mapping, Sequence
from typing import Any

from ocisource import errors
from ocisource.wire import mergepatch


class ConflictError(errors.OcisourceError):
    """Another manager owns a field."""

    causes: Sequence[Mapping[str, Any]] = ()


def apply(live: Any, patch: Any, **_: Any) -> Any:
    """Merge."""
    return mergepatch.apply(live or {}, patch)


def update(_old: Any, new: Any, **_: Any) -> Any:
    """Leave as it is."""
    return new
