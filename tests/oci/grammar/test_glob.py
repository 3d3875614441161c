"""Globs match as Go's path.Match does, and in bounded time."""

import hypothesis
import pytest
from hypothesis import strategies

from ocisource.oci.grammar import glob
from tests.parts import fuzz


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        # From the table of Go's own path/match_test.go.
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*", "ab/c", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "α", True),  # noqa: RUF001
        ("*[a-ζ]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        (r"[\]a]", "]", True),
        (r"[\-]", "-", True),
        (r"[x\-]", "z", False),
        ("[]a]", "]", False),
        ("[-]", "-", False),
        ("[x-]", "x", False),
        ("[-x]", "x", False),
        ("[a-b-c]", "a", False),
        ("[", "a", False),
        ("[^", "a", False),
        ("[^bc", "a", False),
        ("a[", "ab", False),
        ("\\", "a", False),
        ("[a\\", "a", False),
        ("[a-\\", "a", False),
        ("*x", "xxx", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_globs_match_as_in_go(pattern: str, text: str, *, expected: bool) -> None:
    """Stars, question marks, classes, escapes, and malformed patterns that match nothing."""
    assert glob.is_match(text, pattern=pattern) is expected


def test_attack_many_stars_take_bounded_time() -> None:
    """What makes a backtracking matcher run for ages ends here after length times length steps."""
    assert not glob.is_match("a" * 2000, pattern="*a" * 100 + "b")


@fuzz.counted()
@hypothesis.given(text=strategies.text(), pattern=strategies.text(alphabet=r"ab*?[]^-\/"))
def test_any_pattern_gives_an_answer(text: str, pattern: str) -> None:
    """Fuzz: no pattern raises, and a pattern without specials matches itself alone."""
    assert glob.is_match(text, pattern=pattern) in {True, False}
    plain = "".join(char for char in pattern if char in "ab/")
    assert glob.is_match(plain, pattern=plain)
