"""`ocisource apiserver`: the embedded Kubernetes API alone."""

import asyncio
import pathlib
import signal

import click

from ocisource import logs, process
from ocisource.cli import flags
from ocisource.cli.machines import places


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=pathlib.Path),
    help="Where everything is kept.  [default: $XDG_STATE_HOME/ocisource]",
)
@click.option(
    "--api-addr",
    type=flags.Address(),
    default=places.API_ADDRESS,
    show_default=True,
    help="Address to listen on; port 0 picks a free one.",
)
@click.pass_context
def apiserver(ctx: click.Context, /, data_dir: pathlib.Path | None, api_addr: str) -> None:
    """Run the embedded Kubernetes-compatible API without the controller.

    \b
    Example:
      ocisource apiserver --data-dir /var/lib/ocisource
    """  # noqa: D301 - the backspace tells click to keep the lines
    logs.setup(level="info", encoding="json")
    wanted = places.listener(ctx, "api_addr", api_addr)
    asyncio.run(_serve(places.own(data_dir or places.default_data_dir()), wanted))


async def _serve(data_dir: pathlib.Path, wanted: places.Listener) -> None:
    # Imported here: wrong usage should not wait for it.
    from ocisource.apiserver import server  # noqa: PLC0415
    from ocisource.manifests import load  # noqa: PLC0415

    process.tell_failures(asyncio.get_running_loop())
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    running = await server.serve(
        data_dir, host=wanted.host, port=wanted.port, manifests=[load.crd()]
    )
    wanted.tell("API", running.address)
    click.echo(f"API        {running.address}")
    click.echo(f"kubeconfig {running.kubeconfig_path}")
    try:
        await interrupted.wait()
    finally:
        await running.stop()
