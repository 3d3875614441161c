"""`ocisource get sources oci|all`: a table of sources, or the same as data."""

import contextlib
import typing
from collections.abc import Callable, Sequence

import click

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.cli import choice, cluster, completing, output, shared
from ocisource.cli.sources import rows, watching

_KINDS = (
    ("OCIRepository", "ocirepositories"),
    ("Bucket", "buckets"),
    ("GitRepository", "gitrepositories"),
    ("HelmRepository", "helmrepositories"),
    ("HelmChart", "helmcharts"),
    ("ExternalArtifact", "externalartifacts"),
)

Source = ocirepository.OCIRepository
F = typing.TypeVar("F", bound=Callable[..., typing.Any])


def _options(function: F) -> F:
    for decorate in (
        shared.cluster_options,
        shared.output_option,
        click.option(
            "-l",
            "--label-selector",
            default="",
            metavar="SELECTOR",
            help="Only objects with these labels.",
        ),
        click.option(
            "--status-selector",
            default="",
            metavar="TYPE=STATUS",
            help="Only objects with this condition (or TYPE!=STATUS).",
        ),
        click.option("--no-header", is_flag=True, help="Leave the header out."),
        click.option("-w", "--watch", "is_watching", is_flag=True, help="Print changes, too."),
        click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces."),
    ):
        function = decorate(function)
    return function


@shared.command()
@click.argument("name", required=False, default="", shell_complete=completing.sources)
@_options
@click.pass_context
def oci(ctx: click.Context, /, *, chosen: choice.Chosen, **values: typing.Any) -> None:
    """Print the state of OCIRepositories.

    \b
    Examples:
      ocisource get sources oci
      ocisource get sources oci podinfo -n apps
      ocisource get sources oci -A --status-selector ready=false
      ocisource get sources oci -o json
      ocisource get sources oci --watch
    """  # noqa: D301
    query = rows.Query.of(values)
    if not values["is_watching"]:
        code = _answered_lightly(chosen, query)
        if code is not None:
            ctx.exit(code)

    async def work(connection: cluster.Connection) -> int:
        if values["is_watching"]:
            return await _watch(connection, query)
        scope = query.scope(connection.namespace)
        if query.output is not None:
            listed = await connection.api.list(connection.documents, scope)
            return _print_data(listed.items, query, connection.namespace)
        found = await connection.api.list(connection.sources, scope)
        return _print(found.items, query, connection.namespace)

    ctx.exit(cluster.run(chosen, work, is_endless=values["is_watching"]))


@shared.command()
@_options
@click.pass_context
def everything(ctx: click.Context, /, *, chosen: choice.Chosen, **values: typing.Any) -> None:
    """Print the state of all sources, kind by kind; kinds that are not there are passed over.

    \b
    Examples:
      ocisource get sources all
      ocisource get sources all -A
    """  # noqa: D301
    if values["is_watching"]:
        raise errors.UsageError("expected a single resource type, but found all")
    query = rows.Query.of(values | {"name": ""})

    async def work(connection: cluster.Connection) -> int:
        collected: list[typing.Any] = []
        for kind, plural in _KINDS:
            listed = await _listed(connection, kind, plural, query)
            if query.output is not None:
                collected += listed
            elif listed:
                shown = [rows.read(each) for each in listed]
                prefix = kind.lower() + "/"
                output.write(rows.table(rows.selected(shown, query), query, prefix=prefix) + "\n")
        if query.output is not None:
            output.data(rows.as_list(collected), output=query.output)
        return 0

    ctx.exit(cluster.run(chosen, work))


def _answered_lightly(chosen: choice.Chosen, query: rows.Query) -> int | None:
    """The exit code; None where the full client has to ask."""
    from ocisource.cli import light  # noqa: PLC0415

    place = cluster.locate(chosen)
    if query.output is None:
        found = light.sources(place, chosen, query)
        return None if found is None else _print(found, query, place.namespace)
    documents = light.documents(place, chosen, query)
    return None if documents is None else _print_data(documents, query, place.namespace)


async def _listed(
    connection: cluster.Connection, kind: str, plural: str, query: rows.Query
) -> Sequence[cluster.Document]:
    from ocisource.kube import resources  # noqa: PLC0415

    resource: resources.Resource[cluster.Document] = resources.Resource(
        ocirepository.GROUP, connection.version, plural, kind, dict
    )
    try:
        return (await connection.api.list(resource, query.scope(connection.namespace))).items
    except errors.APIStatusError as error:
        if cluster.is_refused(error):
            raise
        if not cluster.is_kind_unknown(error):
            output.say(output.FAILURE, error.text)
        return ()


def _print(found: Sequence[Source], query: rows.Query, namespace: str) -> int:
    if not found:
        raise _nothing(query, namespace)
    output.write(rows.table(rows.selected(found, query), query))
    return 0


def _print_data(found: Sequence[cluster.Document], query: rows.Query, namespace: str) -> int:
    if not found:
        raise _nothing(query, namespace)
    kept = [each for each in found if rows.selected([rows.read(each)], query)]
    is_one = bool(query.name) and len(kept) == 1
    output.data(rows.clean(kept[0]) if is_one else rows.as_list(kept), output=str(query.output))
    return 0


def _nothing(query: rows.Query, namespace: str) -> errors.OcisourceError:
    where = "any" if query.is_everywhere else f'"{namespace}"'
    if query.name:
        text = f"{ocirepository.KIND} object '{query.name}' not found in {where} namespace"
    else:
        text = f"no {ocirepository.KIND} objects found in {where} namespace"
    return errors.APIStatusError(text, code=404)


async def _watch(connection: cluster.Connection, query: rows.Query) -> int:
    """A row or document for each change until somebody ends it.

    A table's widths are each row's own.
    """
    has_header = query.has_header
    scope = query.scope(connection.namespace)
    stream = watching.changes(connection.api, connection.documents, scope)
    async with contextlib.aclosing(stream) as changes:
        async for change in changes:
            if change.obj is None:
                continue
            shown = rows.selected([rows.read(change.obj)], query)
            if not shown:
                continue
            if query.output is not None:
                output.one_of_many(rows.clean(change.obj), output=query.output)
                continue
            output.write(rows.table(shown, query, has_header=has_header))
            has_header = False
    return 0
