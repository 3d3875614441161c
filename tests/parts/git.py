"""git with settings of its own, in one work tree."""

import dataclasses
import os
import pathlib

from tests.parts import commands, programs

_WHO = "Test"
_MAIL = "test@example.com"
_WHEN = "2022-08-08T12:31:41Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Git:
    """Runs git in ``folder``; author, committer and dates are fixed, so commits repeat."""

    folder: pathlib.Path
    home: pathlib.Path
    program: pathlib.Path

    def run(
        self, *words: str, stdin: str | None = None, is_checked: bool = True
    ) -> commands.Completed:
        """Run one git command."""
        environ = commands.clean_environ(
            self.home,
            GIT_CONFIG_NOSYSTEM="1",
            GIT_AUTHOR_NAME=_WHO,
            GIT_AUTHOR_EMAIL=_MAIL,
            GIT_AUTHOR_DATE=_WHEN,
            GIT_COMMITTER_NAME=_WHO,
            GIT_COMMITTER_EMAIL=_MAIL,
            GIT_COMMITTER_DATE=_WHEN,
        )
        argv: list[str | os.PathLike[str]] = [self.program, *words]
        return commands.run(
            argv, environ=environ, folder=self.folder, stdin=stdin, is_checked=is_checked
        )


def create(folder: pathlib.Path, *, home: pathlib.Path) -> Git:
    """An empty repository with the branch ``main`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    git = Git(folder, home, programs.find("git", package="git"))
    git.run("init", "--quiet", "--initial-branch=main")
    return git
