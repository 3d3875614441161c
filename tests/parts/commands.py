"""Run a program to its end, with an environment of its own."""

import dataclasses
import os
import pathlib
import subprocess
from collections.abc import Mapping, Sequence

_SECONDS = 120.0  # a hanging command is a failure, not a hanging test run
# Programs in Go that live for one command, or for one test, spend a sixth of their time on memory
# that ends with them.
_GO_GROWTH_PERCENT = "400"


@dataclasses.dataclass(frozen=True, slots=True)
class Completed:
    """What a command printed, and its exit status."""

    stdout: str
    stderr: str
    code: int


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    environ: Mapping[str, str],
    folder: pathlib.Path | None = None,
    stdin: str | None = None,
    is_checked: bool = True,
) -> Completed:
    """Run a command; an exit status other than 0 is an AssertionError when ``is_checked``."""
    words = [os.fspath(word) for word in argv]
    done = subprocess.run(
        words,
        input="" if stdin is None else stdin,
        env=dict(environ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if is_checked and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return Completed(done.stdout, done.stderr, done.returncode)


def clean_environ(home: pathlib.Path, **more: str) -> dict[str, str]:
    """An environment in which nothing of the user's own settings, proxies or tokens is seen."""
    home.mkdir(parents=True, exist_ok=True)
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": path,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GOGC": _GO_GROWTH_PERCENT,
        **more,
    }
