"""Conditional and range requests (RFC 9110, sections 13 and 14), as pure rules.

The order of RFC 9110, 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else
If-Modified-Since; then Range, if If-Range allows it.

Tags may be spread over several lines, which are one list (section 5.3). Where one value is meant,
several say nothing: a date or a range counts as absent, an If-Range as one that does not match.
"""

import dataclasses
import datetime
import email.utils
import enum
import re
from collections.abc import Sequence

import multidict

Headers = multidict.MultiMapping[str]

MAX_RANGES = 16  # in one request; more are answered with the whole file

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE
_ENTITY_TAG = re.compile(r'\s*(W/)?("[\x21\x23-\x7e\x80-\uffff]*")\s*(?:,|$)')
# ranges-specifier of the unit "bytes"; a position has at most 18 digits, so that it fits 64 bits.
_RANGE_SET = re.compile(r"bytes\s*=\s*(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"(\d{1,18})-(\d{0,18})|-(\d{1,18})", re.ASCII)
_MAX_DATE = 64  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Representation:
    """What is served: ``size`` in bytes, ``etag`` (strong, quoted), ``last_modified`` in s."""

    size: int
    etag: str
    last_modified: int


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes from ``offset``."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of a Content-Range field."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


class Verdict(enum.Enum):
    """What the conditions of a request ask for."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


class UnsatisfiableError(ValueError):
    """No range of the request lies within the file (416)."""


def judge(headers: Headers, subject: Representation) -> Verdict:
    """Evaluate the preconditions of a GET or HEAD."""
    if not _is_unchanged(headers, subject):
        return Verdict.FAILED
    if (tags := _listed(headers, "If-None-Match")) is not None:
        return Verdict.NOT_MODIFIED if _names(tags, subject) else Verdict.PROCEED
    since = _seconds(_single(headers, "If-Modified-Since"))
    if since is not None and subject.last_modified <= since:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def _is_unchanged(headers: Headers, subject: Representation) -> bool:
    if (tags := _listed(headers, "If-Match")) is not None:
        return _names(tags, subject, is_weak_enough=False)
    since = _seconds(_single(headers, "If-Unmodified-Since"))
    return since is None or subject.last_modified <= since


def spans(headers: Headers, subject: Representation) -> Sequence[Span] | None:
    """The parts of the file a GET asks for; None for the whole.

    Raises UnsatisfiableError. As in Go's server, a malformed set of byte ranges counts as
    unsatisfiable, and ranges that sum up to more than the file are answered with the whole.
    """
    value = _single(headers, "Range")
    if value is None or not _is_range_allowed(headers, subject):
        return None
    matched = _RANGE_SET.fullmatch(value.strip())
    if matched is None:
        return None  # RFC 9110, 14.2: an unknown unit is ignored
    items = [item.strip() for item in matched[1].split(",")]
    items = [item for item in items if item]
    if len(items) > MAX_RANGES:
        return None
    found = [span for item in items if (span := _span(item, subject.size)) is not None]
    if not found:
        if subject.size == 0 and items:
            return None
        raise UnsatisfiableError(value)
    return None if sum(span.length for span in found) > subject.size else found


def _span(item: str, size: int) -> Span | None:
    matched = _RANGE.fullmatch(item)
    if matched is None:
        raise UnsatisfiableError(item)
    first, last, suffix = matched.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        return Span(size - length, length) if length else None
    offset = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < offset:
        raise UnsatisfiableError(item)
    return Span(offset, end - offset + 1) if offset < size else None


def _is_range_allowed(headers: Headers, subject: Representation) -> bool:
    """If-Range: only an equal strong tag or exactly the same date lets the range stand."""
    if "If-Range" not in headers:
        return True
    condition = _single(headers, "If-Range")
    if condition is None:
        return False
    if condition.strip().startswith(('"', "W/")):
        return condition.strip() == subject.etag
    return _seconds(condition) == subject.last_modified


def _listed(headers: Headers, name: str) -> str | None:
    """The values of all lines as one list; None if there is no line."""
    lines = headers.getall(name, ())
    return ", ".join(lines) if lines else None


def _single(headers: Headers, name: str) -> str | None:
    """The value of the only line; None if there are none or several."""
    lines = headers.getall(name, ())
    return lines[0] if len(lines) == 1 else None


def _names(tags: str, subject: Representation, *, is_weak_enough: bool = True) -> bool:
    if tags.strip() == "*":
        return True
    position = 0
    while matched := _ENTITY_TAG.match(tags, position):
        weak, tag = matched.groups()
        if tag == subject.etag and (is_weak_enough or weak is None):
            return True
        position = matched.end()
        if position >= len(tags):
            break
    return False


def _seconds(date: str | None) -> int | None:
    """Seconds since the epoch of an HTTP date; None if there is none or it is invalid."""
    if date is None or len(date) > _MAX_DATE:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError, TypeError, IndexError):  # years no clock can show
        return None
