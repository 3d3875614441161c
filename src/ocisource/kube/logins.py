"""How a client proves who it is: tokens, client certificates, and sources that renew them.

A source is asked before every request, so it answers from memory; a file is read again once a
minute and after a 401, because a kubelet replaces projected tokens while we run.
"""

import base64
import dataclasses
import pathlib
import time
import typing
from collections.abc import Callable

from ocisource import errors

FILE_TTL = 60.0  # seconds a file's content is trusted before it is read again
MAX_FILE_BYTES = 1024 * 1024  # of a token, key, certificate or CA bundle


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Login:
    """What a request carries: a bearer token, a password, or a client certificate."""

    token: str = ""
    username: str = ""
    password: str = ""
    certificate_pem: bytes = b""
    key_pem: bytes = b""
    origin: str = dataclasses.field(default="", compare=False)
    """Where the certificate and its key are from, for messages."""

    def __repr__(self) -> str:
        names = (field.name for field in dataclasses.fields(self) if field.compare)
        parts = [name for name in names if getattr(self, name)]
        return f"Login({', '.join(parts) or 'anonymous'})"

    @property
    def authorization(self) -> str:
        """The Authorization header, empty when there is none."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username or self.password:
            pair = f"{self.username}:{self.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return ""


class LoginSource(typing.Protocol):
    """Whatever yields the login of the moment."""

    async def login(self) -> Login:
        """The login to use now; raises CredentialError."""
        ...

    def reject(self, login: Login) -> bool:
        """Take note of a 401 for ``login``; True if another one may be had."""
        ...


class Material:
    """Bytes given in the configuration, or in a file that may be replaced while we run."""

    __slots__ = ("_clock", "_data", "_path", "_read_at", "where")

    def __init__(
        self,
        *,
        data: bytes = b"",
        path: pathlib.Path | None = None,
        where: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the bytes, or the file; ``where`` says in messages where bytes are from."""
        self.where = str(path) if path is not None else where
        self._data = data
        self._path = path
        self._clock = clock
        self._read_at: float | None = None

    @property
    def is_file(self) -> bool:
        """Whether the bytes come from a file."""
        return self._path is not None

    def __bool__(self) -> bool:
        return bool(self._data) or self._path is not None

    def read(self) -> bytes:
        """The bytes; raises CredentialError when the file never was readable, or is empty."""
        if self._path is None:
            return self._data
        now = self._clock()
        if self._read_at is None or now - self._read_at >= FILE_TTL:
            try:
                self._data = _read_bounded(self._path)
            except errors.CredentialError:
                # A file in the middle of its replacement must not end a running service.
                if self._read_at is None:
                    raise
            self._read_at = now
        return self._data

    def expire(self) -> None:
        """Read the file again the next time."""
        if self._path is not None and self._read_at is not None:
            self._read_at = self._clock() - FILE_TTL


def _read_bounded(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise errors.CredentialError(f"unable to read {path}: {reason}") from exc
    if len(data) > MAX_FILE_BYTES:
        raise errors.CredentialError(f"{path} holds more than {MAX_FILE_BYTES} bytes")
    if not data.strip():  # an empty token would make us anonymous, an empty CA trust no server
        raise errors.CredentialError(f"{path} is empty")
    return data


class MaterialLogin:
    """A login made of fixed values and files: tokens, basic auth, client certificates."""

    __slots__ = ("_certificate", "_key", "_password", "_token", "_username")

    def __init__(
        self,
        *,
        token: Material | None = None,
        username: str = "",
        password: str = "",
        certificate: Material | None = None,
        key: Material | None = None,
    ) -> None:
        self._token = token or Material()
        self._username = username
        self._password = password
        self._certificate = certificate or Material()
        self._key = key or Material()

    def __repr__(self) -> str:
        return "MaterialLogin()"

    async def login(self) -> Login:
        """The login of the moment; raises CredentialError."""
        return Login(
            token=self._token.read().decode("utf-8", "replace").strip(),
            username=self._username,
            password=self._password,
            certificate_pem=self._certificate.read(),
            key_pem=self._key.read(),
            origin=" and ".join(filter(None, (self._certificate.where, self._key.where))),
        )

    def reject(self, login: Login) -> bool:
        """Read the files again; True if they now hold another login."""
        del login
        has_files = False
        for material in (self._token, self._certificate, self._key):
            has_files = has_files or material.is_file
            material.expire()
        return has_files
