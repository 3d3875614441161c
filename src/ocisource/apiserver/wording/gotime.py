"""Times as Go's ``time.Parse`` reads them, with its complaints.

``Time`` is ``2006-01-02T15:04:05Z07:00`` (a fraction may follow the seconds), ``MicroTime`` wants
six digits of fraction. Both are written back in UTC.

Example::

    >>> normal("2020-01-01T02:00:00+02:00"), normal_micro("2020-01-01T00:00:00.5Z")
    Traceback (most recent call last):
    ...
    ocisource.errors.InvalidInputError: parsing time "2020-01-01T00:00:00.5Z" as ...
"""

import datetime
import functools
import re
from collections.abc import Sequence

from ocisource import errors
from ocisource.apiserver.wording import gotext

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"

_TWO = re.compile(r"\d{2}")
_FOUR = re.compile(r"\d{4}")
_FRACTION = re.compile(r"[.,]\d+")
_SIX = re.compile(r"[.,]\d{6}")
_ZONE = re.compile(r"Z|[+-]\d{2}:\d{2}")
_MONTHS = 12
_MAX_TEXT = 128  # characters quoted of what is no time
_KEPT = 1024  # times read lately: an object brings those of its past along with every write


@functools.lru_cache(maxsize=_KEPT)
def normal(text: str) -> str:
    """A time as ``metav1.Time`` writes it; raises InvalidInputError with Go's words."""
    return _parse(text, LAYOUT).isoformat(timespec="seconds") + "Z"


@functools.lru_cache(maxsize=_KEPT)
def normal_micro(text: str) -> str:
    """A time as ``metav1.MicroTime`` writes it; raises InvalidInputError with Go's words."""
    return _parse(text, MICRO_LAYOUT).isoformat(timespec="microseconds") + "Z"


def _parse(text: str, layout: str) -> datetime.datetime:
    shown = gotext.quote(text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT])
    rest = text
    for element, pattern in _elements(layout):
        match = pattern.match(rest)
        if match is None:
            problem = f"cannot parse {gotext.quote(rest[:_MAX_TEXT])} as {gotext.quote(element)}"
            raise errors.InvalidInputError(f'parsing time {shown} as "{layout}": {problem}')
        rest = rest[match.end() :]
        if element == "05" and layout == LAYOUT and (match := _FRACTION.match(rest)):
            rest = rest[match.end() :]
    if rest:
        problem = f": extra text: {gotext.quote(rest[:_MAX_TEXT])}"
        raise errors.InvalidInputError(f"parsing time {shown}{problem}")
    try:
        moment = datetime.datetime.fromisoformat(text.replace(",", "."))
        return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise errors.InvalidInputError(
            f"parsing time {shown}: {_out_of_range(text)} out of range"
        ) from error


def _elements(layout: str) -> Sequence[tuple[str, re.Pattern[str]]]:
    seconds = [("05", _TWO)]
    if layout == MICRO_LAYOUT:
        seconds.append((".000000", _SIX))
    return (
        ("2006", _FOUR),
        ("-", re.compile("-")),
        ("01", _TWO),
        ("-", re.compile("-")),
        ("02", _TWO),
        ("T", re.compile("T")),
        ("15", _TWO),
        (":", re.compile(":")),
        ("04", _TWO),
        (":", re.compile(":")),
        *seconds,
        ("Z07:00", _ZONE),
    )


def _out_of_range(text: str) -> str:
    for name, part, most in (
        ("month", text[5:7], _MONTHS),
        ("hour", text[11:13], 23),
        ("minute", text[14:16], 59),
        ("second", text[17:19], 59),
    ):
        if int(part) > most or (name == "month" and int(part) == 0):
            return name
    return "day"
