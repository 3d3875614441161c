"""`ocisource reconcile source oci NAME`: ask for a reconciliation now, and wait for it."""

import asyncio
import datetime
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.api import conditions, ocirepository
from ocisource.cli import choice, cluster, completing, output, shared
from ocisource.cli.sources import waiting

_CONFLICT_PAUSES = (0.01, 0.05, 0.25, None)  # seconds between tries of the annotation

KIND = ocirepository.KIND


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME", shell_complete=completing.sources)
@shared.cluster_options
@click.pass_context
def oci(ctx: click.Context, /, *, names: Sequence[str], chosen: choice.Chosen) -> None:
    """Reconcile an OCIRepository now, and wait until it is done or has failed.

    \b
    Examples:
      ocisource reconcile source oci podinfo
      ocisource reconcile source oci podinfo -n apps --timeout 1m
    """  # noqa: D301
    name = output.one_name(names, missing=f"{KIND} name is required")
    ctx.exit(cluster.run(chosen, lambda connection: _reconcile(connection, name, chosen.timeout)))


async def _reconcile(connection: cluster.Connection, name: str, seconds: float) -> None:
    namespace = connection.namespace
    before = await connection.api.get(connection.sources, name, namespace=namespace)
    if before.spec.suspend:
        raise errors.InvalidInputError(
            f"resource is suspended: 'ocisource resume source oci {name} -n {namespace}' ends that"
        )
    output.say(output.ACTION, f"annotating {KIND} {name} in {namespace} namespace")
    now = datetime.datetime.now().astimezone().isoformat()
    await _annotate(connection, name, {ocirepository.REQUESTED_AT: now})
    output.say(output.SUCCESS, f"{KIND} annotated")
    output.say(output.WAITING, f"waiting for {KIND} reconciliation")
    handled = before.status.last_handled_reconcile_at
    try:
        after = await waiting.settled(
            connection,
            name,
            is_judged=lambda obj: obj.status.last_handled_reconcile_at != handled,
            seconds=seconds,
        )
    except errors.ContentError as error:
        raise errors.ContentError(f"{KIND} reconciliation failed: '{error.text}'") from error
    if conditions.get(after.status.conditions, conditions.READY) is None:
        raise errors.ContentError("status can't be determined")
    output.say(output.SUCCESS, f"fetched revision {waiting.revision(after)}")


async def _annotate(
    connection: cluster.Connection, name: str, annotations: dict[str, typing.Any]
) -> None:
    from ocisource.kube import answers, patch  # noqa: PLC0415

    change = patch.merge({"metadata": {"annotations": annotations}})
    for pause in _CONFLICT_PAUSES:
        try:
            await connection.api.patch(
                connection.sources.metadata_only(), name, change, namespace=connection.namespace
            )
        except errors.APIStatusError as error:
            if pause is None or not answers.is_conflict(error):
                raise
            await asyncio.sleep(pause)
        else:
            return
