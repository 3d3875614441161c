"""A terminal of its own for a command: tmux, with a server and a socket of the test's own.

Example::

    with tmux.start(tmp_path, ["ocisource", "up", "--demo"]) as screen:
        screen.wait_for("True")
        screen.press("C-c")
"""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence

from tests.parts import commands, processes, programs

_WIDTH, _HEIGHT = 150, 40


@dataclasses.dataclass(frozen=True, slots=True)
class Screen:
    """What a command shows on its terminal."""

    program: pathlib.Path
    socket: pathlib.Path
    environ: Mapping[str, str]

    def text(self, *, has_colours: bool = False) -> str:
        """The screen as it is now; with its escape sequences if ``has_colours``."""
        words = ["capture-pane", "-p", "-t", "0", *(["-e"] if has_colours else [])]
        return self._run(*words).stdout

    def wait_for(self, text: str) -> str:
        """Wait until the text stands on the screen; the screen."""
        processes.poll(lambda: text in self.text(), what=f"'{text}' on the screen")
        return self.text()

    def press(self, key: str) -> None:
        """Press a key, such as ``C-c``."""
        self._run("send-keys", "-t", "0", key)

    def resize(self, width: int, height: int) -> None:
        """Make the terminal so many characters wide, and so many lines high."""
        self._run("resize-window", "-t", "0", "-x", str(width), "-y", str(height))

    def _run(self, *words: str, is_checked: bool = True) -> commands.Completed:
        argv: list[str | os.PathLike[str]] = [self.program, "-S", self.socket, *words]
        return commands.run(argv, environ=self.environ, is_checked=is_checked)


@contextlib.contextmanager
def start(
    folder: pathlib.Path, argv: Sequence[str | os.PathLike[str]], **environ: str
) -> Iterator[Screen]:
    """Run a command on a terminal; the screen stays, with the exit code, when it has ended."""
    program = programs.find("tmux", package="tmux")
    home = folder / "tmux-home"
    variables = commands.clean_environ(
        home, TERM="screen-256color", LANG="C.UTF-8", SHELL="/bin/sh", **environ
    )
    # A socket's path is short by law: not in the test's own folder.
    socket = pathlib.Path("/tmp") / f"tmux-{uuid.uuid4().hex[:12]}"
    screen = Screen(program, socket, variables)
    words = " ".join(shlex.quote(os.fspath(word)) for word in argv)
    # The shell outlives a C-c that ends the command.
    line = f"trap : INT; {words}; echo exit code $?; exec sleep 600"
    size = ["-x", str(_WIDTH), "-y", str(_HEIGHT)]
    try:
        screen._run("-u", "-f", "/dev/null", "new-session", "-d", *size, line)
        yield screen
    finally:
        screen._run("kill-server", is_checked=False)
        socket.unlink(missing_ok=True)
