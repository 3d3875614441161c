"""The matcher's dialect: every row of the reference's tables."""

from collections.abc import Sequence

import pytest

from ocisource.archive import gitignore

Line = str | tuple[str, str]  # a pattern, or a pattern and its domain


def is_excluded(lines: Sequence[Line], path: str) -> bool:
    """Judge a path, a directory if it ends in a slash, by a walk from the root."""
    patterns = []
    for line in lines:
        text, domain = line if isinstance(line, tuple) else (line, "")
        patterns.append(gitignore.parse(text, domain=domain.replace("/", "\0").encode()))
    scope = gitignore.Rules(patterns).root()
    *above, name = path.removesuffix("/").split("/")
    walked: list[str] = []
    for element in above:
        walked.append(element)
        scope = scope.child(element.encode(), path="\0".join(walked).encode())
    if path.endswith("/"):
        return scope.child(name.encode(), path="\0".join([*walked, name]).encode()).is_excluded
    return scope.tester()(name.encode())


def check(lines: Sequence[Line], *, out: str = "", kept: str = "") -> None:
    """Blank-separated paths that must be excluded, and ones that must stay."""
    for path in out.split():
        assert is_excluded(lines, path), (lines, path)
    for path in kept.split():
        assert not is_excluded(lines, path), (lines, path)


DEPLOY = ("/*", "!/deploy", "/deploy/**/*.md")


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        (["foo"], "foo a/foo foo/bar", ""),
        (["foo/"], "", "foo"),
        (["/foo"], "foo", "a/foo"),
        (["a/b"], "a/b/c", ""),
        (["abc/**"], "abc/ abc/x", ""),
        (["**/foo"], "foo x/y/foo", ""),
        (["a/**/b"], "a/b a/x/y/b", ""),
        (["a/**/b/c"], "", "a/b/x/b/c"),
        (["a**b/c"], "", "axb/c"),
        (["**"], "x/y", ""),
        (["*"], "x/y", ""),
        (["/*"], "x/y", ""),
        (["a/*"], "a/x/y", ""),
        (DEPLOY, "deploy/a.md deploy/a/b.md", "deploy/a.yaml"),
        (["*.zip"], "", "A.ZIP"),
        (["[ab.txt"], "", "a.txt"),
        (["foo "], "foo", ""),
        (["dir", "!dir/keep"], "", "dir/keep"),
        (["dir/", "!dir/keep"], "", "dir/keep"),
        ([".git/"], "", ".git"),
        (["/"], "", "x"),
        (["//x"], "x", ""),
        (["a//b"], "a/b", ""),
    ],
)
def test_rows_of_the_acceptance_table(lines: list[Line], out: str, kept: str) -> None:
    """Section O of the acceptance cases."""
    check(lines, out=out, kept=kept)


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        (
            DEPLOY,
            "README deploy/a.md deploy/x/y/a.md other/deploy/a.yaml",
            "deploy/ deploy/a.yaml",
        ),
        (["dir/", "!dir/keep.txt"], "dir/ dir/other", "dir/keep.txt"),
        (["**"], "x x/", ""),
        (["/**"], "", "x a/x"),
        (["**/**"], "", "x a/x"),
        (["**/"], "d/x", "top"),
        (["**/a/b"], "a/b x/a/b", "a/x/a/b"),
        (["a/**/b/c"], "", "a/b/x/b/c"),
        (["a/**/b/**/c"], "a/x/b/y/c a/b/x/b/c", ""),
        (["a/**"], "a", ""),
        (["a/**/"], "a/x", "a"),
        (["a/*/c"], "a/b/c", "a/b/b/c"),
        (["foo/*"], "foo/bar/baz", ""),
        (["foo//bar"], "foo/bar", ""),
        (["/foo"], "", "a/foo"),
        (["foo"], "foo/bar/x", ""),
        (["a/b"], "", "x/a/b"),
        (["a**b"], "aXb", ""),
        (["a**b/c"], "", "aXb/c"),
        (["[!a]"], "!", "b"),
        (["[^a]"], "b", ""),
        (["\\#x"], "#x", ""),
        (["\\!x"], "!x", ""),
        ([" x"], "", "x"),
        (["x  "], "x", ""),
        (["x\t"], "", "x"),
        (["*"], ".hidden", ""),
        (["*.TXT"], "", "a.txt"),
        (["/"], "", "x x/ a/x"),
        ([".git/"], ".git/ sub/.git/config", ".git"),
        (["x", "!x", "x"], "x x/", ""),
    ],
)
def test_rows_of_the_verified_table(lines: list[Line], out: str, kept: str) -> None:
    """Section 5.4 of the command line's reference."""
    check(lines, out=out, kept=kept)


def test_an_escaped_blank_at_the_end_is_kept() -> None:
    r"""``x\ `` matches the name ``x`` and a blank."""
    assert is_excluded(["x\\ "], "x ")
    assert not is_excluded(["x\\ "], "x")


EXCLUDE, NO_MATCH, INCLUDE = "exclude", "no match", "include"

SINGLE = [
    ("!re?d", "", "a/read/z", INCLUDE),
    ("name", "p/q/r", "p/q", NO_MATCH),
    ("name", "p/q/r", "p/q/r", NO_MATCH),
    ("name", "p/q/r", "p/q/other/name", NO_MATCH),
    ("lib/", "p/q", "p/q/lib/x", EXCLUDE),
    ("q/", "p/q", "p/q/x/", NO_MATCH),
    ("name", "", "name/x", EXCLUDE),
    ("name", "", "a/name/x", EXCLUDE),
    ("name", "", "a/name", EXCLUDE),
    ("name/", "", "name/x", EXCLUDE),
    ("name/", "", "a/name/x", EXCLUDE),
    ("name/", "", "a/name/", EXCLUDE),
    ("name/", "", "a/name", NO_MATCH),
    ("name", "", "a/nam/x", NO_MATCH),
    ("nam", "", "a/name/x", NO_MATCH),
    ("n*e", "", "a/noise/x", EXCLUDE),
    ("n?me", "", "a/nome/x", EXCLUDE),
    ("n[ao]m[ef]", "", "a/nomf", EXCLUDE),
    ("n[ao]m[", "", "a/nom[", NO_MATCH),
    ("/top/n?me", "", "top/name/x", EXCLUDE),
    ("lib/x/", "p/q", "p/q/lib/x/", EXCLUDE),
    ("q/x", "p/q", "p/q/x", NO_MATCH),
    ("top/n?me", "", "top/name/x", EXCLUDE),
    ("top/name", "", "top/nome", NO_MATCH),
    ("top/n?me", "", "top", NO_MATCH),
    ("/top/name", "", "top/top/name", NO_MATCH),
    ("**/*op/n?me", "", "top/name/x", EXCLUDE),
    ("**/*op/n?me", "", "a/top/name/x", EXCLUDE),
    ("**/*op/n?me", "", "a/top/Name/x", NO_MATCH),
    ("**/*op/n?me/", "", "a/top/name/x", EXCLUDE),
    ("**/*op/n?me/", "", "a/top/name/", EXCLUDE),
    ("**/*op/n?me/", "", "a/top/mame/", NO_MATCH),
    ("**/*op/n?me/", "", "a/top/name", NO_MATCH),
    ("/*op/n?me/**", "", "top/name/x/y", EXCLUDE),
    ("/*op/n?me/**", "", "top/name", EXCLUDE),
    ("/*op/**/n?me", "", "top/name", EXCLUDE),
    ("/*op/**/n?me", "", "top/a/name", EXCLUDE),
    ("/*op/**/n?me", "", "top/a/b/name", EXCLUDE),
    ("/*op/**/n?me/", "", "top/a/b/name/", EXCLUDE),
    ("/*op/**/n?me/", "", "top/a/b/name", NO_MATCH),
    ("/*op/**/n?me/", "", "top/a/b/name/x", EXCLUDE),
    ("/*op/**zz/n?me", "", "top/zz/name", NO_MATCH),
    ("**/a/n[ao]m[ef]", "", "x/a/nomf", EXCLUDE),
    ("**/a/n[ao]m[", "", "x/a/nom[", NO_MATCH),
    ("/top/**/n[ao]m[", "", "top/a/nom[", NO_MATCH),
    ("**/ios/**/Gen.java", "", "pkgs/tool/src/ios/other.dart", NO_MATCH),
]


@pytest.mark.parametrize(("pattern", "domain", "path", "wanted"), SINGLE)
def test_single_patterns(pattern: str, domain: str, path: str, wanted: str) -> None:
    """Section 5.5: one pattern, alone and after one that decides otherwise.

    What the pattern says shows in the second judgement: a match overrides, no match leaves it.
    """
    assert is_excluded([(pattern, domain)], path) is (wanted == EXCLUDE)
    is_out = is_excluded(["*", (pattern, domain)], path)
    assert is_out is (wanted != INCLUDE)
    is_out = is_excluded(["*", "!*", (pattern, domain)], path)
    assert is_out is (wanted == EXCLUDE)


def test_a_later_inclusion_beats_an_earlier_exclusion_of_the_same_path() -> None:
    """Only the path named is let in again; its sibling stays out."""
    check(["**/gen/", "!src/gen/keep.go"], out="src/gen/other.go", kept="src/gen/keep.go")


def test_all_but_one_in_a_directory() -> None:
    """``d/*`` and ``!d/keep``; without the second line everything in d is out."""
    check(["d/*", "!d/keep"], out="d/a.yaml", kept="d/keep a.yaml")
    check(["d/*"], out="d/a.yaml d/keep", kept="a.yaml d/")


def test_ignored_directory_with_an_included_one_inside() -> None:
    """``ignore-dir/*`` with and without ``!ignore-dir/include``."""
    lines = ["ignore-dir/*", "!ignore-dir/include"]
    check(lines, out="ignore-dir/file.yaml", kept="ignore-dir/include")
    check(lines[:1], out="ignore-dir/file.yaml ignore-dir/include")


def test_the_domain_directory_itself_is_never_excluded() -> None:
    """Patterns see only what lies strictly below their domain."""
    check([("*", "p/q")], out="p/q/x p/q/d/ p/q/d/y", kept="p/ p/q/ p/x")
    check([("/q", "p/q")], out="p/q/q p/q/q/x", kept="p/q/x/q")


def test_patterns_of_two_domains_meet_in_order() -> None:
    """The deeper file stands later in the list and decides for what is below it."""
    lines: list[Line] = ["*.txt", ("!keep.txt", "a"), ("keep.txt", "a/b")]
    check(lines, out="x.txt a/x.txt a/b/keep.txt", kept="a/keep.txt a/c/keep.txt")


def test_a_walk_far_down_costs_no_recursion() -> None:
    """Two thousand levels are judged without the interpreter's stack growing."""
    path = "/".join(["d"] * 2000)
    assert is_excluded(["*.zip"], path + "/x.zip")
    assert not is_excluded(["*.zip"], path + "/x.yaml")
