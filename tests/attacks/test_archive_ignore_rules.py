"""Ignore rules written to cost time or memory: they end, and they end in bounds."""

import pathlib
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.archive import gitignore, repack, sourceignore
from tests.archive import layers


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 30 + "b",
        "*a*" * 200 + "b",
        "a*" * 2000 + "b",
        "?*" * 1000 + "b",
        "[a-z]*" * 500 + "[0-9]",
        "*" * 5000 + "b",
        "**/" * 500 + "a*a*a*a*a*b",
        ("*a" * 20 + "/") * 20 + "b",
        "*[^b]*[^b]*[^b]*[^b]*[^b]*b",
    ],
)
def test_patterns_that_explode_elsewhere_end_here(pattern: str, tmp_path: pathlib.Path) -> None:
    """Against names of thousands of one letter; a matcher that backtracks would never return."""
    name = b"/".join([b"a" * 250] * 15)
    blob = layers.layer(
        layers.gnu_long_name(name),
        layers.entry(b"f"),
        layers.gnu_long_name(b"a" * 4000),
        layers.entry(b"f"),
    )
    result, _ = layers.packed(blob, folder=tmp_path, ignore=pattern)
    assert result.entries > 1


def test_ten_thousand_patterns_are_taken_and_no_more(tmp_path: pathlib.Path) -> None:
    """Over all files together; the error tells the number."""
    files = {
        f"d{number}/.sourceignore": "".join(f"p{line}*q\n" for line in range(1000)).encode()
        for number in range(10)
    }
    blob = layers.layer(*layers.tree(files))
    result, _ = layers.packed(blob, folder=tmp_path)
    assert result.entries == 21
    with pytest.raises(errors.IgnoreRulesError, match="10001 patterns"):
        layers.packed(blob, folder=tmp_path, ignore="one more")


def test_rules_in_every_directory_of_a_deep_path(tmp_path: pathlib.Path) -> None:
    """Scopes pile up; each is compiled once."""
    files: dict[str, bytes] = {}
    for depth in range(200):
        files["d/" * depth + ".sourceignore"] = b"*.tmp\n!keep-*.tmp\nx/y/z\n**/w/v\n"
        files["d/" * depth + "a.tmp"] = b""
        files["d/" * depth + "keep-a.tmp"] = b""
    result, sink = layers.packed(layers.layer(*layers.tree(files)), folder=tmp_path)
    assert result.skipped["ignored"] == 200
    assert sum(name.endswith("keep-a.tmp") for name in sink.names()) == 200


def test_a_rules_file_of_one_endless_line_is_bounded(tmp_path: pathlib.Path) -> None:
    """By the bound on all ignore files together."""
    blob = layers.layer(layers.entry(b".sourceignore", b"x" * (2 << 20)))
    with pytest.raises(errors.IgnoreRulesError):
        layers.packed(blob, folder=tmp_path)


def test_a_rules_file_that_is_replaced_again_and_again_is_bounded(tmp_path: pathlib.Path) -> None:
    """All of them are read, so all of them count."""
    parts = [layers.entry(b".sourceignore", b"#" * 100_000)] * 12
    with pytest.raises(errors.IgnoreRulesError):
        layers.packed(layers.layer(*parts), folder=tmp_path, limits=repack.Limits())


@pytest.mark.parametrize("part", [layers.directory, layers.entry])
def test_rules_that_leave_out_everything_can_be_called_off(
    part: Callable[[bytes], bytes], tmp_path: pathlib.Path
) -> None:
    """Nothing is written then, so no block of the output asks whether anybody still waits."""
    parts = [part(b"a/%03d" % number) for number in range(500)]
    asked = 0

    def is_cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 250

    with pytest.raises(errors.AbandonedError):
        layers.packed(layers.layer(*parts), folder=tmp_path, ignore="/a", is_cancelled=is_cancelled)
    assert asked == 251


def test_patterns_of_endless_elements_are_refused(tmp_path: pathlib.Path) -> None:
    """Each is compiled by itself: a mebibyte of them would take memory and half a minute."""
    rules = "\n".join(["?a/" * 50 + "b"] * 1000)
    with pytest.raises(errors.IgnoreRulesError, match="hold 51000 path elements, more than 50000"):
        layers.packed(layers.layer(layers.entry(b"f")), folder=tmp_path, ignore=rules)


def test_a_deep_path_holds_its_patterns_once(tmp_path: pathlib.Path) -> None:
    """Two thousand directories that look for the same patterns share one list of them."""
    rules = gitignore.Rules(sourceignore.parse_text("**/x/y\n!q\n**/z/y\n"))
    scope = rules.root()
    below = scope.child(b"a", path=b"a").child(b"a", path=b"a\0a")
    assert below._trails is scope._trails
