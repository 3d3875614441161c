"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds or microseconds."""

import datetime
import functools
import math
import time

_UTC = datetime.UTC


def format_seconds(when: float) -> str:
    """``2022-06-14T11:23:36Z`` for seconds since the epoch."""
    return _formatted(math.floor(when))


@functools.lru_cache(maxsize=8)
def _formatted(seconds: int) -> str:
    # Hundreds of runs may begin within one second, and each wants to know its time.
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
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
