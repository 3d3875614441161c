"""Durations as ``kubectl`` shows ages: ``45s``, ``5m``, ``3d4h``.

Two units at most, the second one only while the first is small (apimachinery
``pkg/util/duration.HumanDuration``).
"""

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY


def render(seconds: float) -> str:
    """Write an age; one that lies in the future by more than a second is ``<invalid>``."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    for until, first, second in (
        (2 * _MINUTE, (1, "s"), None),
        (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
        (3 * _HOUR, (_MINUTE, "m"), None),
        (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
        (2 * _DAY, (_HOUR, "h"), None),
        (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
        (2 * _YEAR, (_DAY, "d"), None),
        (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
    ):
        if whole < until:
            count, rest = divmod(whole, first[0])
            text = f"{count}{first[1]}"
            if second is not None and rest >= second[0]:
                text += f"{rest // second[0]}{second[1]}"
            return text
    return f"{whole // _YEAR}y"
