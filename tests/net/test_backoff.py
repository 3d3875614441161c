"""Delays grow, are spread, and obey what a server asks for within bounds."""

import email.utils
import random

import hypothesis
import pytest
from hypothesis import strategies

from ocisource.net import backoff
from tests.parts import fuzz

NOW = 1_700_000_000.0


def date(seconds: float) -> str:
    """An HTTP-date some seconds from NOW."""
    return email.utils.formatdate(NOW + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("0.0000000000000001", 0.0),
        ("900", 900.0),
        ("901", 900.0),
        ("9" * 5000, 900.0),
        ("0" * 5000 + "7", 7.0),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("soon", None),
        ("\u0665", None),
        (date(30), 30.0),
        (date(-30), 0.0),
        (date(3600), 900.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),  # RFC 850
        ("Tue Nov 14 22:13:50 2023", 30.0),  # asctime
        ("Tue, 14 Nov 99999 22:13:50 GMT", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    """RFC 9110, 10.2.3: both forms and all three date formats, between 0 and 15 minutes."""
    assert backoff.parse_retry_after(value, now=NOW) == expected


@fuzz.counted()
@hypothesis.given(
    value=strategies.one_of(strategies.text(), strategies.text(alphabet="0123456789. :,TueNovGM"))
)
def test_any_retry_after_is_a_bounded_wait_or_none(value: str) -> None:
    """Fuzz: no header makes anybody wait longer than 15 minutes, or raises."""
    found = backoff.parse_retry_after(value, now=NOW)
    assert found is None or 0.0 <= found <= backoff.RETRY_AFTER_CAP


def test_delays_are_those_of_the_reference_client() -> None:
    """1 s, then 3 s, each spread by a tenth, three tries in all."""
    policy = backoff.Backoff()
    assert policy.attempts == 3
    rng = random.Random(1)
    for retry, base in ((0, 1.0), (1, 3.0)):
        delays = [policy.delay(retry, rng=rng) for _ in range(200)]
        assert 0.9 * base <= min(delays) < base < max(delays) <= 1.1 * base


@fuzz.counted()
@hypothesis.given(
    initial=strategies.floats(0.001, 10),
    factor=strategies.floats(1, 10),
    cap=strategies.floats(0.001, 1000),
    jitter=strategies.floats(0, 1),
    retry=strategies.integers(0, 10_000),
    seed=strategies.integers(),
)
def test_no_delay_is_negative_or_above_the_cap(
    *, initial: float, factor: float, cap: float, jitter: float, retry: int, seed: int
) -> None:
    """Property: also after very many failures."""
    policy = backoff.Backoff(initial=initial, factor=factor, cap=cap, jitter=jitter)
    assert 0.0 <= policy.delay(retry, rng=random.Random(seed)) <= cap


def test_without_jitter_delays_are_exact() -> None:
    """Each delay is the factor times the one before, up to the cap."""
    policy = backoff.Backoff(initial=0.75, factor=2, cap=900, jitter=0)
    delays = [policy.delay(retry, rng=random.Random(0)) for retry in range(12)]
    assert delays[:4] == [0.75, 1.5, 3.0, 6.0]
    assert delays[-1] == 900.0
