"""`ocisource version`."""

import click

import ocisource
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
        out.write(f"ocisource: v{ocisource.__version__}\n")
    else:
        out.data({"ocisource": f"v{ocisource.__version__}"}, output=output)
