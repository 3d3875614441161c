"""skopeo with settings of its own: an independent client that copies and inspects images."""

import dataclasses
import os
import pathlib

from tests.parts import commands, programs


@dataclasses.dataclass(frozen=True, slots=True)
class Skopeo:
    """Runs skopeo without a trust policy and without the user's logins."""

    home: pathlib.Path
    program: pathlib.Path

    def run(self, *words: str, is_checked: bool = True) -> commands.Completed:
        """Run one skopeo command, such as ``inspect --raw --tls-verify=false docker://…``."""
        argv: list[str | os.PathLike[str]] = [
            self.program,
            "--insecure-policy",
            "--tmpdir",
            self.home,
            *words,
        ]
        environ = commands.clean_environ(self.home, XDG_RUNTIME_DIR=str(self.home))
        return commands.run(argv, environ=environ, is_checked=is_checked)


def find(home: pathlib.Path) -> Skopeo:
    """Skopeo with ``home`` as its own folder."""
    return Skopeo(home, programs.find("skopeo", package="skopeo"))
