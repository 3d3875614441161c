"""One name against one glob, in the dialect of Go's filepath.Match."""

import pytest

from ocisource.archive import globs


def is_match(pattern: str, name: str) -> bool:
    """Whether the pattern matches the whole name."""
    test = globs.tester([globs.parse(pattern)])
    return test is not None and test(name.encode("utf-8", "surrogateescape"))


# Rows of Go's own table (path/filepath, match_test.go) without a slash, and a few more.
@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*b*c*d*e*", "axbxcxdxe", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^b-d]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("a[^a][^a][^a]b", "a☺b", False),
        ("[a-ζ]*", "α", True),  # noqa: RUF001 - Go's own row
        ("*[a-ζ]", "A", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "x", True),
        ("[x\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[\\-x]", "x", True),
        ("[\\-x]", "a", False),
        ("[]a]", "]", False),
        ("[-]", "-", False),
        ("[x-]", "x", False),
        ("[-x]", "x", False),
        ("\\", "a", False),
        ("[a-b-c]", "a", False),
        ("[", "a", False),
        ("[^", "a", False),
        ("[^bc", "a", False),
        ("a[", "a", False),
        ("a[", "ab", False),
        ("*x", "xxx", True),
        ("[!a]", "!", True),
        ("[!a]", "b", False),
        ("[z-a]", "m", False),
        ("[^z-a]", "m", True),
        ("", "", True),
        ("", "a", False),
        ("**", "anything", True),
        ("?", "\udcff", True),
        ("*.yaml", ".yaml", True),
        ("a.c", "abc", False),
        ("$^(|)+", "$^(|)+", True),
    ],
)
def test_a_glob_means_what_it_means_to_go(pattern: str, name: str, *, wanted: bool) -> None:
    """Wildcards, classes, escapes, malformed patterns and other than ASCII."""
    assert is_match(pattern, name) is wanted


def test_many_globs_at_once_are_tried_together() -> None:
    """One test over literals, suffixes, prefixes and classes says yes if any of them fits."""
    test = globs.tester([globs.parse(p) for p in ("a", "*.zip", "tmp-*", "[xy]?", "[", "m*n*o")])
    assert test is not None
    names = [b"a", b"b.zip", b"tmp-1", b"x1", b"mno", b"m-n-o"]
    assert all(test(name) for name in names)
    assert not any(test(name) for name in [b"b", b"zip", b"tmp", b"z1", b"xyz", b"[", b"mn"])


def test_more_globs_than_one_expression_holds() -> None:
    """Hundreds of globs that need an expression are all looked at."""
    test = globs.tester([globs.parse(f"file-[0-9]-{number}-?") for number in range(1000)])
    assert test is not None
    assert test(b"file-5-999-x")
    assert not test(b"file-5-1000-x")


def test_no_expression_is_so_long_that_a_match_holds_everybody_up() -> None:
    """The interpreter's lock is held for a whole match: long globs are matched one by one."""
    groups = list(globs._groups(["x" * 7000] * 5 + ["y" * 40_000] + ["z"] * 600))
    assert [len(group) for group in groups] == [2, 2, 1, 1, 256, 256, 88]
    assert max(sum(map(len, group)) for group in groups if len(group) > 1) <= 16 << 10
    test = globs.tester(globs.parse(f"?{'b' * 7000}{number}") for number in range(5))
    assert test is not None
    assert test(b"a" + b"b" * 7000 + b"4")


def test_no_glob_at_all_has_no_test() -> None:
    """Nothing but malformed patterns leaves nothing to ask."""
    assert globs.tester([globs.parse("["), None]) is None
