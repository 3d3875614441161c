"""Durations in Go's syntax, as seconds.

``duration ::= ["+" | "-"] ( "0" | ( decimal unit )+ )`` with the units ns, us, µs, ms, s, m, h
(Go's ``time.ParseDuration``); formatting follows Go's ``Duration.String``.

Example::

    >>> parse("1h30m"), parse("1.5s"), format_seconds(300)
    (5400.0, 1.5, '5m0s')
"""

import re

from ocisource import errors

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SECOND = 10**9
_TERM = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>[^0-9.]*)")
_MAX_NANOSECONDS = 2**63 - 1
_MAX_TEXT = 256  # characters; Go has no bound, but no honest duration is longer


def parse(text: str) -> float:
    """Seconds of a Go duration; raises InvalidInputError with Go's wording."""
    return parse_nanoseconds(text) / _SECOND


def parse_nanoseconds(text: str) -> int:
    """Nanoseconds of a Go duration; raises InvalidInputError with Go's wording."""
    shown = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
    invalid = errors.InvalidInputError(f'time: invalid duration "{shown}"')
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    if not rest or len(rest) > _MAX_TEXT:
        raise invalid
    total = 0
    position = 0
    while position < len(rest):
        term = _TERM.match(rest, position)
        if term is None or not (term["whole"] or term["fraction"]):
            raise invalid
        unit = term["unit"]
        if not unit:
            raise errors.InvalidInputError(f'time: missing unit in duration "{shown}"')
        if unit not in _NANOSECONDS:
            raise errors.InvalidInputError(f'time: unknown unit "{unit}" in duration "{shown}"')
        total += int(term["whole"] or "0") * _NANOSECONDS[unit]
        if fraction := term["fraction"]:
            total += int(fraction) * _NANOSECONDS[unit] // 10 ** len(fraction)
        position = term.end()
    if total > _MAX_NANOSECONDS:
        raise invalid
    return sign * total


def format_seconds(seconds: float) -> str:
    """A duration as Go prints it: ``5m0s``, ``1.5s``, ``750ms``, ``0s``."""
    nanoseconds = round(seconds * _SECOND)
    sign = "-" if nanoseconds < 0 else ""
    nanoseconds = abs(nanoseconds)
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < _SECOND:
        for unit in ("ms", "µs", "ns"):
            if nanoseconds >= _NANOSECONDS[unit]:
                return f"{sign}{_decimal(nanoseconds, _NANOSECONDS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")
