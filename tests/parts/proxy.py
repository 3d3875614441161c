"""A real forward proxy: tinyproxy on loopback, with or without a password."""

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

from tests.parts import commands, ports, processes, programs

_PACKAGE = "tinyproxy"
_REQUEST_LINE = re.compile(r"Request \(file descriptor \d+\): (?P<line>\S+ \S+)")


@dataclasses.dataclass(slots=True)
class Proxy:
    """A running proxy."""

    port: int
    process: processes.Process

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without credentials."""
        return f"http://{ports.LOOPBACK}:{self.port}"

    def requests(self) -> list[str]:
        """What was asked of it, as ``METHOD target``, refused requests too."""
        return [found["line"] for found in _REQUEST_LINE.finditer(self.process.log_text())]


@contextlib.contextmanager
def start(folder: pathlib.Path, *, user: str | None = None, password: str = "") -> Iterator[Proxy]:
    """Run a proxy; with ``user`` it wants basic authentication."""
    folder.mkdir(parents=True, exist_ok=True)
    program = programs.find("tinyproxy", package=_PACKAGE)

    def launch(chosen: Sequence[int]) -> Proxy:
        (port,) = chosen
        lines = [
            f"Port {port}",
            f"Listen {ports.LOOPBACK}",
            "Timeout 60",
            "MaxClients 100",
            "LogLevel Connect",
        ]
        if user is not None:
            lines.append(f"BasicAuth {user} {password}")
        config = folder / "tinyproxy.conf"
        config.write_text("\n".join(lines) + "\n")
        process = processes.start(
            [program, "-d", "-c", config],
            log=folder / "log.txt",
            is_ready=lambda: ports.is_listening(port),
            environ=commands.clean_environ(folder / "home"),
        )
        return Proxy(port, process)

    part = processes.start_on_ports(1, launch)
    try:
        yield part
    finally:
        part.process.stop()
