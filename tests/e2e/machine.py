"""`ocisource up` as a process of its own, as a user starts it."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

from tests.parts import commands, processes


class Machine:
    """A running `ocisource up`; its data folder outlives it."""

    def __init__(self, folder: pathlib.Path, process: processes.Process) -> None:
        self.folder = folder
        self.process = process

    @property
    def kubeconfig(self) -> pathlib.Path:
        """The kubeconfig that `up` wrote."""
        return self.folder / "data" / "kubeconfig"

    def places(self) -> dict[str, str]:
        """The addresses that `up` printed."""
        lines = self.process.log_text().splitlines()
        return {line.split(None, 1)[0]: line.split(None, 1)[1] for line in lines[:5]}

    def lines(self) -> list[str]:
        """What `up` printed after the addresses."""
        return self.process.log_text().splitlines()[5:]


def argv(folder: pathlib.Path, *words: str) -> list[str]:
    """The command line, every listener on a free port."""
    return [
        sys.executable,
        "-m",
        "ocisource",
        "up",
        "--data-dir",
        str(folder / "data"),
        *(
            word
            for flag in ("api", "storage", "metrics", "health")
            for word in (f"--{flag}-addr", "127.0.0.1:0")
        ),
        *words,
    ]


@contextlib.contextmanager
def up(folder: pathlib.Path, *words: str) -> Iterator[Machine]:
    """Run `ocisource up`, ready once it has printed where everything is."""
    folder.mkdir(exist_ok=True)
    log = folder / "up.log"
    log.unlink(missing_ok=True)
    process = processes.start(
        argv(folder, *words),
        log=log,
        is_ready=lambda: log.exists() and log.read_text().count("\n") >= 5,
        environ=commands.clean_environ(folder / "home"),
        folder=folder,
    )
    try:
        yield Machine(folder, process)
    finally:
        process.stop()


def once(folder: pathlib.Path, *words: str) -> commands.Completed:
    """Run `ocisource up --once` to its end."""
    folder.mkdir(exist_ok=True)
    return commands.run(
        argv(folder, "--once", *words),
        environ=commands.clean_environ(folder / "home"),
        folder=folder,
        is_checked=False,
    )
