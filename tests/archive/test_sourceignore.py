"""Which patterns apply: defaults, .sourceignore files, spec.ignore, and how lines are read."""

import pytest

from ocisource import errors
from ocisource.archive import gitignore, sourceignore


def is_excluded(rules: gitignore.Rules, path: str) -> bool:
    """Judge a path, a directory if it ends in a slash."""
    scope = rules.root()
    *above, name = path.removesuffix("/").split("/")
    walked = b""
    for element in above:
        walked = walked + b"\0" + element.encode() if walked else element.encode()
        scope = scope.child(element.encode(), path=walked)
    if path.endswith("/"):
        inner = walked + b"\0" + name.encode() if walked else name.encode()
        return scope.child(name.encode(), path=inner).is_excluded
    return scope.tester()(name.encode())


DEFAULTED = [
    "image.jpg",
    "archive.tar.gz",
    ".github/workflows/x.yaml",
    "subdir/.flux.yaml",
    "subdir2/.sops.yaml",
    "a.jpeg",
    "b/c.gif",
    "d.png",
    "e.wmv",
    "f.flv",
    "g.zip",
    ".circleci/config",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    ".goreleaser.yml",
    ".git/config",
    ".gitignore",
    ".gitmodules",
    "sub/.gitattributes",
    ".git/",
    ".github/",
]
KEPT = [
    "workload.yaml",
    "simple.txt",
    "a.yml",
    "sub/b.yaml",
    ".git",
    ".sourceignore",
    "jpg",
    "x.tar",
]


@pytest.mark.parametrize("ignore", [None, "", "\n", "# a comment\n\n   \n#another", "\r\n"])
def test_without_any_pattern_the_defaults_apply(ignore: str | None) -> None:
    """Unset, empty, only comments or blanks: all four default lists are in force."""
    rules = sourceignore.effective(ignore)
    assert [path for path in DEFAULTED if not is_excluded(rules, path)] == []
    assert [path for path in KEPT if is_excluded(rules, path)] == []


def test_one_pattern_anywhere_drops_all_defaults_but_version_control() -> None:
    """spec.ignore ``x`` lets pictures in, and version control files stay out."""
    for rules in (
        sourceignore.effective("x"),
        sourceignore.effective(None, [(b"z", b"x\n")]),
        sourceignore.effective("# none\n", [(b"", b"x")]),
    ):
        assert not is_excluded(rules, "image.jpg")
        assert not is_excluded(rules, ".github/workflows/x.yaml")
        assert not is_excluded(rules, ".flux.yaml")
        assert is_excluded(rules, ".git/config")
        assert is_excluded(rules, ".gitignore")


def test_version_control_defaults_are_the_weakest() -> None:
    """They can be included again, by a file or by spec.ignore."""
    assert not is_excluded(sourceignore.effective("!.gitignore"), ".gitignore")
    rules = sourceignore.effective(None, [(b"a", b"!.gitignore\n")])
    assert not is_excluded(rules, "a/.gitignore")
    assert is_excluded(rules, ".gitignore")


def test_files_come_root_first_then_as_a_walk_meets_them() -> None:
    """root, a/b, z: each scoped to its directory; a .gitignore is no ignore file."""
    rules = sourceignore.effective(
        None, [(b"z", b"last.txt"), (b"a\0b", b"subdir.txt"), (b"", b"root.txt")]
    )
    for path in ("root.txt", "e/root.txt", "a/b/subdir.txt", "a/b/c/subdir.txt", "z/last.txt"):
        assert is_excluded(rules, path)
    for path in ("e/last.txt", "a/c/subdir.txt", "a/subdir.txt", "last.txt"):
        assert not is_excluded(rules, path)


def test_a_deeper_file_overrides_one_above_and_spec_ignore_overrides_both() -> None:
    """Later in the list is stronger, and spec.ignore stands last."""
    files = [(b"", b"*.txt"), (b"a", b"!keep.txt")]
    assert not is_excluded(sourceignore.effective(None, files), "a/keep.txt")
    assert is_excluded(sourceignore.effective(None, files), "keep.txt")
    assert is_excluded(sourceignore.effective("keep.txt", files), "a/keep.txt")
    assert not is_excluded(sourceignore.effective("!*.txt", files), "b/x.txt")


def test_siblings_are_ordered_by_bytes_with_children_in_between() -> None:
    """``a``, ``a/b``, ``a-``: as a walk goes, not as the names sort with their slashes."""
    files = [(b"a-", b"!x"), (b"a\0b", b"x"), (b"a", b"x")]
    rules = sourceignore.effective(None, files)
    assert is_excluded(rules, "a/b/x")
    assert not is_excluded(rules, "a-/x")


def test_files_inside_a_git_directory_are_not_read() -> None:
    """A directory called .git is not searched, wherever it is."""
    rules = sourceignore.effective(None, [(b".git", b"x"), (b"a\0.git\0b", b"y")])
    assert is_excluded(rules, "image.jpg")  # the defaults are still in force


def test_lines_end_at_newlines_and_comments_begin_in_column_one() -> None:
    """A carriage return before the newline goes, a leading blank stays."""
    patterns = sourceignore.parse_lines(b"# no\r\nx\r\n\r\n  # c\n\t\n\xc2\xa0\ny")
    rules = gitignore.Rules(patterns)
    assert len(patterns) == 3
    assert is_excluded(rules, "x")
    assert is_excluded(rules, "y")
    assert is_excluded(rules, "  # c")


def test_one_comment_and_one_rule_give_one_pattern() -> None:
    """Also with a domain; an empty file gives none."""
    assert len(sourceignore.parse_lines(b"# comment\n*.tmp\n")) == 1
    (scoped,) = sourceignore.parse_lines(b"# comment\n*.tmp\n", domain=b"a\0b")
    assert scoped.domain == b"a\0b"
    assert sourceignore.parse_lines(b"") == []


def test_a_line_over_64_kib_ends_the_reading_in_silence() -> None:
    """What stands before it counts, what follows does not."""
    longest = b"l" * 65_535
    assert len(sourceignore.parse_lines(b"a\n" + longest + b"\nb\n")) == 3
    assert len(sourceignore.parse_lines(b"a\n" + longest + b"l\nb\n")) == 1


def test_the_command_line_s_default_is_version_control_and_extensions() -> None:
    """CI and extra lists are the controller's alone."""
    rules = gitignore.Rules(sourceignore.parse_list(sourceignore.COMMAND_LINE))
    assert is_excluded(rules, ".git/config")
    assert is_excluded(rules, "a/b.jpg")
    assert not is_excluded(rules, ".travis.yml")
    assert not is_excluded(rules, ".flux.yaml")


def test_the_defaults_can_be_extended_by_a_list() -> None:
    """``!*.jpg`` on top of the default lists lets pictures in, and nothing else."""
    lines = (
        *sourceignore.VCS,
        *sourceignore.EXTENSIONS,
        *sourceignore.CI,
        *sourceignore.EXTRA,
        "!*.jpg",
    )
    rules = gitignore.Rules(sourceignore.parse_list(lines))
    assert not is_excluded(rules, "image.jpg")
    assert is_excluded(rules, "image.png")


def test_names_that_are_not_utf8_can_be_matched() -> None:
    """A pattern file's bytes are taken as they are."""
    rules = sourceignore.effective(None, [(b"", b"\xff*.bin\n")])
    assert rules.root().tester()(b"\xff\xfe.bin")
    assert not rules.root().tester()(b"\xfe.bin")


def test_characters_that_cannot_be_encoded_do_no_harm() -> None:
    """A lone surrogate in spec.ignore is no reason to fail."""
    assert not is_excluded(sourceignore.effective("\ud800x\ny"), "x")


def test_too_many_patterns_are_refused_with_the_number() -> None:
    """Ten thousand are taken, one more is not."""
    lines = "".join(f"file-{number}\n" for number in range(sourceignore.MAX_PATTERNS))
    assert is_excluded(sourceignore.effective(lines), "file-9999")
    with pytest.raises(errors.IgnoreRulesError, match="10001 patterns"):
        sourceignore.effective(lines + "one more")
