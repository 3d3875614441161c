"""`ocisource build artifact`: pack a folder, a file or standard input into a file."""

import pathlib
import typing

import click

from ocisource.cli import choice, output, shared
from ocisource.cli.artifacts import remote

_FAILURE = "building artifact failed, error"


@shared.command()
@click.option("-p", "--path", default="", metavar="PATH", help="Folder, file, or - for stdin.")
@click.option(
    "-o",
    "--output",
    "target",
    default="artifact.tgz",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@remote.ignore_options
@click.option("--resolve-symlinks", is_flag=True, help="Pack what links point to.")
@shared.timeout_option
def artifact(*, chosen: choice.Chosen, **values: typing.Any) -> None:
    """Pack a folder or file, as push does, into a file.

    \b
    Examples:
      ocisource build artifact -p ./deploy -o app.tgz
      ocisource build artifact -p ./deploy --add-ignore-paths '*.md,/tests/'
    """  # noqa: D301
    from ocisource.artifact import building  # noqa: PLC0415

    with remote.local_path(values["path"]) as path:
        output.say(output.ACTION, f"building artifact from {values['path']}")
        target = pathlib.Path(values["target"])
        work = building.build(
            path,
            target,
            ignore=remote.ignored(values),
            is_following=values["resolve_symlinks"],
        )
        built = remote.run(chosen, work, failure=_FAILURE)
    remote.warn_if_empty(built.entries)
    output.say(output.SUCCESS, f"artifact created at {target}")
