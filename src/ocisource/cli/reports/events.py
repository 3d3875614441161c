"""`ocisource events`: what the controllers say about sources, oldest first."""

import asyncio
import contextlib
import time
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, output, shared
from ocisource.cli.reports import eventrows, subjects
from ocisource.cli.sources import watching

if typing.TYPE_CHECKING:
    from ocisource.kube import client

KINDS = (
    "OCIRepository",
    "GitRepository",
    "HelmRepository",
    "HelmChart",
    "Bucket",
    "ExternalArtifact",
    "Kustomization",
    "HelmRelease",
    "Alert",
    "Provider",
    "Receiver",
    "ImageRepository",
    "ImagePolicy",
    "ImageUpdateAutomation",
    "ArtifactGenerator",
)
TYPES = ("Normal", "Warning")

Document = dict[str, typing.Any]


@shared.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Print new events, too.")
@click.option(
    "--for",
    "subject",
    default="",
    metavar="KIND[/NAME]",
    help="Only about these, and the source that KIND/NAME uses.",
)
@click.option("--types", default="", metavar="TYPE,…", help="Only Normal, or only Warning.")
@shared.output_option
@shared.cluster_options
@click.pass_context
def events(
    ctx: click.Context,
    /,
    *,
    all_namespaces: bool,
    is_watching: bool,
    subject: str,
    types: str,
    output: str | None,
    chosen: choice.Chosen,
) -> None:
    """Print events about sources and what uses them, oldest first.

    \b
    Examples:
      ocisource events
      ocisource events --for OCIRepository/podinfo
      ocisource events --for Kustomization/apps
      ocisource events -A --types Warning --watch
      ocisource events -o json
    """  # noqa: D301
    wanted = _types(types)
    kind, name = _subject(subject)

    async def work(connection: cluster.Connection) -> None:
        own = subjects.Subject(kind, name, connection.namespace)
        used = await _used(connection, own)
        namespace = "" if all_namespaces else own.namespace
        scopes = [_scope(subjects.Subject(kind, name, namespace)), *map(_scope, used)]
        show = _Shown(
            own.namespace,
            is_everywhere=all_namespaces,
            has_others=any(each.namespace != namespace for each in used),
            types=wanted,
            output=output,
        )
        if is_watching:
            await _watch(connection, scopes, show)
            return
        lists = [await connection.api.list(_resource(), scope) for scope in scopes]
        found = (each for listed in lists for each in listed.items if show.has(each))
        show.all(sorted(found, key=eventrows.last_seen))

    ctx.exit(cluster.run(chosen, work, is_endless=is_watching))


class _Shown:
    """Which events are shown, and how; some may be of other namespaces than the one looked in."""

    def __init__(
        self,
        namespace: str,
        *,
        is_everywhere: bool,
        has_others: bool,
        types: frozenset[str],
        output: str | None,
    ) -> None:
        self._namespace = namespace
        self._is_everywhere = is_everywhere
        self._has_others = has_others
        self._types = types
        self._output = output
        self._has_header = True

    def has(self, event: Document) -> bool:
        """Whether an event is about a kind of ours and of a type that is wanted."""
        kind = (event.get("involvedObject") or {}).get("kind")
        return kind in KINDS and (not self._types or event.get("type") in self._types)

    def all(self, found: Sequence[Document]) -> None:
        """Print all of them, or that there are none."""
        if self._output is not None:
            output.data([eventrows.as_data(event) for event in found], output=self._output)
        elif found:
            self._table(found)
        else:
            where = "" if self._is_everywhere else f" in {self._namespace} namespace"
            output.say(output.FAILURE, f"No events found{where}.")

    def one(self, event: Document) -> None:
        """Print one of a stream."""
        if self._output is not None:
            output.one_of_many(eventrows.as_data(event), output=self._output)
        else:
            self._table([event])

    def _table(self, found: Sequence[Document]) -> None:
        header = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        first = 0 if self._is_everywhere or self._has_others else 1
        cells = [eventrows.cells(event, now=time.time())[first:] for event in found]
        output.write(output.table(header[first:], cells, has_header=self._has_header))
        self._has_header = False


def _resource() -> typing.Any:
    from ocisource.kube import resources  # noqa: PLC0415

    return resources.EVENTS.read_as(dict)


def _scope(subject: subjects.Subject) -> "client.Scope":
    from ocisource.kube import client  # noqa: PLC0415

    return client.Scope(namespace=subject.namespace, field_selector=subject.field_selector)


async def _used(
    connection: cluster.Connection, subject: subjects.Subject
) -> tuple[subjects.Subject, ...]:
    """What the object uses; an object that is gone, or not ours to read, has events still."""
    try:
        return await subjects.used_by(connection, subject)
    except errors.APIStatusError as error:
        if cluster.is_refused(error):
            raise
        output.say(output.WARNING, f"{error.text}: the events of what it uses are not shown")
        return ()


async def _watch(
    connection: cluster.Connection, scopes: Sequence["client.Scope"], show: _Shown
) -> None:
    """Print the events of all scopes as they come, until the first of the streams fails."""
    watches = [asyncio.ensure_future(_follow(connection, scope, show)) for scope in scopes]
    try:
        await asyncio.gather(*watches)
    finally:
        for each in watches:
            each.cancel()
        await asyncio.wait(watches)


async def _follow(connection: cluster.Connection, scope: "client.Scope", show: _Shown) -> None:
    stream = watching.changes(connection.api, _resource(), scope)
    async with contextlib.aclosing(stream) as changes:
        async for change in changes:
            is_news = change.type.value in {"ADDED", "MODIFIED"}
            if is_news and change.obj is not None and show.has(change.obj):
                show.one(change.obj)


def _types(text: str) -> frozenset[str]:
    known = {name.lower(): name for name in TYPES}
    found = set()
    for item in filter(None, text.split(",")):
        if item.strip().lower() not in known:
            raise errors.UsageError(
                f"type '{item}' not supported. Supported types are {', '.join(TYPES)}"
            )
        found.add(known[item.strip().lower()])
    return frozenset(found)


def _subject(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    kind, _, name = text.partition("/")
    canonical = next((each for each in KINDS if each.lower() == kind.lower()), None)
    if canonical is None:
        raise errors.UsageError(f"'{kind}' is not a recognized Flux kind")
    return canonical, name
