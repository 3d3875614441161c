"""Start a program, wait until it is ready, stop it by its own process id.

What the program prints goes to a file, whose end is part of every failure's text.
"""

import dataclasses
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.parts import ports

_POLL_SECONDS = 0.05
_READY_POLLS = 1200  # a minute; a kube-apiserver needs eight seconds on an idle machine
_STOP_SECONDS = 10.0  # between the polite signal and the other one
_SHOWN_LOG_BYTES = 4000
_PORT_ATTEMPTS = 4

_Part = TypeVar("_Part")


class StartError(Exception):
    """A part that ended, or never became ready; the text holds the end of its log."""


@dataclasses.dataclass(slots=True)
class Process:
    """A started program."""

    argv: Sequence[str]
    log: pathlib.Path
    _popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Process id, for signals."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._popen.poll() is None

    def log_text(self) -> str:
        """What the program printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, *, seconds: float) -> int:
        """Exit status, once the program has ended; raises subprocess.TimeoutExpired."""
        return self._popen.wait(seconds)

    def stop(self) -> int:
        """End the program (SIGTERM, then SIGKILL) and return its exit status."""
        if self.is_running:
            self._popen.terminate()
            try:
                return self._popen.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._popen.wait()

    def kill(self) -> None:
        """End the program at once (SIGKILL), as a crash would."""
        self._popen.kill()
        self._popen.wait()


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: pathlib.Path,
    is_ready: Callable[[], bool],
    environ: Mapping[str, str] | None = None,
    folder: pathlib.Path | None = None,
) -> Process:
    """Start a program and return once ``is_ready()``; raises StartError with the log's end."""
    words = [os.fspath(word) for word in argv]
    with log.open("ab") as output:
        popen = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            cwd=folder,
        )
    process = Process(words, log, popen)
    for _ in range(_READY_POLLS):
        if not process.is_running:
            break
        if is_ready():
            return process
        time.sleep(_POLL_SECONDS)
    state = "is not ready" if process.is_running else f"ended with {popen.returncode}"
    process.stop()
    raise StartError(f"{words[0]} {state}; its log ends:\n{process.log_text()[-_SHOWN_LOG_BYTES:]}")


def start_on_ports(count: int, launch: Callable[[Sequence[int]], _Part]) -> _Part:
    """Call ``launch`` with free ports, again with others when somebody else took one."""
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return launch(ports.free(count))
        except StartError as error:
            if "address already in use" not in str(error).lower() or attempt + 1 == _PORT_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def poll(condition: Callable[[], bool], *, what: str) -> None:
    """Wait, boundedly, until the condition holds; raises AssertionError naming ``what``."""
    for _ in range(_READY_POLLS):
        if condition():
            return
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"waited in vain for {what}")
