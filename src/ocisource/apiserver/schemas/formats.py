"""String formats a schema may name; an unknown format is no rule at all.

The list is that of go-openapi's ``strfmt`` registry, which a real API server uses.
"""

import base64
import binascii
import datetime
import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Mapping

from ocisource import errors
from ocisource.wire import durations

_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_HOSTNAME = re.compile(
    r"[a-zA-Z0-9\u00a1-\U0010ffff]([a-zA-Z0-9\u00a1-\U0010ffff-]*[a-zA-Z0-9\u00a1-\U0010ffff])?"
    r"(\.[a-zA-Z0-9\u00a1-\U0010ffff]([a-zA-Z0-9\u00a1-\U0010ffff-]*"
    r"[a-zA-Z0-9\u00a1-\U0010ffff])?)*\.?"
)
_MAX_HOSTNAME = 255
_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?{version}[0-9a-f]{3}-?{variant}[0-9a-f]{3}-?[0-9a-f]{12}"
_MAC = re.compile(
    r"([0-9a-f]{2}([:-])[0-9a-f]{2}(\2[0-9a-f]{2}){4})|([0-9a-f]{4}(\.[0-9a-f]{4}){2})"
)
_HEX_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_COLOR = re.compile(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_SPOKEN_DURATION = re.compile(
    r"([0-9]+)\s*(nano|nanosecond|nanoseconds|ns|micro|microsecond|microseconds|us|µs|milli|"
    r"millisecond|milliseconds|ms|second|seconds|sec|s|minute|minutes|min|m|hour|hours|hr|h|"
    r"day|days|d|week|weeks|wk|w)",
    re.IGNORECASE,
)
_NO_DIGITS = re.compile(r"[^0-9]+")
_BYTE_MAX = 255


def is_valid(name: str, text: str) -> bool:
    """Say whether ``text`` has the format; True for formats nobody knows."""
    check = CHECKS.get(name.replace("-", ""))
    return check is None or check(text)


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _uuid(version: str, variant: str) -> Callable[[str], bool]:
    text = _UUID.replace("{version}", version).replace("{variant}", variant)
    return _matches(re.compile(text, re.IGNORECASE))


def _is_hostname(text: str) -> bool:
    return len(text) <= _MAX_HOSTNAME and _HOSTNAME.fullmatch(text) is not None


def _is_uri(text: str) -> bool:
    # net/url.ParseRequestURI: an absolute address or an absolute path.
    try:
        parts = urllib.parse.urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _is_byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2006-01-02")


def _is_date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    try:
        datetime.datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        return False
    return True


def _is_duration(text: str) -> bool:
    try:
        durations.parse_nanoseconds(text)
    except errors.InvalidInputError:
        return _SPOKEN_DURATION.fullmatch(text.strip()) is not None
    return True


def _is_address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_rgb(text: str) -> bool:
    match = _RGB_COLOR.fullmatch(text)
    return match is not None and all(int(part) <= _BYTE_MAX for part in match.groups())


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if re.fullmatch(r"[0-9]{9}[0-9X]", digits) is None:
        return False
    values = [10 if digit == "X" else int(digit) for digit in digits]
    return sum((10 - place) * value for place, value in enumerate(values)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if re.fullmatch(r"[0-9]{13}", digits) is None:
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _is_credit_card(text: str) -> bool:
    digits = [int(digit) for digit in _NO_DIGITS.sub("", text)]
    if not 12 <= len(digits) <= 19:  # noqa: PLR2004 - lengths of ISO/IEC 7812 numbers
        return False
    doubled = [
        digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
        for place, digit in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(_OBJECT_ID),
    "byte": _is_byte,
    "cidr": _is_cidr,
    "creditcard": _is_credit_card,
    "date": _is_date,
    "datetime": _is_date_time,
    "duration": _is_duration,
    "email": _matches(_EMAIL),
    "hexcolor": _matches(_HEX_COLOR),
    "hostname": _is_hostname,
    "ipv4": _is_address(4),
    "ipv6": _is_address(6),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "mac": _matches(_MAC),
    "rgbcolor": _is_rgb,
    "ssn": _matches(_SSN),
    "uri": _is_uri,
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
}
