"""`ocisource apply -f` and `ocisource delete -f`: manifests, for machines without kubectl."""

import pathlib
import typing
from collections.abc import Callable, Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, output, shared

F = typing.TypeVar("F", bound=Callable[..., typing.Any])


def _files(help_: str) -> Callable[[F], F]:
    return click.option(
        "-f",
        "--filename",
        "filenames",
        multiple=True,
        type=click.Path(path_type=pathlib.Path),
        metavar="FILE_OR_DIR",
        help=help_,
    )


@shared.command()
@_files("Manifests to apply, - for stdin; repeatable.")
@shared.cluster_options
@click.pass_context
def apply(
    ctx: click.Context, /, *, filenames: Sequence[pathlib.Path], chosen: choice.Chosen
) -> None:
    """Apply manifests: OCIRepository, Secret, ServiceAccount, ConfigMap, Namespace.

    \b
    Examples:
      ocisource apply -f podinfo.yaml
      ocisource apply -f sources/ -f secrets/
      ocisource create secret proxy p --address http://proxy:3128 --export | ocisource apply -f -
    """  # noqa: D301
    from ocisource.cli.machines import declare  # noqa: PLC0415

    declared = declare.read(_required(filenames))

    async def work(connection: cluster.Connection) -> None:
        for each in declared:
            await declare.apply(connection.api, [each])
            output.write(f"{_shown(each)} applied\n")

    ctx.exit(cluster.run(chosen, work))


@shared.command()
@_files("Manifests whose objects are deleted, - for stdin; repeatable.")
@shared.cluster_options
@click.pass_context
def delete(
    ctx: click.Context, /, *, filenames: Sequence[pathlib.Path], chosen: choice.Chosen
) -> None:
    """Delete sources by name, or the objects of manifests with -f.

    Objects of manifests that are gone already are no failure. What was applied last is deleted
    first.

    \b
    Examples:
      ocisource delete source oci podinfo
      ocisource delete -f podinfo.yaml
    """  # noqa: D301
    from ocisource.cli.machines import declare  # noqa: PLC0415

    declared = declare.read(_required(filenames))

    async def work(connection: cluster.Connection) -> None:
        for each in reversed(declared):
            try:
                await connection.api.delete(
                    declare.resource_of(each), each.name, namespace=each.namespace
                )
            except errors.APIStatusError as error:
                if error.code != 404:  # noqa: PLR2004 - gone already
                    raise errors.APIStatusError(
                        f"{each.file}: {error.text}", code=error.code, reason=error.reason
                    ) from error
                output.write(f"{_shown(each)} not found\n")
            else:
                output.write(f"{_shown(each)} deleted\n")

    ctx.exit(cluster.run(chosen, work))


def _required(filenames: Sequence[pathlib.Path]) -> Sequence[pathlib.Path]:
    if not filenames:
        raise errors.UsageError("-f is required: name a file or a folder with manifests")
    return filenames


def _shown(each: typing.Any) -> str:
    """An object as kubectl names it: ``ocirepository.source.toolkit.fluxcd.io/podinfo``."""
    group = str(each.document["apiVersion"]).rpartition("/")[0]
    return f"{each.kind.lower()}{'.' if group else ''}{group}/{each.name}"
