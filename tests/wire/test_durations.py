"""Durations as Go reads and prints them."""

import pytest

from ocisource import errors
from ocisource.wire import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5s", 5),
        ("30s", 30),
        ("-5s", -5),
        ("+5s", 5),
        ("5.0s", 5),
        ("5.6s", 5.6),
        (".5s", 0.5),
        ("5.s", 5),
        ("10ns", 1e-8),
        ("11us", 1.1e-5),
        ("12µs", 1.2e-5),
        ("12μs", 1.2e-5),
        ("13ms", 0.013),
        ("3h30m", 12600),
        ("10.5s4m", 250.5),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("39h9m14.425s", 140954.425),
        ("2562047h47m16.854s", 9223372036.854),
    ],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    """Values of Go's own table."""
    assert durations.parse(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".", 'time: invalid duration "."'),
        ("-.s", 'time: invalid duration "-.s"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        (" 5s", 'time: invalid duration " 5s"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("٣s", 'time: invalid duration "٣s"'),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text: str, message: str) -> None:
    """The message quotes what was written."""
    with pytest.raises(errors.InvalidInputError) as caught:
        durations.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (300, "5m0s"),
        (5400, "1h30m0s"),
        (1.5, "1.5s"),
        (0.75, "750ms"),
        (1.1e-6, "1.1µs"),
        (1e-9, "1ns"),
        (-61, "-1m1s"),
        (900, "15m0s"),
        (3600.001, "1h0m0.001s"),
    ],
)
def test_durations_are_printed_as_go_prints_them(seconds: float, text: str) -> None:
    """The form that Go's serialiser writes."""
    assert durations.format_seconds(seconds) == text
    assert durations.parse(text) == pytest.approx(seconds)
