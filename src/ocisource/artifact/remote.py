"""Which artifact is meant, and as whom its registry is asked.

``url ::= "oci://" repository [ ":" tag ] [ "@" digest ]``; no tag means ``latest``.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import redact
from ocisource.oci import limits, registry
from ocisource.oci.authentication import credentials, docker_config
from ocisource.oci.grammar import artifact, manifest, ranges, reference, semver
from ocisource.oci.grammar.versions import Version
from ocisource.oci.providers import logins
from ocisource.source import pull as source_pull
from ocisource.source import resolve as source_resolve

GENERIC = "generic"
AT_ONCE = 16  # tags that are looked up at the same time
_SIGNATURES = (".sig", ".att", ".sbom")  # tags of cosign's signatures and the like

Progress = Callable[[int, int], None]
"""Called with the bytes done so far and all of them, as often as there is news."""


def no_progress(done: int, total: int, /) -> None:
    """For those who do not watch."""


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference points to: ``repository`` as ``host/path``, ``tag`` None for a digest.

    ``digest`` is ``sha256:…``, ``url`` the address that always means these bytes.
    """

    repository: str
    tag: str | None
    digest: str

    @property
    def url(self) -> str:
        """``oci://host/path@sha256:…``."""
        return f"{reference.SCHEME}{self}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tag and what its manifest says; ``size`` in bytes of all layers, None for an index."""

    tag: str
    digest: str
    source: str
    revision: str
    size: int | None


def access(
    *,
    creds: str = "",
    provider: str = GENERIC,
    is_insecure: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> registry.Access:
    """How registries are asked: with ``creds``, or else as the user's Docker config says.

    ``creds`` is ``user:password``, or a ready bearer token. Another ``provider`` (aws, azure, gcp)
    logs in to its cloud as whoever runs this. ``is_insecure`` allows plain HTTP and any
    certificate. Raises CredentialError.
    """
    if provider != GENERIC:
        # The threads of a login end with the process; they hold nothing to put back.
        cloud = logins.Clouds(environ=environ, has_shell=True).keychain(provider)
        return registry.Access(keychain=cloud, is_insecure=is_insecure)
    if creds:
        chosen = credentials.StaticKeychain(credentials.from_creds(creds))
        return registry.Access(keychain=chosen, is_insecure=is_insecure)
    keychain = docker_config.DockerConfig.load(environ=environ, home=_home(environ))
    return registry.Access(keychain=keychain, is_insecure=is_insecure)


def _home(environ: Mapping[str, str]) -> pathlib.Path:
    """The user's home; the null device, below which there is nothing, for a user without one."""
    try:
        return pathlib.Path(environ.get("HOME") or pathlib.Path.home())
    except RuntimeError:
        return pathlib.Path(os.devnull)


def parse(url: str) -> reference.Reference:
    """The reference in an ``oci://`` address; raises URLInvalidError."""
    if not url.startswith(reference.SCHEME):
        raise errors.URLInvalidError("URL must be in format 'oci://<domain>/<org>/<repo>'")
    try:
        return reference.Reference.parse(url.removeprefix(reference.SCHEME))
    except errors.URLInvalidError as error:
        shown = redact.foreign(redact.url(url))
        raise errors.URLInvalidError(f"'{shown}' invalid URL: {error.text}") from None


@contextlib.asynccontextmanager
async def opened(
    repository: reference.Repository,
    given: registry.Access | None = None,
    *,
    settings: limits.RegistrySettings = limits.DEFAULT,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[registry.RemoteRepository]:
    """The repository, with connections of its own that are closed at the end."""
    registries = registry.Registries(settings=settings, sleep=sleep)
    try:
        yield registries.repository(repository, access() if given is None else given)
    finally:
        await registries.close()


async def digest_of(
    remote: registry.RemoteRepository, wanted: reference.Reference
) -> digests.Digest:
    """The digest that a reference points to: one HEAD for a tag, none for a digest."""
    if wanted.digest is not None:
        return wanted.digest
    return (await remote.resolve(wanted.tag or reference.DEFAULT_TAG)).digest


async def resolve(
    url: str,
    *,
    semver: str = "",
    semver_filter: str = "",
    access: registry.Access | None = None,
) -> Resolved:
    """Which bytes an address means now.

    ``semver`` chooses the newest tag in a range, of those that ``semver_filter`` (a regular
    expression) lets through. Without ``access`` the user's Docker config is used.

    Raises URLInvalidError, ReferenceInvalidError, NoMatchError, NotFoundError, other
    RegistryErrors, TransportError, CredentialError.

    >>> import asyncio
    >>> newest = asyncio.run(resolve("oci://ghcr.io/org/app", semver="6.x"))
    >>> newest.tag, newest.url.startswith("oci://ghcr.io/org/app@sha256:")
    ('6.7.1', True)
    """
    wanted = parse(url)
    async with opened(wanted.repository, access) as remote:
        if semver:
            wanted = wanted.repository.tagged(
                _newest(await remote.tags(), expression=semver, pattern=semver_filter)
            )
        digest = await digest_of(remote, wanted)
    return Resolved(str(wanted.repository), wanted.tag, str(digest))


async def list_tags(
    repository: reference.Repository,
    *,
    semver: str = "",
    pattern: str = "",
    access: registry.Access | None = None,
) -> tuple[Listed, ...]:
    """The tags of a repository with what they point to: versions first, newest first.

    ``semver`` and ``pattern`` both have to let a tag through; signatures are left out. Raises as
    resolve() does, ReferenceInvalidError for a filter that cannot be read.
    """
    is_wanted = tag_filter(semver, pattern)
    async with opened(repository, access) as remote:
        try:
            known = await remote.tags()
        except errors.OcisourceError as error:
            raise errors.OcisourceError(f"listing tags failed: {error.text}") from error
        tags = ordered(tag for tag in known if is_wanted(tag))
        free = asyncio.Semaphore(AT_ONCE)

        async def one(tag: str) -> Listed:
            async with free:
                return await _listed(remote, tag)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(tag)) for tag in tags]
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return tuple(task.result() for task in tasks)


async def tag(
    wanted: reference.Reference,
    tags: Sequence[str],
    *,
    access: registry.Access | None = None,
    tagged: Callable[[str], object] = lambda _: None,
) -> None:
    """Give an artifact further tags; ``tagged`` is told each. Raises as resolve() does."""
    for each in tags:
        reference.Reference.parse(f"{wanted.repository}:{each}")
    async with opened(wanted.repository, access) as remote:
        found, body = await remote.manifest(await digest_of(remote, wanted))
        for each in tags:
            await remote.put_manifest(body, media_type=found.media_type, reference=each)
            tagged(each)


def ordered(tags: Iterable[str]) -> list[str]:
    """Versions from new to old, then all other tags in descending order."""
    versions, others = [], []
    for each in tags:
        version = Version.parse(each) if _is_version(each) else None
        if version is None:
            others.append(each)
        else:
            versions.append((version.precedence, each))
    return [each for _, each in sorted(versions, reverse=True)] + sorted(others, reverse=True)


async def image_of(
    remote: registry.RemoteRepository,
    digest: digests.Digest,
    *,
    platform: manifest.Platform = manifest.DEFAULT_PLATFORM,
) -> manifest.Manifest:
    """The image manifest behind a digest, through indexes; raises ContentError."""
    resolved = source_resolve.Resolved(
        repository=reference.Repository("", ""), tag=None, digest=digest
    )
    media_type, body = await source_pull.image_manifest(remote, resolved, platform=platform)
    return source_pull.parse_image(media_type, body)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of several failures: they have one cause most of the time."""
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _newest(tags: Sequence[str], *, expression: str, pattern: str) -> str:
    return semver.latest_match(tags, expression=expression, pattern=pattern or None)


def tag_filter(expression: str, pattern: str) -> Callable[[str], bool]:
    """Whether a tag is wanted by a range and a regular expression; raises ReferenceInvalidError."""
    constraint = ranges.Constraint.parse(expression) if expression else None
    try:
        is_found = semver.compile_filter(pattern) if pattern else None
    except errors.ReferenceInvalidError as error:
        raise errors.ReferenceInvalidError(f"regex '{pattern}' parse error: {error.text}") from None

    def is_wanted(tag: str) -> bool:
        if tag.endswith(_SIGNATURES) or (is_found is not None and not is_found(tag)):
            return False
        if constraint is None:
            return True
        version = Version.parse(tag) if _is_version(tag) else None
        return version is not None and constraint.admits(version)

    return is_wanted


def _is_version(tag: str) -> bool:
    return tag.partition("-")[0].partition("+")[0].count(".") == 2  # noqa: PLR2004 - x.y.z


async def _listed(remote: registry.RemoteRepository, tag: str) -> Listed:
    try:
        digest = (await remote.resolve(tag)).digest
        found, body = await remote.manifest(digest)
        parsed = manifest.parse(body, media_type=found.media_type)
    except errors.OcisourceError as error:
        raise errors.OcisourceError(f"fetching manifest failed: {tag}: {error.text}") from error
    layers: Collection[manifest.Descriptor] | None = (
        parsed.layers if isinstance(parsed, manifest.Manifest) else None
    )
    return Listed(
        tag=tag,
        digest=str(digest),
        source=parsed.annotations.get(artifact.SOURCE, ""),
        revision=parsed.annotations.get(artifact.REVISION, ""),
        size=None if layers is None else sum(layer.size for layer in layers),
    )
