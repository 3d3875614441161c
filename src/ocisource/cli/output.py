"""What commands print: progress with a symbol on standard error, data on standard output.

A table is a header and rows, cells padded with spaces to the widest of their column and separated
by a TAB; the header has no TAB at its end, a row has one. With ``-o`` the same is data.

Example::

    NAME   <TAB>REVISION<TAB>READY
    podinfo<TAB>6.7.1   <TAB>True <TAB>

Messages, annotations and tags are others' words, and a terminal obeys control characters: what is
printed for people shows them written out.
"""

import json
import os
import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence

import click

from ocisource import errors
from ocisource.cli import streams

ACTION, WAITING, SUCCESS, WARNING, FAILURE = "►", "◎", "✔", "⚠️ ", "✗"
_COLOURS = {SUCCESS: "green", FAILURE: "red", WARNING: "yellow", ACTION: "cyan", WAITING: "cyan"}
_CELLS = {"True": "green", "False": "red", "Unknown": "yellow", "Warning": "yellow"}

# Whole words of 40 to 128 lower-case hex digits, as long digests and commits are.
_LONG_HEX = re.compile(r"\b[0-9a-f]{40,128}\b", re.ASCII)
_SHORT = 8  # hex digits that are left of one
_COLOURED_COLUMNS = frozenset({"READY", "TYPE"})


def visible(text: str, *, kept: str = "\n") -> str:
    """The text with what no terminal may obey (escapes, overwriting, turned direction) written out.

    The characters ``kept`` stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else f"\\u{ord(char):04x}" for char in text
    )


def say(symbol: str, text: str) -> None:
    """A line of progress on standard error; the work goes on where nobody can read it."""
    if _is_coloured(sys.stderr):
        symbol = click.style(symbol, fg=_COLOURS[symbol])
    try:
        click.echo(f"{symbol} {visible(text)}", err=True)
    except OSError:
        streams.drop(sys.stderr)


def line(text: str, *, is_error: bool = False) -> None:
    """A line of a command that goes on, and has its verdict, when its reader is gone."""
    try:
        click.echo(" ".join(visible(text).splitlines()), err=is_error)
    except BrokenPipeError:
        stream = sys.stderr if is_error else sys.stdout
        streams.drop(stream)


def shortened(text: str) -> str:
    """The text with long hex words cut to their first 8 digits."""
    return _LONG_HEX.sub(lambda match: match[0][:_SHORT], text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, has_header: bool = True) -> str:
    """A table as text, each line with its newline."""
    lines = [[visible(cell).split("\n") for cell in row] for row in rows]
    shown = [list(header)] if has_header else []
    widths = [
        max([len(head) if has_header else 0, *(len(part) for row in lines for part in row[column])])
        for column, head in enumerate(header)
    ]
    coloured = {
        column
        for column, head in enumerate(header)
        if head in _COLOURED_COLUMNS and _is_coloured(sys.stdout)
    }
    text = ["\t".join(_padded(row, widths, frozenset())) + "\n" for row in shown]
    for row in lines:
        for line in range(max((len(cell) for cell in row), default=0)):
            cells = [cell[line] if line < len(cell) else "" for cell in row]
            text.append("\t".join(_padded(cells, widths, coloured)) + "\t\n")
    return "".join(text)


def _padded(
    cells: Sequence[str], widths: Sequence[int], coloured: "set[int] | frozenset[int]"
) -> list[str]:
    padded = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        filled = cell.ljust(width)
        if column in coloured and cell in _CELLS:
            filled = click.style(cell, fg=_CELLS[cell]) + " " * (width - len(cell))
        padded.append(filled)
    return padded


def write(text: str) -> None:
    """Data on standard output, as it is and at once."""
    click.echo(text, nl=False)


def one_of_many(value: typing.Any, *, output: str) -> None:
    """One of a stream: JSON documents after each other, YAML documents with a line between."""
    if output != "json":
        write("---\n")
    data(value, output=output)


def data(value: typing.Any, *, output: str) -> None:
    """Data as JSON (two spaces, keys as they come) or YAML (keys sorted)."""
    if output == "json":
        is_ascii = not streams.is_unicode(sys.stdout) or not _is_text(value)
        write(json.dumps(value, indent=2, ensure_ascii=is_ascii) + "\n")
    else:
        write(as_yaml(value))


def _is_text(value: typing.Any) -> bool:
    """Whether it is free of names whose bytes are no UTF-8, which no document may hold as such."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def as_yaml(value: typing.Any) -> str:
    """A YAML document as Kubernetes tools write it: keys sorted, texts of lines as blocks."""
    import yaml  # noqa: PLC0415 - needs 20 ms that most commands can do without

    class Dumper(yaml.CSafeDumper):
        """Writes texts of several lines as blocks."""

    def text(dumper: yaml.CSafeDumper, content: str) -> yaml.ScalarNode:
        content = content.encode(
            errors="backslashreplace"
        ).decode()  # names of files may be no text
        style = "|" if "\n" in content else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", content, style=style)

    Dumper.add_representer(str, text)
    is_unicode = streams.is_unicode(sys.stdout)
    return str(
        yaml.dump(value, Dumper=Dumper, sort_keys=True, allow_unicode=is_unicode, width=1 << 30)
    )


def document(value: Mapping[str, typing.Any]) -> str:
    """An object as a document of a YAML stream: ``---``, then the object."""
    return "---\n" + as_yaml(value)


def one_name(names: Sequence[str], *, missing: str) -> str:
    """The only name given; raises UsageError when there is none, and for what follows it."""
    if not names or not names[0]:
        raise errors.UsageError(missing)
    if len(names) > 1:
        raise errors.UsageError(
            f"'{names[1]}' is one argument too many: one is taken, and what has spaces needs quotes"
        )
    return names[0]


def _is_coloured(stream: typing.TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")
