"""`ocisource stats`: how many sources there are, how they are, what they store."""

import asyncio
import typing

import click

from ocisource import errors
from ocisource.api import conditions
from ocisource.cli import choice, cluster, output, shared
from ocisource.cli.sources import rows

_SOURCES = "source.toolkit.fluxcd.io"
_IMAGES = "image.toolkit.fluxcd.io"
_NOTIFICATIONS = "notification.toolkit.fluxcd.io"
# Kind, group, plural, and the versions that are tried.
_KINDS = (
    ("GitRepository", _SOURCES, "gitrepositories", ("v1",)),
    ("OCIRepository", _SOURCES, "ocirepositories", ("v1", "v1beta2")),
    ("HelmRepository", _SOURCES, "helmrepositories", ("v1",)),
    ("HelmChart", _SOURCES, "helmcharts", ("v1",)),
    ("Bucket", _SOURCES, "buckets", ("v1",)),
    ("Kustomization", "kustomize.toolkit.fluxcd.io", "kustomizations", ("v1",)),
    ("HelmRelease", "helm.toolkit.fluxcd.io", "helmreleases", ("v2",)),
    ("Alert", _NOTIFICATIONS, "alerts", ("v1beta3",)),
    ("Provider", _NOTIFICATIONS, "providers", ("v1beta3",)),
    ("Receiver", _NOTIFICATIONS, "receivers", ("v1",)),
    ("ImageUpdateAutomation", _IMAGES, "imageupdateautomations", ("v1", "v1beta2")),
    ("ImagePolicy", _IMAGES, "imagepolicies", ("v1", "v1beta2")),
    ("ImageRepository", _IMAGES, "imagerepositories", ("v1", "v1beta2")),
)
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024

Row = dict[str, typing.Any]


@shared.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")
@shared.output_option
@shared.cluster_options
@click.pass_context
def stats(
    ctx: click.Context,
    /,
    *,
    all_namespaces: bool,
    output: str | None,
    chosen: choice.Chosen,
) -> None:
    """Count sources and what uses them: running, failing, suspended, bytes stored.

    \b
    Examples:
      ocisource stats
      ocisource stats -A -o json
    """  # noqa: D301

    async def work(connection: cluster.Connection) -> None:
        namespace = "" if all_namespaces else connection.namespace
        counted = await asyncio.gather(*(_count(connection, kind, namespace) for kind in _KINDS))
        _show(counted, output)

    ctx.exit(cluster.run(chosen, work))


async def _count(
    connection: cluster.Connection, kind: tuple[str, str, str, tuple[str, ...]], namespace: str
) -> Row:
    from ocisource.kube import client, resources  # noqa: PLC0415

    name, group, plural, versions = kind
    row: Row = {"kind": name, "running": 0, "failing": 0, "suspended": 0, "storageBytes": 0}
    for version in versions:
        resource: resources.Resource[rows.Document] = resources.Resource(
            group, version, plural, name, dict
        )
        try:
            listed = await connection.api.list(resource, client.Scope(namespace=namespace))
        except errors.APIStatusError as error:
            if cluster.is_refused(error):
                raise
            continue  # a kind that is not installed, or that we may not see
        for obj in map(rows.read, listed.items):
            row["suspended"] += obj.spec.suspend
            row["running"] += not obj.spec.suspend
            ready = conditions.get(obj.status.conditions, conditions.READY)
            row["failing"] += ready is not None and ready.status == conditions.FALSE
            if obj.status.artifact is not None:
                row["storageBytes"] += obj.status.artifact.size or 0
        break
    return row


def _show(counted: list[Row], output_: str | None) -> None:
    if output_ is not None:
        output.data(counted, output=output_)
        return
    header = ("RECONCILERS", "RUNNING", "FAILING", "SUSPENDED", "STORAGE")
    cells = [
        (
            row["kind"],
            *(str(row[key]) for key in ("running", "failing", "suspended")),
            size(row["storageBytes"]) if row["storageBytes"] else "-",
        )
        for row in counted
    ]
    output.write(output.table(header, cells))


def size(count: int) -> str:
    """Bytes as people read them: ``512 B``, ``1.5 KiB``."""
    if count < _STEP:
        return f"{count} B"
    amount = float(count)
    for unit in _UNITS:
        amount /= _STEP
        if amount < _STEP:
            return f"{amount:.1f} {unit}"
    return f"{amount:.1f} {_UNITS[-1]}"
