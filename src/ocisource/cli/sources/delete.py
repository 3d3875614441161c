"""`ocisource delete source oci NAME`."""

import sys
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, completing, output, shared

_WORD = "source oci"


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME", shell_complete=completing.sources)
@click.option("-s", "--silent", "is_silent", is_flag=True, help="Do not ask first.")
@shared.cluster_options
@click.pass_context
def oci(
    ctx: click.Context, /, *, names: Sequence[str], is_silent: bool, chosen: choice.Chosen
) -> None:
    """Delete an OCIRepository; its artifact goes with it.

    \b
    Examples:
      ocisource delete source oci podinfo
      ocisource delete source oci podinfo --silent -n apps
    """  # noqa: D301
    name = output.one_name(names, missing=f"{_WORD} name is required")

    async def look(connection: cluster.Connection) -> None:
        await connection.api.get(connection.sources, name, namespace=connection.namespace)

    async def work(connection: cluster.Connection) -> None:
        where = f"in {connection.namespace} namespace"
        if is_silent:
            await look(connection)
        output.say(output.ACTION, f"deleting {_WORD} {name} {where}")
        await connection.api.delete(connection.sources, name, namespace=connection.namespace)
        output.say(output.SUCCESS, f"{_WORD} deleted")

    if not is_silent:
        # The person who is asked takes a while: that is no part of the timeout.
        cluster.run(chosen, look)
        if not _is_sure():
            raise errors.InvalidInputError("aborting")
    ctx.exit(cluster.run(chosen, work))


def _is_sure() -> bool:
    try:
        said = click.prompt(
            f"Are you sure you want to delete this {_WORD} [y/N]",
            default="",
            show_default=False,
            err=True,
        )
    except click.Abort:
        click.echo(err=True)
        return False
    if not sys.stdin.isatty():
        click.echo(err=True)  # nobody pressed return
    return str(said).strip().lower() == "y"
