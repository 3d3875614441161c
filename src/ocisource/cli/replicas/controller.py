"""`ocisource controller`: the controller on a Kubernetes cluster."""

import asyncio
import pathlib
import signal
import sys
import typing

import click

from ocisource import errors, logs, process, settings
from ocisource.cli import flags, grammar
from ocisource.kube import config


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=pathlib.Path),
    metavar="FILE",
    help="Kubeconfig file.  [default: KUBECONFIG, ~/.kube/config, the Pod's service account]",
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@flags.options()
@click.pass_context
def controller(
    ctx: click.Context,
    /,
    kubeconfig: pathlib.Path | None,
    context: str | None,
    **values: typing.Any,
) -> None:
    """Run the controller on a Kubernetes cluster.

    \b
    Examples:
      ocisource controller --kubeconfig ~/.kube/config --storage-path /var/lib/ocisource
      ocisource controller --enable-leader-election --storage-path /data
      ocisource controller --watch-label-selector sharding.fluxcd.io/key=shard1
    """  # noqa: D301 - the backspace tells click to keep the lines
    chosen = flags.read(values)
    early = ctx.meta.get(grammar.EARLY, {})
    cluster = config.load(kubeconfig or early.get("kubeconfig"), context or early.get("context"))
    is_terminal = sys.stderr.isatty()
    logs.setup(level=chosen.log_level, encoding="console" if is_terminal else chosen.log_encoding)
    asyncio.run(_run(chosen, cluster))


async def _run(chosen: settings.Settings, cluster: config.ClusterConfig) -> None:
    # Imported here: it is most of the start-up time, and wrong usage should not wait for it.
    from ocisource.cli.replicas import replica  # noqa: PLC0415

    process.settle()
    process.tell_failures(asyncio.get_running_loop())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await replica.run(chosen, cluster, stop=stop)
    except errors.OcisourceError as error:
        # Where logs are collected, the reason of the end must be one of their lines.
        logs.get("replica").error("stopped", error=error.text)
        raise
