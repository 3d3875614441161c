"""What people get wrong in YAML that they type: tabs and indentation.

The parser's own words for these say nothing to whoever does not know how it works.
"""

# The parser's words for a line that stands too far to the left or right.
_ASTRAY = frozenset(
    {
        "could not find expected ':'",
        "did not find expected '-' indicator",
        "did not find expected key",
        "mapping values are not allowed in this context",
    }
)


def has_tab(text: str, *, line: int) -> bool:
    """Whether the indentation of a line, counted from 0, holds a tab."""
    lines = text.split("\n", line + 1)
    if line >= len(lines):
        return False
    found = lines[line]
    return "\t" in found[: len(found) - len(found.lstrip())]


def advice(problem: str, text: str, *, line: int) -> str:
    """The parser's problem with a line, counted from 0, and what to do if that is known."""
    if has_tab(text, line=line):
        return "a tab in the indentation; YAML takes spaces alone"
    if problem in _ASTRAY:
        return f"{problem}; look at the indentation of this line and the one before"
    return problem
