r"""Values as Go's fmt package prints them, which is how they stand in an API server's messages.

Only the three verbs the field errors use: ``%q`` for strings, ``%v`` for scalars and ``%#v`` for
objects and lists.

Example::

    >>> quote('a"b'), plain(1e30), syntax({"k": ["a", 1]})
    ('"a\\"b"', '1e+30', 'map[string]interface {}{"k":[]interface {}{"a", 1}}')
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_MAX_INT64 = 2**63 - 1
# strconv.FormatFloat(f, 'g', -1, 64), as %v uses it: exponents below -4 or from 6 on are written.
_LOWEST_EXPONENT = -4
_HIGHEST_EXPONENT = 6


def quote(text: str) -> str:
    """Write a string as ``%q`` does."""
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:  # noqa: PLR2004 - the end of ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the BMP


def number(value: float) -> str:
    """Write a float64 as ``%v`` does: the shortest digits, an exponent from 1e+06 on."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    digits, exponent = _shortest(abs(value))
    sign = "-" if value < 0 else ""
    if _LOWEST_EXPONENT <= exponent < _HIGHEST_EXPONENT:
        if exponent < 0:
            return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
        whole = digits[: exponent + 1].ljust(exponent + 1, "0")
        fraction = digits[exponent + 1 :]
        return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shortest(value: float) -> tuple[str, int]:
    """Shortest round-trip digits and the decimal exponent of the first of them."""
    if value == 0:
        return "0", 0
    mantissa, _, exponent = f"{value!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole) if whole.strip("0") else len(digits) - len(fraction)
    return digits.rstrip("0") or "0", leading - 1 + int(exponent or "0")


def plain(value: Any) -> str:
    """Write decoded JSON as ``%v`` does."""
    if value is None:
        return "<nil>"
    if isinstance(value, Mapping):
        inner = " ".join(f"{key}:{plain(value[key])}" for key in sorted(value))
        return f"map[{inner}]"
    if isinstance(value, list):
        return f"[{' '.join(map(plain, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return str(value) if -_MAX_INT64 - 1 <= value <= _MAX_INT64 else number(float(value))
    return str(value)


def syntax(value: Any) -> str:
    """Write decoded JSON as ``%#v`` does."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        items = ", ".join(f"{quote(key)}:{syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{items}}}"
    if isinstance(value, Sequence):
        return f"[]interface {{}}{{{_comma(syntax(item) for item in value)}}}"
    return plain(value)


def _comma(parts: Iterable[str]) -> str:
    return ", ".join(parts)
