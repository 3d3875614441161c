"""The page of conditions names the reasons and texts of the code, and no others."""

import ast
import re

from ocisource.api import conditions
from ocisource.reconciler import reasons
from tests.docs import pages

_SOURCES = ("reconciler", "oci", "source")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")
_SHORTEST = 6  # characters of a text between two values that are looked for in the code


def _constants() -> set[str]:
    """The values of all names in the module of reasons."""
    return {
        value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)
    }


def _literals() -> str:
    """All texts in the code that writes conditions and events."""
    code = pages.ROOT / "src" / "ocisource"
    return "\n".join(
        node.value
        for folder in _SOURCES
        for path in sorted((code / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_every_condition_is_described_and_no_other() -> None:
    """Those we own are all there are."""
    found = {
        pages.code(cells[0])[0]
        for cells in pages.rows(pages.text("conditions.md"), below="## Conditions")
    }
    assert found == set(reasons.OWNED)
    assert conditions.READY in found


def test_every_reason_is_described_and_no_other() -> None:
    """Of conditions and of events."""
    page = pages.text("conditions.md")
    rows = [*pages.rows(page, below="## Reasons"), *pages.rows(page, below="## Events")]
    found = {word for cells in rows for word in pages.code(cells[0])}
    assert found == _constants() - set(reasons.OWNED)


def test_every_text_is_the_code_s() -> None:
    """Piece by piece, between the values that are put into it."""
    page = pages.text("conditions.md")
    texts = [
        text
        for below in ("## Reasons", "## Events")
        for cells in pages.rows(page, below=below)
        for text in pages.code(cells[2])
    ]
    assert len(texts) > 20
    literals = _literals()
    for text in texts:
        for piece in _PLACEHOLDER.split(text):
            # The cause is put behind a colon elsewhere, and "unable to {verb}" put together.
            shown = re.sub("unable to (archive|copy)", "", piece.removesuffix(": "))
            assert len(shown) < _SHORTEST or shown in literals, f"{text}: {shown!r}"
