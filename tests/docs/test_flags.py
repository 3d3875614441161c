"""The page of flags is the one the code makes."""

import pathlib

from ocisource import settings
from ocisource.cli import flagtable

_ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    """`make docs` writes it; nobody edits it by hand."""
    assert (_ROOT / flagtable.PAGE).read_text() == flagtable.page()


def test_every_flag_has_a_row_with_its_variable() -> None:
    """Nothing is left out."""
    rows = flagtable.page().splitlines()
    for _, flag, _ in settings.flags():
        (row,) = (each for each in rows if each.startswith(f"| `--{flag.name}` |"))
        assert flag.env is None or f"`{flag.env}`" in row
