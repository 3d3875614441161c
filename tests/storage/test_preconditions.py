"""Conditional and range requests as rules."""

import hypothesis
import hypothesis.strategies as st
import multidict
import pytest

from ocisource.storage import preconditions
from ocisource.storage.preconditions import Span, Verdict

_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # 1_700_000_000
_LATER = "Tue, 14 Nov 2023 22:13:21 GMT"
_EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
_TAG = '"sha256:abc"'
_SUBJECT = preconditions.Representation(100, _TAG, 1_700_000_000)


def _range(value: str, **more: str) -> multidict.CIMultiDict[str]:
    return multidict.CIMultiDict({"Range": value, **more})


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Verdict.PROCEED),
        ({"If-None-Match": _TAG}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": f"W/{_TAG}"}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": f'"x", {_TAG}'}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": f'"x",W/"y" , {_TAG} '}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": "*"}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": '"other"'}, Verdict.PROCEED),
        ({"If-None-Match": "sha256:abc"}, Verdict.PROCEED),
        ({"If-None-Match": ""}, Verdict.PROCEED),
        ({"If-None-Match": '"other"', "If-Modified-Since": _LATER}, Verdict.PROCEED),
        ({"If-Modified-Since": _DATE}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": _LATER}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": _EARLIER}, Verdict.PROCEED),
        ({"If-Modified-Since": "yesterday"}, Verdict.PROCEED),
        ({"If-Modified-Since": "Tuesday, 14-Nov-23 22:13:20 GMT"}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": "Tue Nov 14 22:13:20 2023"}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": "Tue, 14 Nov 99999 22:13:20 GMT"}, Verdict.PROCEED),
        ({"If-Modified-Since": "Tue, 14 Nov 99999999999999999999 22:13:20 GMT"}, Verdict.PROCEED),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:20 +9999999999999"}, Verdict.PROCEED),
        ({"If-Modified-Since": "1" * 5000}, Verdict.PROCEED),
        ({"If-Match": _TAG}, Verdict.PROCEED),
        ({"If-Match": "*"}, Verdict.PROCEED),
        ({"If-Match": f"W/{_TAG}"}, Verdict.FAILED),
        ({"If-Match": '"other"'}, Verdict.FAILED),
        ({"If-Match": _TAG, "If-Unmodified-Since": _EARLIER}, Verdict.PROCEED),
        ({"If-Match": _TAG, "If-None-Match": _TAG}, Verdict.NOT_MODIFIED),
        ({"If-Unmodified-Since": _DATE}, Verdict.PROCEED),
        ({"If-Unmodified-Since": _EARLIER}, Verdict.FAILED),
        ({"If-Unmodified-Since": "never"}, Verdict.PROCEED),
    ],
)
def test_conditions_are_judged_in_the_order_of_the_rfc(
    headers: dict[str, str], verdict: Verdict
) -> None:
    """RFC 9110, 13.2.2: tags before dates, If-Match before If-None-Match."""
    assert preconditions.judge(multidict.CIMultiDict(headers), _SUBJECT) is verdict


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-9", [Span(0, 10)]),
        ("bytes=0-0", [Span(0, 1)]),
        ("bytes=90-", [Span(90, 10)]),
        ("bytes=90-1000", [Span(90, 10)]),
        ("bytes=-10", [Span(90, 10)]),
        ("bytes=-1000", [Span(0, 100)]),
        ("Bytes = 0-9 , 20-29", [Span(0, 10), Span(20, 10)]),
        ("bytes=0-9,,200-300", [Span(0, 10)]),
        ("bytes=50-59,0-9", [Span(50, 10), Span(0, 10)]),
        ("bytes=0-99,0-0", None),
        ("bytes=" + ",".join(["0-0"] * 17), None),
        ("lines=0-9", None),
        ("nonsense", None),
    ],
)
def test_ranges_name_parts_of_the_file(value: str, spans: list[Span] | None) -> None:
    """Satisfiable ranges come in the order asked for; excessive or unknown ones mean the whole."""
    assert preconditions.spans(_range(value), _SUBJECT) == spans


@pytest.mark.parametrize(
    "value",
    [
        "bytes=100-",
        "bytes=99999-",
        "bytes=-0",
        "bytes=",
        "bytes=x-y",
        "bytes=9-0",
        "bytes=--1",
        "bytes=1",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
        "bytes=" + "9" * 5000 + "-",
        "bytes=0-9,nonsense",
    ],
)
def test_ranges_outside_the_file_or_malformed_are_unsatisfiable(value: str) -> None:
    """They are answered with 416."""
    with pytest.raises(preconditions.UnsatisfiableError):
        preconditions.spans(_range(value), _SUBJECT)


def test_an_empty_file_has_no_parts() -> None:
    """A range of an empty file is answered with the whole, as Go does."""
    empty = preconditions.Representation(0, _TAG, 0)
    assert preconditions.spans(_range("bytes=0-9"), empty) is None
    assert preconditions.spans(_range("bytes=-5"), empty) is None


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        (_TAG, True),
        (f"W/{_TAG}", False),
        ('"other"', False),
        (_DATE, True),
        (_LATER, False),
        (_EARLIER, False),
        ("nonsense", False),
    ],
)
def test_a_range_stands_only_if_the_file_is_the_same(condition: str, *, is_allowed: bool) -> None:
    """If-Range wants the very tag or the very date."""
    headers = _range("bytes=0-9", **{"If-Range": condition})
    assert preconditions.spans(headers, _SUBJECT) == ([Span(0, 10)] if is_allowed else None)


@pytest.mark.parametrize(
    ("name", "values", "verdict"),
    [
        ("If-None-Match", ('"x"', _TAG), Verdict.NOT_MODIFIED),
        ("If-None-Match", ('"x"', '"y"'), Verdict.PROCEED),
        ("If-Match", ('"x"', _TAG), Verdict.PROCEED),
        ("If-Match", ('"x"', '"y"'), Verdict.FAILED),
        ("If-Modified-Since", (_DATE, _LATER), Verdict.PROCEED),
        ("If-Unmodified-Since", (_EARLIER, _DATE), Verdict.PROCEED),
    ],
)
def test_lines_of_one_field_are_one_list(
    name: str, values: tuple[str, str], verdict: Verdict
) -> None:
    """RFC 9110, 5.3 and 13.1.3: tags add up; two dates are none."""
    headers = multidict.CIMultiDict([(name, value) for value in values])
    assert preconditions.judge(headers, _SUBJECT) is verdict


@pytest.mark.parametrize(
    "more", [("Range", "bytes=20-29"), ("If-Range", _TAG)], ids=["two-ranges", "two-conditions"]
)
def test_a_range_said_twice_is_not_guessed_at(more: tuple[str, str]) -> None:
    """Whatever the client meant, the whole file is right."""
    headers = _range("bytes=0-9", **{"If-Range": _TAG})
    assert preconditions.spans(headers, _SUBJECT) == [Span(0, 10)]
    headers.add(*more)
    assert preconditions.spans(headers, _SUBJECT) is None


@hypothesis.given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 1000))
def test_no_header_makes_a_rule_fail(value: str, other: str, size: int) -> None:
    """Whatever a client writes: an answer, and only parts that lie within the file."""
    subject = preconditions.Representation(size, _TAG, 0)
    names = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    for name in names:
        preconditions.judge(multidict.CIMultiDict({name: value}), subject)
    headers = _range(f"bytes={value}", **{"If-Range": other})
    for candidate in (headers, _range(f"bytes={value}"), _range(value)):
        try:
            spans = preconditions.spans(candidate, subject)
        except preconditions.UnsatisfiableError:
            continue
        for span in spans or ():
            assert span.length > 0
            assert 0 <= span.offset <= span.offset + span.length <= size
