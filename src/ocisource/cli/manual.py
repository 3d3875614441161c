"""The manual: a page for each command, written from the commands themselves.

``python -m ocisource.cli.manual docs`` writes ``docs/cli/``; a test holds both together.
"""

import inspect
import pathlib
import sys
from collections.abc import Iterator, Mapping

import click

from ocisource.cli import grammar, main

FOLDER = "cli"
_PROGRAM = "ocisource"
_INTRODUCTION = """\
# The commands

Written from the commands themselves (`make docs`). What differs from flux is in
[differences.md](../differences.md).

Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted.
"""


def pages() -> dict[str, str]:
    """File name and text of every page."""
    found = dict(_leaves((_PROGRAM,), main.COMMANDS))
    listed = [_INTRODUCTION, "| command | what it does |", "|---|---|"]
    result = {}
    for name, (words, command, purpose) in found.items():
        result[name] = _page(words, command)
        listed.append(f"| [`{' '.join(words)}`]({name}) | {purpose} |")
    shared = [each for each in main.root.params if isinstance(each, click.Option)]
    listed += ["", "## Options of every command that talks to a cluster", "", *_options(shared)]
    return {"README.md": "\n".join(listed) + "\n", **result}


def write(docs: pathlib.Path) -> None:
    """Write all pages, and remove those whose command is gone."""
    folder = docs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()


_Found = tuple[str, tuple[tuple[str, ...], click.Command, str]]


def _leaves(
    words: tuple[str, ...], entries: Mapping[str, grammar.Leaf | grammar.Branch]
) -> Iterator[_Found]:
    for name, entry in entries.items():
        path = (*words, name)
        if isinstance(entry, grammar.Leaf):
            yield _file(path), (path, grammar.load(entry.target), entry.purpose)
            continue
        if entry.own:
            yield _file(path), (path, grammar.load(entry.own), entry.purpose)
        yield from _leaves(path, entry.children)


def _file(words: tuple[str, ...]) -> str:
    return f"{'-'.join(words)}.md"


def _page(words: tuple[str, ...], command: click.Command) -> str:
    purpose, description, examples = _parts(inspect.cleandoc(command.help or ""))
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    usage = " ".join(
        [*words, "[OPTIONS]", *(each.make_metavar(_context(command)) for each in arguments)]
    )
    lines = [f"# {' '.join(words)}", "", purpose, "", "```", usage.rstrip(), "```"]
    if description:
        lines += ["", description]
    if examples:
        lines += ["", "## Examples", "", "```sh", examples, "```"]
    options = [each for each in command.params if isinstance(each, click.Option)]
    lines += ["", "## Options", "", *_options(options)]
    return "\n".join(lines) + "\n"


def _parts(text: str) -> tuple[str, str, str]:
    """Purpose, description and examples of a command's help."""
    body, _, examples = text.partition("\b\n")
    purpose, _, description = body.strip().partition("\n\n")
    lines = inspect.cleandoc(examples.partition("\n")[2]) if examples else ""
    return " ".join(purpose.split()), description.strip(), lines


def _options(options: list[click.Option]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for option in options:
        record = None if option.hidden else option.get_help_record(_context(None))
        if record is not None:
            names, meaning = (text.replace("|", "\\|").replace("\n", " ") for text in record)
            yield f"| `{names}` | {' '.join(meaning.split())} |"
    yield "| `-h, --help` | Show the help and exit. |"


def _context(command: click.Command | None) -> click.Context:
    return click.Context(command or click.Command(_PROGRAM), info_name=_PROGRAM)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
