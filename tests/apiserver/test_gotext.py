"""Values and times as Go writes and reads them."""

import re

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.schemas import formats
from ocisource.apiserver.wording import gotext, gotime


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (1e20, "1e+20"),
        (1e21, "1e+21"),
        (9007199254740992.0, "9.007199254740992e+15"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5, "1.5"),
        (2.0, "2"),
        (-0.25, "-0.25"),
        (0.0, "0"),
        (2**64, "1.8446744073709552e+19"),
        (2**62, "4611686018427387904"),
        (True, "true"),
        (None, "<nil>"),
        (float("inf"), "+Inf"),
        (float("nan"), "NaN"),
        ([1, "a"], "[1 a]"),
        ({"b": 1, "a": [True]}, "map[a:[true] b:1]"),
    ],
)
def test_plain_values(value: object, text: str) -> None:
    """What ``%v`` printed."""
    assert gotext.plain(value) == text


def test_syntax_of_values() -> None:
    """What ``%#v`` printed of decoded JSON."""
    value = {"a": 2.0, "b": 1e21, "c": None, "d": [True, 3]}
    wanted = 'map[string]interface {}{"a":2, "b":1e+21, "c":interface {}(nil), '
    assert gotext.syntax(value) == wanted + '"d":[]interface {}{true, 3}}'


def test_quoted_text() -> None:
    """What ``%q`` printed."""
    assert gotext.quote('é\u200b\x01ÿ\U0001f600"\\\n') == '"é\\u200b\\x01ÿ😀\\"\\\\\\n"'


@hypothesis.given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_value(value: float) -> None:
    """The shortest digits lead back to the number."""
    assert float(gotext.number(value)) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00.9Z", "2020-01-01T00:00:00Z"),
    ],
)
def test_times_are_written_in_utc(text: str, written: str) -> None:
    """Any zone, whole seconds."""
    assert gotime.normal(text) == written


def test_micro_times_keep_six_digits() -> None:
    """MicroTime keeps what Time drops."""
    text = "2020-01-01T00:00:00.123456Z"
    assert gotime.normal_micro(text) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bad", 'cannot parse "bad" as "2006"'),
        ("2020-01-01", 'cannot parse "" as "T"'),
        ("2020-01-01T00:00:00", 'cannot parse "" as "Z07:00"'),
        ("2020-13-01T00:00:00Z", "month out of range"),
        ("2020-02-31T00:00:00Z", "day out of range"),
        ("2020-01-01T24:00:00Z", "hour out of range"),
        ("2020-01-01T00:00:00Zx", 'extra text: "x"'),
    ],
)
def test_what_is_no_time_is_refused_in_gos_words(text: str, problem: str) -> None:
    """Each complaint says where reading stopped."""
    with pytest.raises(errors.InvalidInputError, match=re.escape(problem)):
        gotime.normal(text)


def test_micro_times_want_their_fraction() -> None:
    """kube-apiserver's own complaint about a Lease's renewTime."""
    with pytest.raises(errors.InvalidInputError) as caught:
        gotime.normal_micro("2020-01-01T00:00:00Z")
    assert str(caught.value) == (
        'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": '
        'cannot parse "Z" as ".000000"'
    )


@hypothesis.given(st.text(max_size=40) | st.datetimes().map(lambda when: when.isoformat() + "Z"))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Reading ends with a time or with the one error."""
    try:
        written = gotime.normal(text)
    except errors.InvalidInputError:
        return
    assert gotime.normal(written) == written


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("byte", "QQ==", "%%"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("creditcard", "4111-1111-1111-1111\N{SUPERSCRIPT TWO}", "\N{SUPERSCRIPT TWO}" * 16),
        ("ssn", "111223333", "\N{ARABIC-INDIC DIGIT ONE}" * 9),
        ("date", "2020-02-29", "2020-02-30"),
        ("date-time", "2020-01-01T00:00:00Z", "2020-01-01"),
        ("duration", "1h30m", "soon"),
        ("duration", "3 days", "3 eons"),
        ("email", "a@b.c", "a.b.c"),
        ("hexcolor", "#ff0000", "#ff00"),
        ("hostname", "example.com", "-a-"),
        ("ipv4", "1.2.3.4", "1.2.3"),
        ("ipv6", "::1", "1.2.3.4"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("rgbcolor", "rgb(1,2,255)", "rgb(1,2,256)"),
        ("ssn", "111-22-3333", "111"),
        ("uri", "oci://x/y", "::"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
    ],
)
def test_formats_tell_good_from_bad(name: str, good: str, bad: str) -> None:
    """One text that has the format, and one that has not."""
    assert formats.is_valid(name, good)
    assert not formats.is_valid(name, bad)


def test_unknown_formats_are_no_rule() -> None:
    """A format nobody knows admits everything."""
    assert formats.is_valid("whatever", "x")


@hypothesis.given(st.sampled_from(sorted(formats.CHECKS)), st.text(max_size=60))
def test_any_text_has_a_format_or_not(name: str, text: str) -> None:
    """No text makes a check fail otherwise."""
    assert formats.is_valid(name, text) in {True, False}
