"""A real registry: Debian's docker-registry (distribution 2.8), on loopback.

Example::

    with registry.start(tmp_path, users={"alice": "secret"}) as part:
        part.host  # "127.0.0.1:43211"
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from tests.parts import certificates, commands, ports, processes, programs

_PACKAGE = "docker-registry"
_ACCESS_LINE = re.compile(
    r'^\S+ - \S+ \[[^]]+\] "(?P<method>[A-Z]+) (?P<path>\S+) [^"]*" (?P<status>\d+)'
)


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """A request the registry answered."""

    method: str
    path: str
    status: int


@dataclasses.dataclass(slots=True)
class Registry:
    """A running registry; ``stop`` and ``restart`` keep its port and its content."""

    folder: pathlib.Path
    port: int
    scheme: str
    process: processes.Process

    @property
    def host(self) -> str:
        """``127.0.0.1:port``."""
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, or ``https://…``."""
        return f"{self.scheme}://{self.host}"

    def exchanges(self) -> list[Exchange]:
        """The requests answered so far, oldest first (written just after each answer)."""
        found = (_ACCESS_LINE.match(line) for line in self.process.log_text().splitlines())
        return [Exchange(m["method"], m["path"], int(m["status"])) for m in found if m]

    def stop(self) -> None:
        """Stop the registry; its content stays on disk."""
        self.process.stop()

    def restart(self) -> None:
        """Start it again, on the same port with the same content."""
        self.process.stop()
        self.process = _launch(self.folder, self.port)


@contextlib.contextmanager
def start(
    folder: pathlib.Path,
    *,
    users: Mapping[str, str] | None = None,
    tls: certificates.Pair | None = None,
    client_authority: certificates.Authority | None = None,
    more: Mapping[str, object] | None = None,
) -> Iterator[Registry]:
    """Run a registry: plain, with users (htpasswd), with TLS, with client certificates.

    ``more`` is merged over the registry's configuration, section by section.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = _options(folder, users, tls, client_authority)

    def launch(chosen: Sequence[int]) -> Registry:
        (port,) = chosen
        configuration = _configuration(folder, port, options, more or {})
        # JSON is YAML too.
        (folder / "config.yml").write_text(json.dumps(configuration))
        scheme = "http" if tls is None else "https"
        return Registry(folder, port, scheme, _launch(folder, port))

    part = processes.start_on_ports(1, launch)
    try:
        yield part
    finally:
        part.stop()


def _launch(folder: pathlib.Path, port: int) -> processes.Process:
    return processes.start(
        [programs.find("docker-registry", package=_PACKAGE), "serve", folder / "config.yml"],
        log=folder / "log.txt",
        is_ready=lambda: ports.is_listening(port),
        environ=commands.clean_environ(folder / "home"),
        folder=folder,
    )


def _options(
    folder: pathlib.Path,
    users: Mapping[str, str] | None,
    tls: certificates.Pair | None,
    client_authority: certificates.Authority | None,
) -> dict[str, dict[str, object]]:
    options: dict[str, dict[str, object]] = {"http": {}, "auth": {}}
    if tls is not None:
        files = tls.write(folder / "tls")
        section: dict[str, object] = {"certificate": str(files.certificate), "key": str(files.key)}
        if client_authority is not None:
            section["clientcas"] = [str(client_authority.write(folder / "clients"))]
        options["http"]["tls"] = section
    if users is not None:
        path = folder / "htpasswd"
        path.write_text("".join(_password_line(folder, *each) for each in users.items()))
        options["auth"]["htpasswd"] = {"realm": "test registry", "path": str(path)}
    return options


def _password_line(folder: pathlib.Path, user: str, password: str) -> str:
    # The registry takes bcrypt only; cost 4 is the least.
    program = programs.find("htpasswd", package="apache2-utils")
    argv: list[str | os.PathLike[str]] = [program, "-niB", "-C", "4", user]
    environ = commands.clean_environ(folder / "home")
    return commands.run(argv, environ=environ, stdin=password).stdout.strip() + "\n"


def _configuration(
    folder: pathlib.Path,
    port: int,
    options: Mapping[str, Mapping[str, object]],
    more: Mapping[str, object],
) -> dict[str, object]:
    configuration: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "content")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"{ports.LOOPBACK}:{port}", "secret": "of no use", **options["http"]},
    }
    if options["auth"]:
        configuration["auth"] = dict(options["auth"])
    for section, value in more.items():
        standing = configuration.get(section)
        if isinstance(standing, dict) and isinstance(value, Mapping):
            configuration[section] = {**standing, **value}
        else:
            configuration[section] = value
    return configuration
