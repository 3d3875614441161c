"""qemu's emulator of user programs: Python on an x86-64 CPU other than the one at hand."""

import dataclasses
import os
import pathlib
import platform
import sys

import pytest

from tests.parts import commands, programs

_ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Emulator:
    """Runs this very Python, with the packages it has, on a CPU of qemu's choosing."""

    home: pathlib.Path
    program: pathlib.Path

    def python(self, cpu: str, *words: str) -> commands.Completed:
        """Run ``python WORDS`` on a CPU that ``qemu-x86_64 -cpu help`` lists."""
        argv: list[str | os.PathLike[str]] = [self.program, "-cpu", cpu, sys.executable, *words]
        return commands.run(argv, environ=commands.clean_environ(self.home), folder=_ROOT)


def find(home: pathlib.Path) -> Emulator:
    """The emulator with ``home`` as its own folder; skips the test on other machines."""
    if platform.machine() != "x86_64":
        pytest.skip("another x86-64 CPU is emulated on x86-64 machines only")
    return Emulator(home, programs.find("qemu-x86_64", package="qemu-user"))
