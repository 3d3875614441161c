"""Free ports on loopback, for programs that cannot be asked to choose one themselves.

They lie below those that the kernel gives to outgoing connections, and each is held by a lock as
long as this process lives, so that runs of the tests side by side never take one another's: a part
would seem to be ready while somebody else answers on its port.
"""

import contextlib
import fcntl
import os
import pathlib
import random
import socket
import tempfile

LOOPBACK = "127.0.0.1"

_RANGE = range(20_000, 32_000)  # Linux gives out 32768 and above by itself
_TRIES = 1000
LOCKS = pathlib.Path(tempfile.gettempdir()) / f"ocisource-test-ports-{os.getuid()}"
_chance = random.SystemRandom()
_held: dict[int, int] = {}  # the open lock file of each port that was given out


def free(count: int = 1) -> tuple[int, ...]:
    """Distinct ports that nobody listens on, and that no other run of the tests is given.

    A stranger may still take one before the program binds it: see ``processes.start_on_ports``.
    """
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    found: list[int] = []
    for _ in range(_TRIES):
        port = _chance.choice(_RANGE)
        if port not in _held and _is_bindable(port) and _lock(port):
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise OSError(f"no {count} free ports found in {_TRIES} tries")


def is_listening(port: int) -> bool:
    """Whether a TCP connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _is_bindable(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((LOOPBACK, port))
        return True
    return False


def _lock(port: int) -> bool:
    descriptor = os.open(LOCKS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held[port] = descriptor
    return True
