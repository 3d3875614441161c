"""`ocisource version`."""

import click

import ocisource


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"ocisource: v{ocisource.__version__}")
