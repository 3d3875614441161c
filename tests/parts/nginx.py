"""A real nginx on loopback: front-ends, redirects, broken storage hosts, mutual TLS.

The text given is the inside of ``http { }``. In it ``@PORT@`` (or ``@PORT0@``, ``@PORT1@``, …)
stands for a free port and ``@FOLDER@`` for the part's own folder.

Example::

    with nginx.start(tmp_path, "server { listen 127.0.0.1:@PORT@; return 503; }") as part:
        part.url  # "http://127.0.0.1:40321"
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

from tests.parts import commands, ports, processes, programs

_PACKAGE = "nginx-light"
_PREFACE = """\
daemon off;
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log stderr warn;
@USER@
events {}
http {
  log_format exchange '$connection\\t$request_method\\t$request_uri\\t$status\\t$server_port';
  access_log @FOLDER@/access.log exchange;
  client_body_temp_path @FOLDER@/tmp-body;
  proxy_temp_path @FOLDER@/tmp-proxy;
  fastcgi_temp_path @FOLDER@/tmp-fastcgi;
  uwsgi_temp_path @FOLDER@/tmp-uwsgi;
  scgi_temp_path @FOLDER@/tmp-scgi;
  client_max_body_size 0;
  server_tokens off;
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """A request nginx answered; equal ``connection`` numbers mean a kept connection."""

    connection: int
    method: str
    path: str
    status: int
    port: int


@dataclasses.dataclass(slots=True)
class Nginx:
    """A running nginx."""

    folder: pathlib.Path
    ports: Sequence[int]
    process: processes.Process

    @property
    def port(self) -> int:
        """The first port."""
        return self.ports[0]

    @property
    def host(self) -> str:
        """``127.0.0.1:port`` of the first port."""
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port`` of the first port."""
        return f"http://{self.host}"

    def exchanges(self, *, at_least: int = 0) -> list[Exchange]:
        """The requests answered so far; nginx writes each just after its answer.

        Waits, boundedly, until there are ``at_least`` so many.
        """
        processes.poll(lambda: len(self._lines()) >= at_least, what=f"{at_least} requests")
        found = []
        for line in self._lines():
            connection, method, path, status, port = line.split("\t")
            found.append(Exchange(int(connection), method, path, int(status), int(port)))
        return found

    def _lines(self) -> list[str]:
        path = self.folder / "access.log"
        return path.read_text().splitlines() if path.exists() else []


@contextlib.contextmanager
def start(folder: pathlib.Path, text: str, *, count: int = 1) -> Iterator[Nginx]:
    """Run nginx with the text as the inside of its http section, on ``count`` free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    program = programs.find("nginx", package=_PACKAGE)

    def launch(chosen: Sequence[int]) -> Nginx:
        config = folder / "nginx.conf"
        config.write_text(_filled(_PREFACE + text + "\n}\n", folder, chosen))
        process = processes.start(
            [program, "-e", "stderr", "-p", folder, "-c", config],
            log=folder / "log.txt",
            is_ready=lambda: all(ports.is_listening(port) for port in chosen),
            environ=commands.clean_environ(folder / "home"),
        )
        return Nginx(folder, chosen, process)

    part = processes.start_on_ports(count, launch)
    try:
        yield part
    finally:
        part.process.stop()


def _filled(text: str, folder: pathlib.Path, chosen: Sequence[int]) -> str:
    # A master that runs as root would give its workers to nobody, who cannot read test folders.
    text = text.replace("@USER@", "user root;" if os.geteuid() == 0 else "")
    text = text.replace("@FOLDER@", str(folder)).replace("@PORT@", str(chosen[0]))
    for number, port in enumerate(chosen):
        text = text.replace(f"@PORT{number}@", str(port))
    return text
