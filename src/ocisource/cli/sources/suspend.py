"""`ocisource suspend|resume source oci`: stop the reconciliation of sources, and go on with it."""

import asyncio
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.cli import choice, cluster, completing, output, shared
from ocisource.cli.sources import waiting

KIND = ocirepository.KIND
_WORD = "source oci"  # what flux calls the kind


@shared.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.sources)
@click.option("--all", "is_all", is_flag=True, help="Suspend all sources of the namespace.")
@shared.cluster_options
@click.pass_context
def suspend_oci(
    ctx: click.Context, /, *, names: Sequence[str], is_all: bool, chosen: choice.Chosen
) -> None:
    """Suspend OCIRepositories: their artifacts stay, nothing new is fetched.

    \b
    Examples:
      ocisource suspend source oci podinfo
      ocisource suspend source oci --all -n apps
    """  # noqa: D301
    wanted = _wanted(names, is_all=is_all)

    async def work(connection: cluster.Connection) -> int:
        _, missing = await _patched(connection, wanted, is_suspended=True)
        return 1 if missing else 0

    ctx.exit(cluster.run(chosen, work))


@shared.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.sources)
@click.option("--all", "is_all", is_flag=True, help="Resume all sources of the namespace.")
@click.option(
    "--wait/--no-wait",
    "is_waiting",
    default=None,
    help="Wait until they are reconciled.  [default: with one NAME]",
)
@shared.cluster_options
@click.pass_context
def resume_oci(
    ctx: click.Context,
    /,
    *,
    names: Sequence[str],
    is_all: bool,
    is_waiting: bool | None,
    chosen: choice.Chosen,
) -> None:
    """Resume OCIRepositories, and wait for a single one.

    \b
    Examples:
      ocisource resume source oci podinfo
      ocisource resume source oci podinfo --wait=false
      ocisource resume source oci --all --wait
    """  # noqa: D301
    wanted = _wanted(names, is_all=is_all)
    has_to_wait = len(wanted) == 1 if is_waiting is None else is_waiting

    async def work(connection: cluster.Connection) -> int:
        resumed, missing = await _patched(connection, wanted, is_suspended=False)
        if has_to_wait:
            await _wait(connection, resumed, chosen.timeout)
        return 1 if missing else 0

    ctx.exit(cluster.run(chosen, work))


def _wanted(names: Sequence[str], *, is_all: bool) -> tuple[str, ...]:
    """The names, each once; none for all of them."""
    if not names and not is_all:
        raise errors.UsageError(f"{_WORD} name is required")
    return tuple(dict.fromkeys(names))


async def _patched(
    connection: cluster.Connection, wanted: Sequence[str], *, is_suspended: bool
) -> tuple[list[str], bool]:
    """Write ``spec.suspend``: which were changed, and whether any was missing or refused."""
    has_failed = False
    changed: list[str] = []
    ing, ed = ("suspending", "suspended") if is_suspended else ("resuming", "resumed")
    where = f"in {connection.namespace} namespace"
    for name in wanted or await _all(connection):
        try:
            if wanted:
                await connection.api.get(connection.sources, name, namespace=connection.namespace)
            output.say(output.ACTION, f"{ing} {_WORD} {name} {where}")
            await _set(connection, name, is_suspended=is_suspended)
        except errors.APIStatusError as error:
            if cluster.is_kind_unknown(error) or cluster.is_refused(error):
                raise
            has_failed = True
            is_missing = error.code == 404  # noqa: PLR2004
            output.say(
                output.FAILURE,
                f"{KIND} {name} not found {where}"
                if is_missing
                else f"failed {ing} {KIND} {name} {where}: {error.text}",
            )
            continue
        output.say(output.SUCCESS, f"{_WORD} {ed}")
        changed.append(name)
    return changed, has_failed


async def _all(connection: cluster.Connection) -> list[str]:
    from ocisource.kube import client  # noqa: PLC0415

    scope = client.Scope(namespace=connection.namespace)
    found = await connection.api.list(connection.sources, scope)
    if not found.items:
        raise errors.APIStatusError(
            f"no {KIND} objects found in {connection.namespace} namespace", code=404
        )
    return sorted(obj.metadata.name for obj in found.items)


async def _set(connection: cluster.Connection, name: str, *, is_suspended: bool) -> None:
    from ocisource.kube import patch  # noqa: PLC0415

    # False is written as absence, as Go's omitempty has it.
    change = patch.merge({"spec": {"suspend": True if is_suspended else None}})
    await connection.api.patch(
        connection.sources.metadata_only(), name, change, namespace=connection.namespace
    )


async def _wait(connection: cluster.Connection, names: Sequence[str], seconds: float) -> None:
    for _ in names:
        output.say(output.WAITING, f"waiting for {KIND} reconciliation")
    found = await asyncio.gather(
        *(
            waiting.settled(connection, name, is_judged=waiting.is_observed, seconds=seconds)
            for name in names
        ),
        return_exceptions=True,
    )
    count = 0
    for name, result in sorted(zip(names, found, strict=True), key=lambda pair: pair[0]):
        if isinstance(result, errors.OcisourceError):
            count += 1
            output.say(output.FAILURE, f"{KIND} {name} reconciliation failed: {result.text}")
        elif isinstance(result, BaseException):
            raise result
        else:
            output.say(output.SUCCESS, f"{KIND} {name} reconciliation completed")
            output.say(output.SUCCESS, f"fetched revision {waiting.revision(result)}")
    if count:
        raise errors.ContentError(f"reconciliation failed for {count} {KIND}(s)")
