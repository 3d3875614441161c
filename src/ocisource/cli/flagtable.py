"""The page of flags, made from their one definition: ``python -m ocisource.cli.flagtable``."""

import typing
from collections.abc import Iterator

from ocisource import settings
from ocisource.cli import flags

PAGE: typing.Final = "docs/flags.md"

_HEAD: typing.Final = """\
# Flags

Of `ocisource controller`; `ocisource up` takes the same but those of leader election and
`--storage-path`, and has loopback addresses as defaults. A flag wins over its variable, a variable
over the default; an empty variable counts as unset. Durations are Go's (`750ms`, `1h30m`), sizes
bytes with an optional suffix Ki, Mi, Gi or Ti. A switch takes `--flag`, `--flag=true`,
`--flag=false`.

This page is generated (`make docs`).

| Flag | Default | Variable | Meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for _, flag, default in settings.flags():
        shown = flags.shown_default(flag, default)
        cells = (
            f"`--{flag.name}`",
            f"`{shown}`" if shown else "",
            f"`{flag.env}`" if flag.env else "",
            _meaning(flag),
        )
        yield f"| {' | '.join(cells)} |\n"


def _meaning(flag: settings.Flag) -> str:
    text = flag.help[0].upper() + flag.help[1:]
    if flag.choices:
        text += f" ({', '.join(f'`{choice}`' for choice in flag.choices)})"
    return text.replace("|", "\\|") + "."


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the page is the output
