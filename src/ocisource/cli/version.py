"""`ocisource version`."""

import click

from ocisource import version as releases
from ocisource.cli import output as out
from ocisource.cli import shared


@shared.command()
@click.option("--client", "is_client", is_flag=True, help="Without effect: only ours is known.")
@shared.output_option
def version(*, is_client: bool, output: str | None) -> None:
    """Print the version.

    \b
    Examples:
      ocisource version
      ocisource version -o json
    """  # noqa: D301
    del is_client
    if output is None:
        out.write(f"ocisource: v{releases.VERSION}\n")
    else:
        out.data({"ocisource": f"v{releases.VERSION}"}, output=output)
