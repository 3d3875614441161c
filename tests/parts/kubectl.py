"""kubectl with a home, a discovery cache and a kubeconfig of its own."""

import dataclasses
import os
import pathlib

from tests.parts import commands, programs


@dataclasses.dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl against the cluster of one kubeconfig."""

    kubeconfig: pathlib.Path
    home: pathlib.Path
    program: pathlib.Path

    def run(
        self, *words: str, stdin: str | None = None, is_checked: bool = True
    ) -> commands.Completed:
        """Run one kubectl command; its exit status is checked unless told otherwise."""
        environ = commands.clean_environ(
            self.home,
            KUBECONFIG=str(self.kubeconfig),
            KUBECACHEDIR=str(self.home / "cache"),
        )
        argv: list[str | os.PathLike[str]] = [self.program, *words]
        return commands.run(
            argv, environ=environ, folder=self.home, stdin=stdin, is_checked=is_checked
        )


def find(kubeconfig: pathlib.Path, *, home: pathlib.Path) -> Kubectl:
    """Kubectl for a kubeconfig, with ``home`` as its own folder."""
    program = programs.find("kubectl", package="kubernetes-client")
    return Kubectl(kubeconfig, home, program)


def find_old(kubeconfig: pathlib.Path, *, home: pathlib.Path) -> Kubectl:
    """The oldest kubectl that is promised something; skips (or fails) where it is not named."""
    program = os.environ.get("OCISOURCE_OLD_KUBECTL", "")
    if not program:
        programs.missing(
            "no old kubectl: unpack Debian's package kubernetes-client "
            "and name its kubectl in OCISOURCE_OLD_KUBECTL"
        )
    return Kubectl(kubeconfig, home, pathlib.Path(program))
