"""Where a machine without a cluster keeps and serves things: folders and addresses."""

import dataclasses
import errno
import os
import pathlib
import socket
import stat

import click

from ocisource import errors
from ocisource.cli import flags, output

API_ADDRESS = "127.0.0.1:7443"
KUBECONFIG = "kubeconfig"
LOGS = "logs"
_MARKS = frozenset({KUBECONFIG, LOGS, "apiserver.db", "pki"})  # one is in every data folder


def default_data_dir() -> pathlib.Path:
    """``$XDG_STATE_HOME/ocisource``, or ``~/.local/state/ocisource``; raises UsageError."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return pathlib.Path(base).expanduser() / "ocisource"
    except RuntimeError:
        raise errors.UsageError(
            "no home folder is known: set HOME or XDG_STATE_HOME, or name a folder with --data-dir"
        ) from None


def own(folder: pathlib.Path) -> pathlib.Path:
    """Make a data folder private; raises UsageError for one that is not ours to close.

    That is one which others may look into and which holds other things: ``/tmp``, ``/var/lib``, or
    the folder that somebody works in.
    """
    try:
        is_open = folder.is_dir() and folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        names = {path.name for path in folder.iterdir()} if is_open else set()
    except OSError:
        names = set()  # told by what follows
    if names and names.isdisjoint(_MARKS):
        raise errors.UsageError(
            f"--data-dir {folder} holds other files and is open to other users: choose a folder of "
            "its own"
        )
    return private(folder)


def private(folder: pathlib.Path) -> pathlib.Path:
    """Make a folder that only its owner may look into; raises UsageError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise errors.UsageError(
            f"--data-dir {folder}: {error.strerror}; choose a folder you may write to"
        ) from error
    return folder.absolute()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where something is to listen; ``given_way`` is the default address that somebody else has."""

    flag: str
    host: str
    port: int
    given_way: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; port 0 picks a free one."""
        return self.host, self.port

    def tell(self, what: str, place: str) -> None:
        """Say where ``what`` is this time if that is not the usual place."""
        if self.given_way:
            output.say(
                output.WARNING,
                f"{self.given_way} is in use by another program: {what} at {place} this time; "
                f"{self.flag} chooses the address",
            )


def listener(ctx: click.Context, name: str, value: str) -> Listener:
    """The listener of an address option.

    An address that was given is taken as it is. A default one gives way to any free port when
    something else listens there already, so that a second try on the same machine just works;
    ``tell`` says so.
    """
    host, port = flags.split_address(value)
    free = Listener(flag=f"--{name.replace('_', '-')}", host=host, port=port)
    if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
        return free
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return dataclasses.replace(free, port=0, given_way=value)
    return free
