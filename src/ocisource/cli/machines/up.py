"""`ocisource up`: API server, controller and artifact server in one process, no cluster needed."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import typing
from collections.abc import AsyncIterator, Callable, Sequence

import click
import rich.console

from ocisource import logs, process, settings
from ocisource.api import ocirepository
from ocisource.cli import flags, output
from ocisource.cli.machines import declare, live, places
from ocisource.controller import informer

if typing.TYPE_CHECKING:
    from ocisource.cli.machines import machine

DEFAULTS = {
    "storage_addr": "127.0.0.1:7090",
    "metrics_addr": "127.0.0.1:7080",
    "health_addr": "127.0.0.1:7440",
}
ARTIFACTS = "artifacts"  # folder of the store in the data folder
ONCE_TIMEOUT = 60.0  # seconds
_INTERRUPTED = 130  # exit code


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `up` was asked to do."""

    files: tuple[declare.Declared, ...]
    data_dir: pathlib.Path
    api: places.Listener
    storage: places.Listener
    metrics: places.Listener
    health: places.Listener
    is_once: bool
    timeout: float
    is_demo: bool
    settings: settings.Settings


@click.command()
@click.option(
    "-f",
    "--filename",
    "filenames",
    multiple=True,
    type=click.Path(path_type=pathlib.Path),
    metavar="FILE_OR_DIR",
    help="Apply these manifests (OCIRepository, Secret, ServiceAccount, Namespace). Repeatable.",
)
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
    help="Address of the Kubernetes API; port 0 picks a free one.",
)
@click.option("--once", is_flag=True, help="Leave as soon as all OCIRepositories are Ready.")
@click.option(
    "--timeout",
    type=flags.Duration(minimum=0.1),
    default=ONCE_TIMEOUT,
    show_default="1m",
    help="How long --once waits.",
)
@click.option("--demo", is_flag=True, help="Start a loopback registry with an example in it.")
@flags.options(
    without={
        "storage_path",
        "enable_leader_election",
        "leader_election_release_on_cancel",
        "leader_election_lease_duration",
        "leader_election_renew_deadline",
        "leader_election_retry_period",
    },
    defaults=DEFAULTS,
)
@click.pass_context
def up(ctx: click.Context, /, **values: typing.Any) -> None:
    """Run everything on this machine: a Kubernetes-compatible API, the controller, the artifacts.

    \b
    Examples:
      ocisource up --demo
      ocisource up -f podinfo.yaml
      ocisource up -f sources/ --once --timeout 2m
    """  # noqa: D301 - the backspace tells click to keep the lines
    data_dir = values["data_dir"] or places.default_data_dir()

    def listener(name: str) -> places.Listener:
        return places.listener(ctx, name, values[name])

    plan = Plan(
        files=declare.read(values["filenames"]),
        data_dir=data_dir.absolute(),
        api=listener("api_addr"),
        storage=listener("storage_addr"),
        metrics=listener("metrics_addr"),
        health=listener("health_addr"),
        is_once=values["once"],
        timeout=values["timeout"],
        is_demo=values["demo"],
        settings=dataclasses.replace(
            flags.read(values), storage_path=data_dir.absolute() / ARTIFACTS, storage_addr=""
        ),
    )
    has_level = ctx.get_parameter_source("log_level") is not click.core.ParameterSource.DEFAULT
    ctx.exit(asyncio.run(_run(plan, is_logging_to_stderr=has_level)))


async def _run(plan: Plan, *, is_logging_to_stderr: bool) -> int:
    """Run until interrupted (or until --once is answered); the exit code."""
    # Imported here: they are most of the start-up time, and wrong usage should not wait for them.
    from ocisource.cli.machines import machine, settling  # noqa: PLC0415

    process.settle()
    process.tell_failures(asyncio.get_running_loop())
    places.own(plan.data_dir)
    places.private(plan.settings.storage_path)
    logs.setup(
        level=plan.settings.log_level,
        encoding="console" if sys.stderr.isatty() else plan.settings.log_encoding,
        stream=sys.stderr if is_logging_to_stderr else None,
        folder=plan.data_dir / places.LOGS,
    )
    console = rich.console.Console(highlight=False, soft_wrap=True)
    interrupted = asyncio.Event()

    def at_once() -> typing.NoReturn:
        console.show_cursor()
        os._exit(_INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = interrupter(interrupted, at_once=at_once)
        asyncio.get_running_loop().add_signal_handler(number, handler)
    async with machine.running(
        data_dir=plan.data_dir,
        chosen=plan.settings,
        api_address=plan.api.address,
        storage_address=plan.storage.address,
        metrics_address=plan.metrics.address,
        health_address=plan.health.address,
        is_demo=plan.is_demo,
    ) as here:
        plan.api.tell("API", here.api_url)
        plan.storage.tell("artifacts", here.artifacts_url)
        plan.metrics.tell("metrics", here.metrics_url)
        plan.health.tell("health", here.health_url)
        heading = [f"{label:<11}{place}" for label, place in here.places()]
        for line in heading:
            output.line(line)
        await declare.apply(here.api, plan.files)
        wanted = _wanted(plan, here)
        async with _shown(console, here, heading, is_static=plan.is_once):
            if not plan.is_once:
                await interrupted.wait()
                return 0
            return await settling.Settling(here=here, wanted=wanted).wait(plan.timeout, interrupted)


def interrupter(interrupted: asyncio.Event, *, at_once: Callable[[], object]) -> Callable[[], None]:
    """What an interrupt does: the first asks for a good end, the next one leaves ``at_once``.

    Nothing is lost by that: what is stored, and what the API has answered, survives a crash.
    """

    def interrupt() -> None:
        if interrupted.is_set():
            at_once()
        interrupted.set()

    return interrupt


def _wanted(plan: Plan, here: "machine.Machine") -> frozenset[tuple[str, str]]:
    """The objects that --once waits for besides those that are known already."""
    names = {(each.namespace, each.name) for each in plan.files if each.kind == ocirepository.KIND}
    if here.demo is not None:
        names.add(here.demo)
    return frozenset(names)


@contextlib.asynccontextmanager
async def _shown(
    console: rich.console.Console,
    here: "machine.Machine",
    heading: Sequence[str],
    *,
    is_static: bool,
) -> AsyncIterator[None]:
    """Show the objects meanwhile: a live table on a terminal, else a line per change."""
    if console.is_terminal and not console.is_dumb_terminal and not is_static:
        loop = asyncio.get_running_loop()
        with live.LiveTable(console, lambda: here.objects, heading=heading) as table:
            loop.add_signal_handler(signal.SIGWINCH, table.resized)
            try:
                yield
            finally:
                loop.remove_signal_handler(signal.SIGWINCH)
        return
    lines = live.Lines(output.line)
    here.objects.add_handler(
        informer.Handler(
            on_add=lambda obj, _: lines.show(obj),
            on_update=lambda _, new: lines.show(new),
            on_delete=lines.forget,
        )
    )
    yield
