"""Looking up what a tag or digest points to, and fetching manifests.

Resolving costs one `HEAD`. Registries and mirrors that leave `Docker-Content-Digest` out, and those
that do not know `HEAD`, are asked with `GET` and the body is hashed, from the second time on at
once; an error shown to the user is always the `GET`'s, because a `HEAD` has no body that could say
anything. A digest in a header is
believed only in the answer to a `HEAD`: of a `GET` the bytes themselves are hashed.
"""

import re
import urllib.parse
from collections.abc import Mapping

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci.grammar import manifest, reference
from ocisource.oci.hosts import answers
from ocisource.oci.transport import transport

_ACCEPT = {"Accept": ", ".join(manifest.ACCEPT)}
_DIGEST = re.compile(r"sha256:(?P<hex>[0-9a-f]{64})")
_SAFE = re.compile(r"[A-Za-z0-9_.:-]+")
_LENGTH_DIGITS = 18  # of a Content-Length that is believed
_OK = 200
_DIGEST_HEADER = "Docker-Content-Digest"


async def look_up(
    connection: transport.Transport,
    repository: reference.Repository,
    identifier: str,
    scope: str,
) -> manifest.Descriptor:
    """Digest, media type and size of what a tag or digest (``identifier``) points to.

    ``size`` is 0 if the registry does not say it. Raises NotFoundError, UnauthorizedError,
    TooManyRequestsError, RegistryError, TransportError, ContentError.
    """
    if connection.heads.are_useless(repository.path):
        return (await fetch(connection, repository, identifier, scope=scope))[0]
    path = _path(repository, identifier)
    request = transport.Request(method="HEAD", path=path, scope=scope, headers=_ACCEPT)
    attempts = None
    try:
        response = await connection.head(request)
    except errors.RegistryError as error:
        # Refused by the token service, or asked to wait: a GET would only ask once more.
        if error.method != request.method or error.retry_after is not None:
            raise
        if isinstance(error, errors.TooManyRequestsError):
            raise
        attempts = 1  # the HEAD has been retried; the GET only tells what is wrong
    else:
        if response.status == _OK:
            descriptor = _from_headers(response.headers)
            if descriptor is not None:
                return _checked(descriptor, identifier, repository)
    descriptor, _ = await fetch(connection, repository, identifier, scope=scope, attempts=attempts)
    if attempts is None:
        connection.heads.learn(repository.path)
    return descriptor


async def fetch(
    connection: transport.Transport,
    repository: reference.Repository,
    identifier: str,
    *,
    scope: str,
    attempts: int | None = None,
) -> tuple[manifest.Descriptor, bytes]:
    """Descriptor and bytes of a manifest; asked for by digest, the bytes are checked against it.

    Raises as look_up() does.
    """
    request = transport.Request(
        method="GET",
        path=_path(repository, identifier),
        scope=scope,
        headers=_ACCEPT,
        attempts=attempts,
    )
    bound = connection.settings.manifest_size
    answer = await connection.fetch(request, bound=bound, what="the manifest")
    if answer.status != _OK:
        raise connection.refusal(answer)
    if answer.is_html or not answer.body.lstrip()[:1] == b"{":
        raise answers.not_json(answer, "a manifest")
    descriptor = manifest.Descriptor(
        media_type=answer.content_type,
        size=len(answer.body),
        digest=digests.Digest.of(answer.body),
    )
    return _checked(descriptor, identifier, repository), answer.body


def _path(repository: reference.Repository, identifier: str) -> str:
    if not _SAFE.fullmatch(identifier):
        identifier = urllib.parse.quote(identifier, safe="")
    return f"/v2/{repository.path}/manifests/{identifier}"


def _from_headers(headers: Mapping[str, str]) -> manifest.Descriptor | None:
    """What a HEAD says; None if it does not say enough."""
    found = _DIGEST.fullmatch(headers.get(_DIGEST_HEADER, ""))
    media_type = manifest.bare_media_type(headers.get("Content-Type", ""))
    if found is None or media_type in answers.HTML_TYPES:
        return None
    length = headers.get("Content-Length", "")
    is_number = length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS
    return manifest.Descriptor(
        media_type, int(length) if is_number else 0, digests.Digest(found["hex"])
    )


def _checked(
    descriptor: manifest.Descriptor, identifier: str, repository: reference.Repository
) -> manifest.Descriptor:
    """The descriptor, if it is what a digest asked for; raises ContentError."""
    if ":" in identifier and str(descriptor.digest) != identifier:
        raise errors.ContentError(
            f'manifest digest: "{descriptor.digest}" does not match requested digest: '
            f'"{identifier}" for "{repository}@{identifier}"'
        )
    return descriptor
