"""The Docker keychain of the command line: config files and credential helpers.

Which file is read, first that applies:

1. ``$DOCKER_CONFIG/config.json`` (``~/.docker/config.json`` if unset), if that file or the one in
   the home directory exists;
2. ``$REGISTRY_AUTH_FILE``, then ``$XDG_RUNTIME_DIR/containers/auth.json`` (Podman);
3. none: anonymous.

Which entry is used: the repository's full name is looked up, then its host (for Docker Hub the key
``https://index.docker.io/v1/``), each in ``$DOCKER_AUTH_CONFIG``, then with the helper that
``credHelpers`` or ``credsStore`` name for it, or else in ``auths``. The first that is not empty
wins. The controller never uses this: there, no Secret means anonymous.
"""

import asyncio
import contextlib
import hashlib
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Self, TypeVar

import msgspec

from ocisource import errors
from ocisource.net import jsontext, redact
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference

HELPER_TIMEOUT = 60.0  # seconds; a helper may ask its user for a password

_FILE_MAX = 4 * 1024 * 1024  # bytes of a config file
_HELPER_PREFIX = "docker-credential-"
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
# docker-credential-helpers, credentials/error.go: what a helper says when it has none.
_NOT_FOUND = "credentials not found in native keychain"
_REFRESH_USER = "<token>"
_VARIABLE = "DOCKER_AUTH_CONFIG"


_Content = TypeVar("_Content")


class _ConfigJSON(msgspec.Struct):
    auths: dict[str, credentials.Entry | None] | None = None
    helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")
    store: str | None = msgspec.field(default=None, name="credsStore")


class _EnvironmentEntryJSON(msgspec.Struct):
    auth: str = ""

    def __repr__(self) -> str:
        return "_EnvironmentEntryJSON(redacted)"


class _EnvironmentJSON(msgspec.Struct):
    auths: dict[str, _EnvironmentEntryJSON | None] | None = None


class _HelperAnswerJSON(msgspec.Struct, rename="pascal"):
    username: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return "_HelperAnswerJSON(redacted)"


class DockerConfig:
    """A keychain over one Docker config; helpers are asked once for each key."""

    def __init__(
        self,
        content: bytes,
        *,
        environ: Mapping[str, str],
        where: str = "",
        helper_timeout: float = HELPER_TIMEOUT,
    ) -> None:
        """Take a config file's content; raises CredentialError if it is malformed.

        ``environ`` gives ``DOCKER_AUTH_CONFIG`` and the helpers' PATH, ``where`` names the file,
        ``helper_timeout`` is what a helper may take, in seconds.
        """
        in_environment = environ.get(_VARIABLE, "").encode()
        self._environ = environ
        self._helper_timeout = helper_timeout
        self._where = where
        self._config = _read(content, _ConfigJSON, where=where)
        self._in_environment = _read(in_environment, _EnvironmentJSON, where=_VARIABLE)
        self._fingerprint = hashlib.sha256(content + b"\0" + in_environment).hexdigest()
        self._answers: dict[str, credentials.Credential | None] = {}
        self._asking = asyncio.Lock()

    @classmethod
    def load(cls, *, environ: Mapping[str, str], home: pathlib.Path) -> Self:
        """Find and read the config of a user; raises CredentialError."""
        path = _find(environ, home)
        content = b""
        if path is not None:
            try:
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    content = file.read(_FILE_MAX + 1)
            except OSError as error:
                raise errors.CredentialError(f"cannot read {path}: {error.strerror}") from None
        if len(content) > _FILE_MAX:
            raise errors.CredentialError(f"cannot read {path}: bigger than {_FILE_MAX} bytes")
        return cls(content, environ=environ, where=str(path))

    @property
    def fingerprint(self) -> str:
        """As of Keychain."""
        return self._fingerprint

    async def credential(self, repository: reference.Repository) -> credentials.Credential | None:
        """As of Keychain; raises CredentialError for an entry or a helper that does not work."""
        is_hub = repository.host == reference.DOCKER_HUB
        async with self._asking:
            for key in (str(repository), _DOCKER_HUB_KEY if is_hub else repository.host):
                if key not in self._answers:
                    self._answers[key] = await self._look_up(key)
                if (credential := self._answers[key]) is not None:
                    return credential
        return None

    async def _look_up(self, key: str) -> credentials.Credential | None:
        entry = (self._in_environment.auths or {}).get(key)
        if entry is not None and entry.auth:
            return _credential(credentials.Entry(auth=entry.auth), key, where=_VARIABLE)
        helper = (self._config.helpers or {}).get(key) or self._config.store
        if helper:
            return await _ask_helper(
                helper, key, environ=self._environ, seconds=self._helper_timeout
            )
        return self._in_file(key)

    def _in_file(self, key: str) -> credentials.Credential | None:
        auths = self._config.auths or {}
        found = auths.get(key) or next(
            (entry for name, entry in auths.items() if _host_of(name) == key), None
        )
        return None if found is None else _credential(found, key, where=self._where)

    def __repr__(self) -> str:
        return "DockerConfig(redacted)"


def _find(environ: Mapping[str, str], home: pathlib.Path) -> pathlib.Path | None:
    default = home / ".docker" / "config.json"
    chosen = default
    if folder := environ.get("DOCKER_CONFIG"):
        chosen = pathlib.Path(folder) / "config.json"
    if default.is_file() or chosen.is_file():
        return chosen
    candidates = []
    if file := environ.get("REGISTRY_AUTH_FILE"):
        candidates.append(pathlib.Path(file))
    if folder := environ.get("XDG_RUNTIME_DIR"):
        candidates.append(pathlib.Path(folder) / "containers" / "auth.json")
    return next((path for path in candidates if path.is_file()), None)


def _read(content: bytes, kind: type[_Content], *, where: str) -> _Content:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        fault = jsontext.fault(error, content)
        raise errors.CredentialError(f"cannot read {where}: {fault}") from None


def _credential(entry: credentials.Entry, key: str, *, where: str) -> credentials.Credential | None:
    try:
        return entry.credential()
    except errors.CredentialError as error:
        raise errors.CredentialError(
            f"{where}, entry '{key}': {error.text}; log in to it again"
        ) from None


def _host_of(key: str) -> str:
    """The host in an entry's key, as old versions of Docker wrote it with scheme and path."""
    bare = key.removeprefix("http://").removeprefix("https://")
    return bare.partition("/")[0]


async def _ask_helper(
    name: str, key: str, *, environ: Mapping[str, str], seconds: float
) -> credentials.Credential | None:
    """Run ``docker-credential-{name} get``; None if it knows nothing of the key."""
    program = None
    if os.sep not in name:  # a config file names helpers, not paths
        program = shutil.which(_HELPER_PREFIX + name, path=environ.get("PATH", os.defpath))
    shown = redact.foreign(_HELPER_PREFIX + name)
    if program is None:
        raise errors.CredentialError(
            f"credential helper {shown} is not on PATH: install it, or take it out of the config"
        )
    process = await asyncio.create_subprocess_exec(
        program,
        "get",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environ),
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(key.encode())
    except TimeoutError:
        raise errors.CredentialError(
            f"credential helper {shown} gave no answer for {key} in {seconds:g} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        message = redact.foreign(output)
        if message == _NOT_FOUND:
            return None
        raise errors.CredentialError(
            f"credential helper {shown} failed for {key}: {message or 'it said nothing'}"
        )
    answer = _read(output, _HelperAnswerJSON, where=shown)
    if answer.username == _REFRESH_USER:
        found = credentials.Credential(identity_token=answer.secret)
    else:
        found = credentials.Credential(username=answer.username, password=answer.secret)
    return None if found.is_anonymous else found
