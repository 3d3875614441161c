"""Credential plugins: a command that prints an ExecCredential (``client.authentication.k8s.io``).

The plugin's answer is used until ``status.expirationTimestamp``, or, when it names none, until the
server says 401. Its standard error never enters an error's text, because plugins print tokens
there when they debug; it goes to ours instead.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import time
import typing
from collections.abc import Callable, Mapping

import msgspec

from ocisource import errors
from ocisource.kube import logins
from ocisource.wire import timestamps

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
MODES = ("Never", "IfAvailable", "Always")
TIMEOUT = 60.0  # seconds a plugin may take; people may have to press a button
EARLY = 10.0  # seconds before its expiry at which a credential is renewed
MAX_OUTPUT_BYTES = 1024 * 1024  # a token or a certificate is far smaller


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """The ``exec`` section of a kubeconfig user; ``cluster_info`` is sent when it asks for it."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    api_version: str = VERSIONS[0]
    install_hint: str = ""
    is_interactive: bool = False
    cluster_info: Mapping[str, typing.Any] | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def parse(
        cls,
        value: Mapping[str, typing.Any],
        *,
        user: str,
        folder: pathlib.Path,
        cluster_info: Mapping[str, typing.Any],
    ) -> "Plugin":
        """Read an ``exec`` section; raises UsageError."""
        command = str(value.get("command") or "")
        api_version = str(value.get("apiVersion") or "")
        if not command:
            raise errors.UsageError(f'user "{user}": exec names no command')
        if api_version not in VERSIONS:
            raise errors.UsageError(
                f'user "{user}": exec apiVersion "{api_version}" is none of {", ".join(VERSIONS)}'
            )
        mode = str(value.get("interactiveMode") or "IfAvailable")
        if mode not in MODES:
            raise errors.UsageError(
                f'user "{user}": exec interactiveMode "{mode}" is none of {", ".join(MODES)}'
            )
        has_terminal = sys.stdin is not None and sys.stdin.isatty()
        if mode == "Always" and not has_terminal:
            raise errors.UsageError(
                f'user "{user}": exec command "{command}" wants a terminal, and there is none'
            )
        if os.sep in command:  # relative to the kubeconfig; a bare name is looked up in PATH
            command = str(folder / command)
        return cls(
            command=command,
            arguments=tuple(str(argument) for argument in value.get("args") or ()),
            environment=tuple(
                (str(item.get("name")), str(item.get("value"))) for item in value.get("env") or ()
            ),
            api_version=api_version,
            install_hint=str(value.get("installHint") or ""),
            is_interactive=mode != "Never" and has_terminal,
            cluster_info=dict(cluster_info) if value.get("provideClusterInfo") else None,
        )

    def exec_info(self) -> str:
        """``KUBERNETES_EXEC_INFO``, what the plugin is told."""
        spec: dict[str, typing.Any] = {"interactive": self.is_interactive}
        if self.cluster_info is not None:
            spec["cluster"] = self.cluster_info
        document = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        return msgspec.json.encode(document).decode()


class ExecLogin:
    """A login source that runs a plugin, one at a time, and remembers what it said."""

    def __init__(
        self,
        plugin: Plugin,
        *,
        environ: Mapping[str, str],
        timeout: float = TIMEOUT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._plugin = plugin
        self._environ = environ
        self._timeout = timeout
        self._wall = wall
        self._lock = asyncio.Lock()
        self._login: logins.Login | None = None
        self._expires_at: float | None = None

    async def login(self) -> logins.Login:
        """The remembered login, or the plugin's next one; raises CredentialError."""
        async with self._lock:
            expires_at = self._expires_at
            is_stale = expires_at is not None and self._wall() >= expires_at - EARLY
            if self._login is None or is_stale:
                self._login, self._expires_at = self._parse(await self._output())
            return self._login

    def reject(self, login: logins.Login) -> bool:
        """Forget ``login``; the plugin is asked again."""
        if self._login == login:
            self._login = None
        return True

    async def _output(self) -> bytes:
        plugin = self._plugin
        environment = dict(self._environ) | dict(plugin.environment)
        environment["KUBERNETES_EXEC_INFO"] = plugin.exec_info()
        loop = asyncio.get_running_loop()
        try:
            transport, run = await loop.subprocess_exec(
                _Run,
                plugin.command,
                *plugin.arguments,
                env=environment,
                stdin=None if plugin.is_interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None,
                # A group of its own, so that a plugin's children end with it.
                start_new_session=not plugin.is_interactive,
            )
        except OSError as exc:
            hint = f"; {plugin.install_hint}" if plugin.install_hint else ""
            raise errors.CredentialError(
                f"exec: executable {plugin.command} failed to start: {exc.strerror}{hint}"
            ) from exc
        try:
            async with asyncio.timeout(self._timeout):
                await run.is_over.wait()
        except TimeoutError as exc:
            raise errors.CredentialError(
                f"exec: executable {plugin.command} did not answer within {self._timeout:g}s"
            ) from exc
        finally:
            await self._end(transport, run)
        if run.is_too_much:
            raise errors.CredentialError(
                f"exec: executable {plugin.command} printed more than {MAX_OUTPUT_BYTES} bytes"
            )
        if code := transport.get_returncode():
            raise errors.CredentialError(
                f"exec: executable {plugin.command} failed with exit code {code}"
            )
        return bytes(run.output)

    async def _end(self, transport: asyncio.SubprocessTransport, run: "_Run") -> None:
        """Kill what still runs, and wait until it is gone."""
        if transport.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError):
                if self._plugin.is_interactive:
                    transport.kill()
                else:
                    os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
        await run.is_gone.wait()

    def _parse(self, output: bytes) -> tuple[logins.Login, float | None]:
        where = f"exec: executable {self._plugin.command}"
        try:
            credential = msgspec.json.decode(output, type=_ExecCredential)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            # They name the place, never the value.
            raise errors.CredentialError(f"{where} printed no ExecCredential: {exc}") from None
        if credential.api_version != self._plugin.api_version:
            raise errors.CredentialError(
                f'{where} is configured for API version "{self._plugin.api_version}" '
                "and answered with another one"
            )
        status = credential.status
        if status is None or not (status.token or status.client_certificate_data):
            raise errors.CredentialError(f"{where} returned neither a token nor a certificate")
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise errors.CredentialError(
                f"{where} returned a certificate without its key, or the reverse"
            )
        expires_at: float | None = None
        if status.expiration_timestamp:
            try:
                expires_at = timestamps.parse(status.expiration_timestamp)
            except ValueError as exc:
                raise errors.CredentialError(
                    f"{where} returned an expirationTimestamp that is no time"
                ) from exc
        return logins.Login(
            token=status.token,
            certificate_pem=status.client_certificate_data.encode(),
            key_pem=status.client_key_data.encode(),
            origin=where,
        ), expires_at


class _Run(asyncio.SubprocessProtocol):
    """One run of a plugin: what it prints, within bounds, and when it is over.

    The streams of asyncio.subprocess would not do: a process that is killed while its output
    waits to be read is never seen to end by them.
    """

    def __init__(self) -> None:
        self.output = bytearray()
        self.is_too_much = False
        self.is_over = asyncio.Event()  # it ended by itself, or printed too much
        self.is_gone = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what was printed."""
        del fd
        if len(self.output) + len(data) > MAX_OUTPUT_BYTES:
            self.is_too_much = True
            self.is_over.set()
        else:
            self.output += data

    def connection_lost(self, exc: Exception | None) -> None:
        """The process ended, and its output has been read."""
        del exc
        self.is_over.set()
        self.is_gone.set()
