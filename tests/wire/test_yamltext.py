"""Tabs and indentation are told in words that help."""

import pytest
import yaml

from ocisource.wire import yamltext

INDENTATION = "; look at the indentation of this line and the one before"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a:\n\t- b\n", 1, "a tab in the indentation; YAML takes spaces alone"),
        ("a:\n  \tb: c\n", 1, "a tab in the indentation; YAML takes spaces alone"),
        ("a:\n  b: c\n d: e\n", 2, f"did not find expected key{INDENTATION}"),
        ("a: b\n  c: d\n", 1, f"mapping values are not allowed in this context{INDENTATION}"),
        ("a: b\nc\nd: e\n", 2, f"could not find expected ':'{INDENTATION}"),
        ("a: [\n", 1, "did not find expected node content"),
    ],
)
def test_what_is_wrong_with_a_line(text: str, line: int, told: str) -> None:
    """As the parser that reads manifests stops at it."""
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.load(text, Loader=yaml.CSafeLoader)
    mark, problem = caught.value.problem_mark, caught.value.problem
    assert mark is not None
    assert mark.line == line
    assert yamltext.advice(problem or "", text, line=mark.line) == told


def test_a_line_that_is_not_there_has_no_tab() -> None:
    """The parser may stop behind the end."""
    assert not yamltext.has_tab("a: b", line=3)
