"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds or microseconds."""

import datetime
import math
import time

_UTC = datetime.UTC


def format_seconds(when: float) -> str:
    """``2022-06-14T11:23:36Z`` for seconds since the epoch."""
    year, month, day, hour, minute, second, *_ = time.gmtime(math.floor(when))
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def format_micro(when: float) -> str:
    """``2022-06-14T11:23:36.000000Z`` (``metav1.MicroTime``) for seconds since the epoch."""
    return datetime.datetime.fromtimestamp(when, _UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """Seconds since the epoch; raises ValueError."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no time zone')
    return moment.timestamp()
