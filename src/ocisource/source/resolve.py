"""Resolve: which bytes do we want? From a wanted version to a digest.

1. ``digest`` set: that digest, without asking anybody.
2. ``semver`` set: the newest tag in the range, after ``semver_filter``.
3. otherwise ``tag``, or ``latest``.

A tag then costs one HEAD.
"""

import asyncio
import dataclasses
import functools
import threading
import typing

from ocisource import digest as digests
from ocisource.oci.grammar import manifest, reference, semver
from ocisource.source import wanted

MANY_TAGS = 2000  # to choose among more takes milliseconds, in which others have their turn
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


class Remote(typing.Protocol):
    """A repository that answers which tags it has and what they point to."""

    async def tags(self) -> tuple[str, ...]:
        """All tags, in the registry's order."""
        ...

    async def resolve(self, tag: str) -> manifest.Descriptor:
        """The descriptor a tag points to; raises NotFoundError."""
        ...

    async def head(self, digest: digests.Digest) -> manifest.Descriptor:
        """The descriptor of a digest, asked of the registry; raises NotFoundError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The reference as it was chosen (``tag`` is None for a digest) and its digest."""

    repository: reference.Repository
    tag: str | None
    digest: digests.Digest

    def __str__(self) -> str:
        name = str(self.repository)
        return f"{name}@{self.digest}" if self.tag is None else f"{name}:{self.tag}"

    @property
    def tag_at_digest(self) -> str:
        """The revision in today's Flux form: ``tag@sha256:hex``, or ``sha256:hex``."""
        return str(self.digest) if self.tag is None else f"{self.tag}@{self.digest}"


async def choose_tag(remote: Remote, want: wanted.Wanted) -> str | None:
    """The tag that is wanted, or None where a digest is.

    Raises ReferenceInvalidError for an unusable range or filter, NoMatchError, and whatever
    listing the tags raises.
    """
    if want.digest:
        return None
    if not want.semver:
        return want.tag or wanted.DEFAULT_TAG
    tags = await remote.tags()
    choose = functools.partial(
        semver.latest_match,
        tags,
        expression=want.semver,
        pattern=want.semver_filter or None,
        is_helm_chart=want.media_type == HELM_CHART,
    )
    if len(tags) < MANY_TAGS:
        return choose()
    called_off = threading.Event()
    try:
        return await asyncio.to_thread(choose, is_cancelled=called_off.is_set)
    finally:
        called_off.set()


async def to_digest(
    remote: Remote, want: wanted.Wanted, tag: str | None, *, is_probe_due: bool = False
) -> Resolved:
    """The digest of the chosen tag by one HEAD; a digest reference is taken at its word.

    ``is_probe_due`` asks the registry for a digest reference, too: after a change of the spec or
    of the credential its acceptance must be seen again. Raises ReferenceInvalidError for a
    malformed digest, NotFoundError, other RegistryErrors and TransportErrors.
    """
    if tag is None:
        digest = digests.Digest.parse(want.digest)
        if is_probe_due:
            await remote.head(digest)
    else:
        digest = (await remote.resolve(tag)).digest
    return Resolved(repository=want.repository, tag=tag, digest=digest)
