"""`ocisource events`: what the controllers say about sources, oldest first."""

import contextlib
import time
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.apiserver.wording import humanduration
from ocisource.cli import choice, cluster, output, shared
from ocisource.cli.sources import watching
from ocisource.wire import timestamps

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
_UNKNOWN = "<unknown>"

Document = dict[str, typing.Any]


@shared.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Print new events, too.")
@click.option("--for", "subject", default="", metavar="KIND[/NAME]", help="Only about these.")
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
      ocisource events -A --types Warning --watch
      ocisource events -o json
    """  # noqa: D301
    wanted = _types(types)
    kind, name = _subject(subject)

    async def work(connection: cluster.Connection) -> None:
        from ocisource.kube import client  # noqa: PLC0415

        fields = [("kind", kind), ("name", name)]
        scope = client.Scope(
            namespace="" if all_namespaces else connection.namespace,
            field_selector=",".join(f"involvedObject.{key}={text}" for key, text in fields if text),
        )
        show = _Shown(is_everywhere=all_namespaces, types=wanted, output=output)
        if is_watching:
            await _watch(connection, scope, show)
            return
        listed = await connection.api.list(_resource(), scope)
        found = sorted((each for each in listed.items if show.has(each)), key=_last_seen)
        show.all(found, connection.namespace)

    ctx.exit(cluster.run(chosen, work, is_endless=is_watching))


class _Shown:
    """Which events are shown, and how."""

    def __init__(self, *, is_everywhere: bool, types: frozenset[str], output: str | None) -> None:
        self._is_everywhere = is_everywhere
        self._types = types
        self._output = output
        self._has_header = True

    def has(self, event: Document) -> bool:
        """Whether an event is about a kind of ours and of a type that is wanted."""
        kind = (event.get("involvedObject") or {}).get("kind")
        return kind in KINDS and (not self._types or event.get("type") in self._types)

    def all(self, found: Sequence[Document], namespace: str) -> None:
        """Print all of them, or that there are none."""
        if self._output is not None:
            output.data([_as_data(event) for event in found], output=self._output)
        elif found:
            self._table(found)
        else:
            where = "" if self._is_everywhere else f" in {namespace} namespace"
            output.say(output.FAILURE, f"No events found{where}.")

    def one(self, event: Document) -> None:
        """Print one of a stream."""
        if self._output is not None:
            output.one_of_many(_as_data(event), output=self._output)
        else:
            self._table([event])

    def _table(self, found: Sequence[Document]) -> None:
        header = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        first = 0 if self._is_everywhere else 1
        cells = [_cells(event, now=time.time())[first:] for event in found]
        output.write(output.table(header[first:], cells, has_header=self._has_header))
        self._has_header = False


def _resource() -> typing.Any:
    from ocisource.kube import resources  # noqa: PLC0415

    return resources.EVENTS.read_as(dict)


async def _watch(connection: cluster.Connection, scope: typing.Any, show: _Shown) -> None:
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


def _seconds(text: object) -> float | None:
    try:
        return timestamps.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _last_seen(event: Document) -> float:
    series = event.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
    ):
        if (seconds := _seconds(text)) is not None:
            return seconds
    return 0.0


def _age(seconds: float | None, now: float) -> str:
    return _UNKNOWN if not seconds else humanduration.render(max(now - seconds, 0))


def _seen(event: Document, now: float) -> str:
    """LAST SEEN: an age, or how often it was seen over which time."""
    first = _seconds(event.get("eventTime")) or _seconds(event.get("firstTimestamp"))
    series = event.get("series") or {}
    count = int(series.get("count") or event.get("count") or 0)
    if not series and count <= 1:
        return _age(first, now)
    return f"{_age(_last_seen(event), now)} (x{count} over {_age(first, now)})"


def _cells(event: Document, *, now: float) -> list[str]:
    about = event.get("involvedObject") or {}
    return [
        str(about.get("namespace") or event["metadata"].get("namespace") or ""),
        _seen(event, now),
        str(event.get("type") or ""),
        str(event.get("reason") or ""),
        f"{about.get('kind')}/{about.get('name')}",
        str(event.get("message") or "").strip(),
    ]


def _as_data(event: Document) -> Document:
    about = event.get("involvedObject") or {}
    series = event.get("series") or {}
    return {
        "namespace": about.get("namespace") or event["metadata"].get("namespace") or "",
        "firstSeen": event.get("eventTime") or event.get("firstTimestamp"),
        "lastSeen": series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime"),
        "count": int(series.get("count") or event.get("count") or 1),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "kind": about.get("kind"),
        "name": about.get("name"),
        "message": event.get("message"),
        "annotations": event["metadata"].get("annotations") or {},
    }
