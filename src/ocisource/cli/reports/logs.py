"""`ocisource logs`: the controller's log lines about sources, from a cluster's pods or from `up`.

A line is ``TS LEVEL KIND/NAME.NAMESPACE - MSG ERROR``. With no cluster named, the files that
`ocisource up` keeps in its data folder are read; otherwise the pods of the Deployments labelled
``app.kubernetes.io/part-of=flux``.
"""

import asyncio
import contextlib
import datetime
import os
import pathlib
import typing
from collections.abc import Mapping

import click

from ocisource import errors
from ocisource.cli import choice, cluster, flags, output, shared
from ocisource.cli.machines import places
from ocisource.cli.reports import logfiles, loglines
from ocisource.kube import kubeconfig
from ocisource.wire import timestamps

_LEVELS = ("debug", "info", "error")
_PART_OF = "app.kubernetes.io/part-of=flux"
_CONTAINER = "manager"

Document = dict[str, typing.Any]


@shared.command()
@click.argument("words", nargs=-1, metavar="")
@click.option("--level", default="", metavar="LEVEL", help=f"Only {', '.join(_LEVELS)}.")
@click.option("--kind", default="", help="Only about this kind.")
@click.option("--name", default="", help="Only about objects of this name.")
@click.option("-f", "--follow", "is_following", is_flag=True, help="Wait for further lines.")
@click.option("--tail", type=int, default=-1, help="Only the last lines; -1 for all.")
@click.option("--since", type=flags.Duration(), default=0.0, help="Only what is newer than this.")
@click.option("--since-time", default="", metavar="RFC3339", help="Only what is newer than this.")
@click.option("--flux-namespace", default="flux-system", help="Namespace of the controller.")
@click.option("-A", "--all-namespaces", is_flag=True, help="About objects of all namespaces.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=pathlib.Path),
    help="Data folder of `ocisource up`, whose log files are read instead of a cluster's.",
)
@shared.output_option
@shared.cluster_options
@click.pass_context
def logs(ctx: click.Context, /, *, chosen: choice.Chosen, **values: typing.Any) -> None:
    """Print the controller's logs: of `ocisource up`, or of the pods of a cluster.

    \b
    Examples:
      ocisource logs -A
      ocisource logs --level error --kind OCIRepository --name podinfo -n apps
      ocisource logs --follow --since 10m
      ocisource logs -A -o json
    """  # noqa: D301
    if values["words"]:
        raise errors.UsageError("no argument required")
    since = _since(values)
    if values["level"] and values["level"] not in _LEVELS:
        raise errors.UsageError(
            f"unsupported log level '{values['level']}', must be one of: {', '.join(_LEVELS)}"
        )
    folder = _folder(values["data_dir"], chosen)
    namespace = chosen.namespace
    if not namespace and folder is None:
        namespace = cluster.locate(chosen).namespace
    wanted = loglines.Wanted(
        level=values["level"],
        kind=values["kind"],
        name=values["name"],
        # Whoever asks one machine means all that is on it.
        namespace="" if values["all_namespaces"] else namespace,
    )
    show = _shown(wanted, values["output"])
    if folder is not None:
        seconds = chosen.timeout if chosen.is_timeout_given else None
        lines = logfiles.lines(
            folder,
            since=since,
            tail=values["tail"],
            is_following=values["is_following"],
            seconds=seconds,
        )
        for line in lines:
            show(line)
        ctx.exit(0)

    async def work(connection: cluster.Connection) -> None:
        await _from_pods(connection, values, since, show)

    ctx.exit(cluster.run(chosen, work, is_endless=values["is_following"]))


def _shown(wanted: loglines.Wanted, output_: str | None) -> typing.Callable[[str], None]:
    def show(line: str) -> None:
        found = loglines.parse(line)
        if found is None or not wanted.has(found):
            return
        if output_ is None:
            output.write(loglines.text(found) + "\n")
        else:
            output.write(line.strip() + "\n")  # a line is a JSON object already

    return show


def _since(values: Mapping[str, typing.Any]) -> float | None:
    """The time of the oldest line wanted, in seconds since the epoch; raises UsageError."""
    if values["since"] and values["since_time"]:
        raise errors.UsageError("at most one of `sinceTime` or `sinceDuration` may be specified")
    if values["since_time"]:
        try:
            return timestamps.parse(values["since_time"])
        except ValueError:
            raise errors.UsageError(
                f"{values['since_time']} is not a valid (RFC3339) time"
            ) from None
    if values["since"]:
        return datetime.datetime.now(datetime.UTC).timestamp() - float(values["since"])
    return None


def _folder(
    given: pathlib.Path | None, chosen: choice.Chosen, environ: Mapping[str, str] = os.environ
) -> pathlib.Path | None:
    """The folder with the log files of `up`, None where a cluster's pods are meant."""
    if given is not None:
        if not (given / places.LOGS).is_dir():
            raise errors.UsageError(f"--data-dir {given}: no logs of 'ocisource up' are there")
        return given / places.LOGS
    files = kubeconfig.find_files(chosen.kubeconfig, environ)
    if len(files) == 1 and (files[0].parent / places.LOGS / logfiles.NAME).is_file():
        return files[0].parent / places.LOGS  # the kubeconfig of an `up`
    has_cluster = bool(files) or bool(chosen.server)
    local = places.default_data_dir() / places.LOGS
    is_local = not has_cluster and "KUBERNETES_SERVICE_HOST" not in environ
    return local if is_local and local.is_dir() else None


async def _from_pods(
    connection: cluster.Connection,
    values: Mapping[str, typing.Any],
    since: float | None,
    show: typing.Callable[[str], None],
) -> None:
    namespace = values["flux_namespace"]
    pods = await _pods(connection, namespace)
    if not pods:
        raise errors.APIStatusError(f'no Flux pods found in namespace "{namespace}"', code=404)

    async def one(pod: Document) -> bool:
        name, containers = pod["metadata"]["name"], pod["spec"]["containers"]
        query = [("follow", "true")] if values["is_following"] else []
        if len(containers) > 1:
            query.append(("container", _CONTAINER))
        if values["tail"] >= 0:
            query.append(("tailLines", str(values["tail"])))
        if since is not None:
            query.append(("sinceTime", timestamps.format_seconds(since)))
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        try:
            stream = connection.api.text_lines(path, query=tuple(query))
            async with contextlib.aclosing(stream) as lines:
                async for line in lines:
                    show(line.decode("utf-8", "replace"))
        except errors.OcisourceError as error:
            output.say(output.FAILURE, f"failed getting logs: {error.text}")
            return False
        return True

    if values["is_following"]:
        done = await asyncio.gather(*map(one, pods))
    else:
        done = [await one(pod) for pod in pods]
    if not all(done):
        raise errors.APIStatusError("failed to collect logs from all Flux pods", code=500)


async def _pods(connection: cluster.Connection, namespace: str) -> list[Document]:
    """The best pod of each of the controllers' Deployments."""
    from ocisource.kube import client, resources  # noqa: PLC0415

    deployments = resources.Resource("apps", "v1", "deployments", "Deployment", dict)
    pods = resources.Resource("", "v1", "pods", "Pod", dict)
    scope = client.Scope(namespace=namespace, label_selector=_PART_OF)
    found: list[Document] = []
    for deployment in (await connection.api.list(deployments, scope)).items:
        labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        listed = await connection.api.list(
            pods, client.Scope(namespace=namespace, label_selector=selector)
        )
        if listed.items:
            found.append(min(listed.items, key=_rank))
    return found


def _rank(pod: Document) -> tuple[bool, bool]:
    status = pod.get("status") or {}
    conditions = status.get("conditions") or ()
    is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return status.get("phase") != "Running", not is_ready
