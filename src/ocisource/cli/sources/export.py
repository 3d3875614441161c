"""`ocisource export source oci`: sources as YAML that can be applied again."""

import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, completing, output, shared

_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
Document = dict[str, typing.Any]


@shared.command()
@click.argument("names", nargs=-1, metavar="[NAME]", shell_complete=completing.sources)
@click.option("--all", "is_all", is_flag=True, help="Print all sources of the namespace.")
@click.option("--with-credentials", is_flag=True, help="Print the pull Secrets, too.")
@shared.cluster_options
@click.pass_context
def oci(
    ctx: click.Context,
    /,
    *,
    names: Sequence[str],
    is_all: bool,
    with_credentials: bool,
    chosen: choice.Chosen,
) -> None:
    """Print OCIRepositories as YAML, without status and bookkeeping.

    \b
    Examples:
      ocisource export source oci podinfo
      ocisource export source oci --all --with-credentials > sources.yaml
    """  # noqa: D301
    name = "" if is_all else output.one_name(names, missing="name is required")
    if not with_credentials:
        from ocisource.cli import light  # noqa: PLC0415
        from ocisource.cli.sources import rows  # noqa: PLC0415

        query = rows.Query(name=name)
        documents = light.documents(cluster.locate(chosen), chosen, query)
        if documents:  # of nothing, the full client says what it is that is not there
            output.write("".join(output.document(exported(each)) for each in documents))
            ctx.exit(0)

    async def work(connection: cluster.Connection) -> None:
        found = await _found(connection, name)
        seen: set[str] = set()
        for obj in found:
            output.write(output.document(exported(obj)))
            secret = ((obj.get("spec") or {}).get("secretRef") or {}).get("name")
            if with_credentials and secret and secret not in seen:
                seen.add(secret)
                output.write(output.document(await _secret(connection, secret)))

    ctx.exit(cluster.run(chosen, work))


def exported(document: Document) -> Document:
    """What of an object is declared: name, labels, annotations and spec."""
    metadata = {
        key: document["metadata"][key] for key in _KEPT_METADATA if document["metadata"].get(key)
    }
    kept = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": metadata}
    for key in ("spec", "data", "stringData", "type"):
        if key in document:
            kept[key] = document[key]
    return kept


async def _found(connection: cluster.Connection, name: str) -> Sequence[Document]:
    from ocisource.kube import client  # noqa: PLC0415

    if name:
        return [
            await connection.api.get(connection.documents, name, namespace=connection.namespace)
        ]
    scope = client.Scope(namespace=connection.namespace)
    found = (await connection.api.list(connection.documents, scope)).items
    if not found:
        raise errors.APIStatusError(
            f"no objects found in {connection.namespace} namespace", code=404
        )
    return found


async def _secret(connection: cluster.Connection, name: str) -> Document:
    from ocisource.kube import resources  # noqa: PLC0415

    try:
        found: Document = await connection.api.get(
            resources.SECRETS.read_as(dict), name, namespace=connection.namespace
        )
    except errors.APIStatusError as error:
        raise errors.APIStatusError(
            f"failed to retrieve secret {name}, error: {error.text}", code=error.code
        ) from error
    metadata = {"name": name, "namespace": connection.namespace}
    kept = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    return kept | {key: found[key] for key in ("data", "type") if key in found}
