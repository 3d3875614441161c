"""Credentials for registries, and the keychains that know which one fits a repository.

A pull Secret maps keys to entries. Keys are normalised (scheme off, ``/v1/`` and ``/v2/`` off) and
matched against ``{host}/{path}`` of a repository:

1. ports must be equal (no port is not 443);
2. the host has as many dot-separated labels as the key, each matched as a glob;
3. the key's path must be a plain prefix of the repository's path (``/par`` serves ``/partial``);
4. keys are tried in reverse lexical order, so that longer paths win; the first match is used.

The same key in two Secrets: the first Secret's entry wins. ``credsStore`` and ``credHelpers`` mean
nothing in a Secret, and a Secret of another type holds no credentials.
"""

import base64
import binascii
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Protocol, Self

import msgspec

from ocisource import errors
from ocisource.net import jsontext, redact
from ocisource.oci.grammar import glob
from ocisource.oci.grammar.reference import Repository

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
_DATA_KEYS = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKER_CFG: ".dockercfg"}

# Old passwords may be of any encoding: bytes that are no UTF-8 go through unchanged.
_BYTES = ("utf-8", "surrogateescape")
_AUTH_MAX = 64 * 1024  # characters of an "auth" field


@dataclasses.dataclass(frozen=True, slots=True)
class Credential:
    """What proves who one is; which fields are set decides the way it is used.

    ``registry_token``: a bearer token as it is. ``identity_token``: an OAuth2 refresh token. Else
    ``username`` and ``password``: Basic, at the registry or at its token service.
    """

    username: str = dataclasses.field(default="", repr=False)
    password: str = dataclasses.field(default="", repr=False)
    identity_token: str = dataclasses.field(default="", repr=False)
    registry_token: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse tokens that could not stand in a header; raises CredentialError."""
        for token in (self.identity_token, self.registry_token):
            if not token.isprintable() or " " in token:
                raise errors.CredentialError("a registry token holds blanks or control characters")

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is set."""
        return not (self.username or self.password or self.identity_token or self.registry_token)

    @property
    def fingerprint(self) -> str:
        """A hash that is equal for equal credentials, "" for none; to compare, not to show."""
        if self.is_anonymous:
            return ""
        return _hash(self.username, self.password, self.identity_token, self.registry_token)

    @property
    def basic(self) -> str:
        """The value of a Basic ``Authorization`` header's credentials, "" without a username."""
        if not self.username and not self.password:
            return ""
        return base64.b64encode(f"{self.username}:{self.password}".encode(*_BYTES)).decode()

    def __repr__(self) -> str:
        if self.is_anonymous:
            return "Credential(anonymous)"
        kinds = [name for name in self.__slots__ if getattr(self, name)]
        return f"Credential({', '.join(kinds)}: redacted)"

    __str__ = __repr__


class Keychain(Protocol):
    """Knows the credential for a repository."""

    @property
    def fingerprint(self) -> str:
        """A hash that changes when the credentials behind it do; "" if there are none."""
        ...

    async def credential(self, repository: Repository) -> Credential | None:
        """The credential to use, None for anonymous; raises CredentialError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class StaticKeychain:
    """One credential for every repository (``--creds``), or none."""

    only: Credential | None = None

    @property
    def fingerprint(self) -> str:
        """As of Keychain."""
        return self.only.fingerprint if self.only else ""

    async def credential(self, repository: Repository) -> Credential | None:  # noqa: ARG002
        """As of Keychain; never raises."""
        return self.only


ANONYMOUS = StaticKeychain()


def from_creds(text: str) -> Credential:
    """Read ``--creds``: ``user:password``, split at the first colon, or a ready bearer token."""
    username, colon, password = text.partition(":")
    if colon:
        return Credential(username=username, password=password)
    return Credential(registry_token=text)


@dataclasses.dataclass(frozen=True, slots=True)
class PullSecrets:
    """The entries of pull Secrets, in the order they are tried."""

    entries: tuple[tuple["Key", Credential], ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def from_secrets(
        cls,
        secrets: Iterable[tuple[str, Mapping[str, bytes]]],
        *,
        names: Iterable[str] = (),
    ) -> Self:
        """Read Secrets, each its type and its decoded data; those of other types are passed over.

        ``names`` (``{ns}/{name}``, one for each Secret) make the messages say which Secret is
        meant. Raises CredentialError.
        """
        entries: dict[Key, Credential] = {}
        for (kind, data), name in zip(secrets, itertools.chain(names, itertools.repeat(""))):  # noqa: B905
            where = place = f"secret '{name}': " if name else ""
            try:
                for text, entry in _auths(kind, data).items():
                    key = Key.parse(text)
                    place = f"{where}entry '{redact.foreign(str(key))}': "
                    credential = entry.credential() if entry else None
                    if credential is not None:
                        entries.setdefault(key, credential)
            except errors.CredentialError as error:
                raise errors.CredentialError(f"{place}{error}") from None
        return cls(tuple(sorted(entries.items(), key=lambda item: str(item[0]), reverse=True)))

    @property
    def fingerprint(self) -> str:
        """As of Keychain."""
        if not self.entries:
            return ""
        return _hash(
            *(part for key, value in self.entries for part in (str(key), value.fingerprint))
        )

    async def credential(self, repository: Repository) -> Credential | None:
        """As of Keychain; never raises."""
        return self.find(repository)

    def find(self, repository: Repository) -> Credential | None:
        """The credential of the first key that matches."""
        for key, credential in self.entries:
            if key.admits(repository):
                return credential
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A normalised key: host pattern and path prefix ("" or starting with a slash)."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Normalise a key as a Secret has it; never raises."""
        bare = text
        for scheme in ("https://", "http://"):
            if text.startswith(scheme):
                bare = text.removeprefix(scheme)
                break
        bare = bare.partition("?")[0].partition("#")[0]
        host, slash, rest = bare.partition("/")
        path = slash + rest
        if path.startswith(("/v1/", "/v2/")):
            path = path[3:]
        return cls(host.rpartition("@")[2], "" if path == "/" else path)

    def admits(self, repository: Repository) -> bool:
        """Whether the entry under this key serves a repository."""
        pattern, pattern_port = _split_port(self.host)
        host, port = _split_port(repository.host)
        if pattern_port != port or not f"/{repository.path}".startswith(self.path):
            return False
        patterns, labels = pattern.split("."), host.split(".")
        return len(patterns) == len(labels) and all(
            # An IPv6 literal's brackets are no character class.
            label == pattern or glob.is_match(label, pattern=pattern)
            for pattern, label in zip(patterns, labels, strict=True)
        )

    def __str__(self) -> str:
        return self.host + self.path


def _split_port(host: str) -> tuple[str, str]:
    # Not address.split_port: a key may hold patterns, and anything else its author typed.
    bare, colon, port = host.rpartition(":")
    return (bare, port) if colon and "]" not in port else (host, "")


class Entry(msgspec.Struct, rename="lower"):
    """One entry of a Docker config's ``auths``."""

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None

    def credential(self) -> Credential | None:
        """The credential, None if the entry is empty; raises CredentialError."""
        username, password = self.username or "", self.password or ""
        if self.auth:
            username, password = decode_auth(self.auth)
        credential = Credential(
            username=username,
            password=password,
            identity_token=self.identitytoken or "",
            registry_token=self.registrytoken or "",
        )
        return None if credential.is_anonymous else credential

    def __repr__(self) -> str:
        return "Entry(redacted)"


class _DockerConfigJSON(msgspec.Struct):
    auths: dict[str, Entry | None] | None = None


def decode_auth(field: str) -> tuple[str, str]:
    """User and password of an ``auth`` field: base64, padded or not; raises CredentialError."""
    text = field.strip()
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    colon = ""
    if len(text) > _AUTH_MAX:
        cause = f"longer than {_AUTH_MAX} characters"
    elif text not in {bare, padded}:
        cause = "illegal base64 padding"
    else:
        try:
            decoded = base64.b64decode(padded, validate=True).decode(*_BYTES)
        except (binascii.Error, UnicodeError):
            cause = "illegal base64 data"
        else:
            username, colon, password = decoded.partition(":")
            cause = "must be formatted as base64(username:password)"
    if not colon:
        raise errors.CredentialError(f"unable to decode auth field: {cause}")
    return username, password


def _auths(kind: str, data: Mapping[str, bytes]) -> Mapping[str, Entry | None]:
    """The entries of a Secret; none for other types and for empty data."""
    key = _DATA_KEYS.get(kind, "")
    content = data.get(key, b"") if key else b""
    if not content:
        return {}
    try:
        if kind == DOCKER_CFG:
            return msgspec.json.decode(content, type=dict[str, Entry | None])
        return msgspec.json.decode(content, type=_DockerConfigJSON).auths or {}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        fault = jsontext.fault(error, content)
        raise errors.CredentialError(
            f"cannot read '{key}': {fault}; "
            "'kubectl create secret docker-registry' writes a good one"
        ) from None


def _hash(*parts: str) -> str:
    digest = hashlib.sha256(b"ocisource credential")
    for part in parts:
        encoded = part.encode(*_BYTES)
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
