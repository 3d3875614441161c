"""How words become commands: groups that import a command only when it is used.

What differs from plain click, so that whoever knows flux is at home:

1. A switch may be written ``--all``, ``--all=true`` or ``--all=false``, a short option ``-n=apps``.
2. Options shared by many commands (``-n``, ``--context``, …) may stand before the command too.
3. Options of a command may stand before its last words: ``get -A sources oci``.
4. A group may have a command of its own beside its subcommands: ``delete source oci NAME`` and
   ``delete -f FILE``.
"""

import dataclasses
import difflib
import importlib
import typing
from collections.abc import Mapping, Sequence

import click

_SHORT = 2  # characters of an option such as -n
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")
# Options below groups that take no value: to find that out would take all modules. A test compares.
SWITCHES = frozenset(
    {
        *("-A", "--all", "--all-namespaces", "--debug", "--disable-compression", "--export"),
        *("-h", "--help", "--insecure", "--insecure-registry", "--insecure-skip-tls-verify"),
        *("--no-header", "--no-wait", "--ns-follows-kube-context", "--reproducible"),
        *("--resolve-symlinks", "-s", "--silent", "--text", "--verbose", "-w", "--wait", "--watch"),
        "--with-credentials",
    }
)
EARLY = "ocisource.early"  # key in a context's meta: options that stood before the command


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """A command: where it lives (``module:name``) and what it is for."""

    target: str
    purpose: str


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """Words that lead on to commands; ``own`` is the command without a further word."""

    purpose: str
    children: "Mapping[str, Leaf | Branch]"
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own: str = ""
    examples: str = ""


def load(target: str) -> click.Command:
    """Import a command."""
    module, _, name = target.partition(":")
    return typing.cast("click.Command", getattr(importlib.import_module(module), name))


class Command(click.Command):
    """A command whose switches also take ``=true`` and ``=false``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, switched(self, args))


class Group(click.Group):
    """A group that knows its commands' names without importing them."""

    def __init__(self, name: str, branch: Branch, **more: typing.Any) -> None:
        own = load(branch.own) if branch.own else None
        lines = "".join(f"  {line}\n" for line in branch.examples.splitlines())
        more.setdefault("help", branch.purpose + (f"\n\n\b\nExamples:\n{lines}" if lines else ""))
        if own is not None:
            more.update(params=own.params, help=own.help, callback=own.callback)
        super().__init__(name, invoke_without_command=own is not None, **more)
        self._branch = branch
        self._has_own = own is not None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words up to the subcommand."""
        if self._has_own and not args:
            args = ["--help"]
        if ctx.parent is not None:  # what stands first of all is the program's own
            args = hoisted(args)
        return super().parse_args(ctx, switched(self, args))

    def invoke(self, ctx: click.Context) -> typing.Any:
        """Run the subcommand, or the group's own command when there is no further word."""
        if self._has_own and ctx._protected_args:  # noqa: SLF001 - click's place for the words left
            callback, self.callback = self.callback, None
            try:
                return super().invoke(ctx)
            finally:
                self.callback = callback
        return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order of the table."""
        return list(self._branch.children)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        name = self._branch.aliases.get(cmd_name, cmd_name)
        entry = self._branch.children.get(name)
        if entry is None:
            return None
        return load(entry.target) if isinstance(entry, Leaf) else Group(name, entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the next word names."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self._branch.children, n=1)
            hint = f", did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"unknown command '{name}' for '{ctx.command_path}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands before the options: they are what one looks for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """The help's list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.purpose) for name, each in self._branch.children.items()]
            )


def hoisted(args: Sequence[str]) -> list[str]:
    """The words with options that stand before a subcommand moved behind it."""
    position = 0
    while position < len(args) and args[position].startswith("-") and len(args[position]) > 1:
        word = args[position]
        position += 1 if "=" in word or word in SWITCHES else 2
    if position >= len(args):
        return [*args]
    return [args[position], *args[:position], *args[position + 1 :]]


def switched(command: click.Command, args: Sequence[str]) -> list[str]:
    """The words with ``--switch=true``, ``--switch=false`` and ``-n=apps`` in click's own form.

    A switch without a negative form of its own is left out when it is false.
    """
    switches: dict[str, str] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.is_flag:
            negative = next(iter(parameter.secondary_opts), "")
            switches.update(dict.fromkeys(parameter.opts, negative))
    words: list[str] = []
    for position, word in enumerate(args):
        if word == "--":
            return [*words, *args[position:]]
        name, equals, value = word.partition("=")
        if equals and name not in switches and len(name) == _SHORT and name[0] == "-" != name[1]:
            words += [name, value]
        elif not equals or name not in switches or value.lower() not in (*_TRUE, *_FALSE):
            words.append(word)
        elif value.lower() in _TRUE:
            words.append(name)
        elif switches[name]:
            words.append(switches[name])
    return words
