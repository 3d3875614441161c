"""Free ports on loopback, for programs that cannot be asked to choose one themselves."""

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def free(count: int = 1) -> tuple[int, ...]:
    """Distinct ports that nobody listens on right now.

    Another process may take one before the program binds it: see ``processes.start_on_ports``.
    """
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(int(each.getsockname()[1]) for each in sockets)


def is_listening(port: int) -> bool:
    """Whether a TCP connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
