"""`ocisource completion bash|zsh|fish`: a script that completes commands, options and names."""

import importlib

import click
from click import shell_completion

from ocisource.cli import output, shared

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_OCISOURCE_COMPLETE"
_PROGRAM = "ocisource"


@shared.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(*, shell: str) -> None:
    """Print a shell's completion script.

    \b
    Examples:
      . <(ocisource completion bash)
      ocisource completion zsh > "${fpath[1]}/_ocisource"
      ocisource completion fish > ~/.config/fish/completions/ocisource.fish
    """  # noqa: D301
    found = shell_completion.get_completion_class(shell)
    assert found is not None, "the choice allows no other"
    # Imported by its name: the table of commands leads here itself.
    root = importlib.import_module("ocisource.cli.main").root
    script = found(root, {}, _PROGRAM, _VARIABLE)
    # click asks bash for its version to warn of old ones; a script does not need that.
    output.write(script.source_template % script.source_vars() + "\n")
