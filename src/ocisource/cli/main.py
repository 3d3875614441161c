"""The command `ocisource`: a group whose commands are imported only when they are used.

Errors are one line on standard error that says what to do; exit code 1, or 2 for wrong usage.
"""

import importlib
import os
import sys
import typing

import click

import ocisource
from ocisource import errors

# Command -> where it lives, and what it is for. The modules are heavy, so this table alone is
# read for `--help` and for completion.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("ocisource.cli.up:up", "Run everything on this machine, no cluster needed."),
    "apiserver": ("ocisource.cli.apiserver:apiserver", "Run the embedded Kubernetes API alone."),
    "controller": ("ocisource.cli.controller:controller", "Run the controller on a cluster."),
    "version": ("ocisource.cli.version:version", "Print the version."),
}
_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return typing.cast("click.Command", getattr(importlib.import_module(module), name))

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """The help's list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, purpose) for name, (_, purpose) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(ocisource.__version__, message="ocisource version %(version)s")
def root() -> None:
    """A source controller for OCI repositories: Flux's OCIRepository API, cluster or not.

    \b
    Try it:
      ocisource up --demo
    """  # noqa: D301 - the backspace tells click to keep the lines


def main() -> None:
    """Entry point of the command."""
    try:
        code = root.main(prog_name="ocisource", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.Abort:
        code = _INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except errors.UsageError as error:
        code = _fail(error.text, 2)
    except errors.OcisourceError as error:
        code = _fail(error.text, 1)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone: that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> int:
    click.echo(f"✗ {text}", err=True)
    return code
