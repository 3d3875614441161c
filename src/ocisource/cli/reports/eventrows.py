"""An event as a row of a table and as data."""

import typing

from ocisource.apiserver.wording import humanduration
from ocisource.wire import timestamps

_UNKNOWN = "<unknown>"

Document = dict[str, typing.Any]


def _seconds(text: object) -> float | None:
    try:
        return timestamps.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def last_seen(event: Document) -> float:
    """When it happened last, in seconds since the epoch."""
    series = event.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
    ):
        if (seconds := _seconds(text)) is not None:
            return seconds
    return 0.0


def _age(seconds: float | None, now: float) -> str:
    return _UNKNOWN if not seconds else humanduration.render(max(now - seconds, 0))


def _seen(event: Document, now: float) -> str:
    """LAST SEEN: an age, or how often it was seen over which time."""
    first = _seconds(event.get("eventTime")) or _seconds(event.get("firstTimestamp"))
    series = event.get("series") or {}
    count = int(series.get("count") or event.get("count") or 0)
    if not series and count <= 1:
        return _age(first, now)
    return f"{_age(last_seen(event), now)} (x{count} over {_age(first, now)})"


def cells(event: Document, *, now: float) -> list[str]:
    """All columns of its row, the namespace first."""
    about = event.get("involvedObject") or {}
    return [
        str(about.get("namespace") or event["metadata"].get("namespace") or ""),
        _seen(event, now),
        str(event.get("type") or ""),
        str(event.get("reason") or ""),
        f"{about.get('kind')}/{about.get('name')}",
        str(event.get("message") or "").strip(),
    ]


def as_data(event: Document) -> Document:
    """What ``-o`` prints of it."""
    about = event.get("involvedObject") or {}
    series = event.get("series") or {}
    return {
        "namespace": about.get("namespace") or event["metadata"].get("namespace") or "",
        "firstSeen": event.get("eventTime") or event.get("firstTimestamp"),
        "lastSeen": series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime"),
        "count": int(series.get("count") or event.get("count") or 1),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "kind": about.get("kind"),
        "name": about.get("name"),
        "message": event.get("message"),
        "annotations": event["metadata"].get("annotations") or {},
    }
