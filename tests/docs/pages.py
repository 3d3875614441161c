"""Reads the pages of the documentation."""

import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
_CODE = re.compile(r"`([^`]+)`")


def text(name: str) -> str:
    """A page of docs/."""
    return (ROOT / "docs" / name).read_text()


def rows(page: str, *, below: str = "") -> list[list[str]]:
    """The cells of all table rows, without heads, or of those below one heading."""
    if below:
        page = page.partition(f"\n{below}\n")[2]
        page = re.split(r"\n## ", page)[0]
    found: list[list[str]] = []
    lines = page.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_head:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def code(cell: str) -> list[str]:
    """What stands between backticks."""
    return _CODE.findall(cell)


def flags(page: str) -> Iterator[str]:
    """The long flags that a page names."""
    return iter(re.findall(r"--[a-z][a-z-]+[a-z]", page))
