"""Names of remote content: repositories, tags, digests.

::

    url        ::= "oci://" repository
    reference  ::= repository [ ":" tag ] [ "@" digest ]
    repository ::= [ host "/" ] path
    host       ::= ( name | IPv4 | "[" IPv6 "]" ) [ ":" port ]

Rules, in order (those of go-containerregistry's weak mode):

1. What stands before the first ``/`` is the host only if it has a ``.`` or ``:``; else the whole
   text is a Docker Hub repository.
2. No host, or ``docker.io``, is ``index.docker.io``; a path without ``/`` there gets ``library/``.
3. A path is 2 to 255 characters of ``a-z 0-9 _ - . /``, with no further structure.

Example::

    >>> str(Repository.parse_url("oci://ghcr.io/org/app"))
    'ghcr.io/org/app'
    >>> str(Reference.parse("nginx"))
    'index.docker.io/library/nginx:latest'
"""

import dataclasses
import re
import string
from typing import Self

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import address, redact

SCHEME = "oci://"
DOCKER_HUB = "index.docker.io"
DEFAULT_TAG = "latest"

_DOCKER_HUB_ALIAS = "docker.io"
_DOCKER_HUB_NAMESPACE = "library/"
_PATH_CHARACTERS = string.ascii_lowercase + string.digits + "_-./"
_PATH_MIN, _PATH_MAX = 2, 255  # characters
_TAG_CHARACTERS = string.digits + "_" + "-." + string.ascii_letters
_TAG_MIN, _TAG_MAX = 1, 128  # characters
_HOST_MAX = 255  # characters, RFC 1035 2.3.4
# A stricter reading of RFC 3986's reg-name: what can be resolved.
_HOST_NAME = re.compile(r"[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*\.?")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository on a registry; ``host`` is ``name[:port]``, ``path`` has no leading slash."""

    host: str
    path: str

    @classmethod
    def parse_url(cls, url: str) -> Self:
        """Read ``spec.url``; raises URLInvalidError, whose text holds no userinfo."""
        if not url.startswith(SCHEME):
            raise errors.URLInvalidError("URL must be in format 'oci://<domain>/<org>/<repo>'")
        name = url.removeprefix(SCHEME)
        try:
            return cls.parse(name)
        except errors.URLInvalidError as error:
            if surplus := _tag_or_digest(name):
                raise errors.URLInvalidError(
                    f"{error} (remove '{surplus}': a tag or digest belongs in ref)"
                ) from None
            raise

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read ``[host/]path``; raises URLInvalidError."""
        if not name:
            raise errors.URLInvalidError("a repository name must be specified")
        host, path = _split_host(name)
        _check("repository", path, characters=_PATH_CHARACTERS, low=_PATH_MIN, high=_PATH_MAX)
        if host:
            _check_host(host)
        if host in {"", _DOCKER_HUB_ALIAS}:
            host = DOCKER_HUB
        if host == DOCKER_HUB and "/" not in path:
            path = _DOCKER_HUB_NAMESPACE + path
        return cls(host, path)

    @property
    def host_name(self) -> str:
        """The host without port and brackets."""
        return address.split_port(self.host)[0]

    @property
    def port(self) -> int | None:
        """The port as written, None if the scheme's default is meant."""
        return address.split_port(self.host)[1]

    @property
    def is_plain_http_allowed(self) -> bool:
        """Whether plain HTTP may be spoken without ``insecure``: loopback and private literals."""
        return address.is_plain_http_host(self.host_name)

    def tagged(self, tag: str) -> "Reference":
        """This repository at a tag."""
        return Reference(self, tag=tag)

    def at(self, digest: digests.Digest) -> "Reference":
        """This repository at a digest."""
        return Reference(self, digest=digest)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What to fetch from a repository: a digest if there is one, else a tag."""

    repository: Repository
    tag: str | None = None
    digest: digests.Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST/REPO[:TAG|@DIGEST]``; no tag means ``latest``.

        A tag before a digest is checked and dropped. Raises URLInvalidError.
        """
        try:
            return cls._parse(text)
        except (errors.URLInvalidError, errors.ReferenceInvalidError) as error:
            raise errors.URLInvalidError(
                f"could not parse reference: {_shown(text)} ({error})"
            ) from None

    @classmethod
    def _parse(cls, text: str) -> Self:
        name, at, digest = text.partition("@")
        name, tag = _split_tag(name)
        if tag is not None:
            _check("tag", tag, characters=_TAG_CHARACTERS, low=_TAG_MIN, high=_TAG_MAX)
        repository = Repository.parse(name)
        if at:
            return cls(repository, digest=digests.Digest.parse(digest))
        return cls(repository, tag=tag or DEFAULT_TAG)

    @classmethod
    def select(cls, repository: Repository, *, tag: str = "", digest: str = "") -> Self:
        """The reference that a spec means: digest before tag before ``latest``.

        A tag is taken as it is, the registry judges it; a digest that is none raises
        ReferenceInvalidError.
        """
        if digest:
            return cls(repository, digest=digests.Digest.parse(digest))
        return cls(repository, tag=tag or DEFAULT_TAG)

    @property
    def identifier(self) -> str:
        """The digest or the tag, as the registry's API takes it (not yet quoted for a URL)."""
        return str(self.digest) if self.digest else self.tag or DEFAULT_TAG

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.digest else ':'}{self.identifier}"


def _split_tag(name: str) -> tuple[str, str | None]:
    # The last colon starts a tag only if no slash follows, else it belongs to the host's port.
    base, colon, tag = name.rpartition(":")
    return (base, tag) if colon and "/" not in tag else (name, None)


def _tag_or_digest(name: str) -> str:
    """The ``:tag`` or ``@digest`` at the end of a name that must have none; "" if there is none."""
    path = _split_host(name)[1]
    for position, char in enumerate(path):
        if char in ":@":
            surplus = path[position:]
            # "host:5000" lacks a repository, it has no tag.
            is_port = "/" not in name and surplus[1:].isdigit()
            return "" if is_port else _shown(surplus)
    return ""


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    return (first, rest) if slash and ("." in first or ":" in first) else ("", name)


def _check(element: str, text: str, *, characters: str, low: int, high: int) -> None:
    if not low <= len(text) <= high:
        raise errors.URLInvalidError(
            f"{element} must be between {low} and {high} characters in length: {_shown(text)}"
        )
    if text.strip(characters):
        raise errors.URLInvalidError(
            f"{element} can only contain the characters `{characters}`: {_shown(text)}"
        )


def _check_host(host: str) -> None:
    try:
        bare, _ = address.split_port(host)
    except ValueError:
        bare = ""
    is_valid = (
        ("%" not in bare and ":" in bare and address.literal(bare) is not None)
        if host.startswith("[")
        else len(bare) <= _HOST_MAX and _HOST_NAME.fullmatch(bare) is not None
    )
    if not is_valid:
        raise errors.URLInvalidError(
            f"registries must be valid RFC 3986 URI authorities: {_shown(host)}"
        )


def _shown(text: str) -> str:
    """A part of the user's text as an error may show it: bounded, one line, no credential."""
    # "name@sha256:…" has a digest, every other @ may end a userinfo.
    is_digest = text.partition("@")[2].startswith(digests.ALGORITHM + ":")
    return redact.foreign(text if is_digest else redact.url(text))
