"""Manifests and indexes: what a reference points to, and what is chosen from it.

Formats: OCI image manifest and index (image-spec, manifest.md and image-index.md), Docker schema 2
manifest and manifest list; Docker schema 1 is refused. Which of them a body is, is decided by the
first of these that says it: the ``Content-Type``, the body's ``mediaType``, the body's shape. A
body that is both a manifest and an index is refused (CVE-2021-41190: two clients would read two
different contents under one digest).
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Self

import msgspec

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import redact

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
FLUX_CONTENT = "application/vnd.cncf.flux.content.v1.tar+gzip"
HELM_CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
SCHEMA1_TYPES = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
# What a request accepts. Schema 1 is named so that an old registry answers it, and gets a clear
# refusal here, in place of an unclear one there.
ACCEPT = (
    OCI_MANIFEST,
    OCI_INDEX,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    DOCKER_SCHEMA1_SIGNED,
    DOCKER_SCHEMA1,
)

BODY_MAX = 4 * 1024 * 1024  # bytes of a manifest; what registries accept
NESTED_INDEXES_MAX = 4  # indexes inside indexes that are followed
_SIZE_MAX = 2**63 - 1  # bytes of a descriptor, as in Go's int64


@dataclasses.dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and processor, in the words of Go's GOOS and GOARCH."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/arch[/variant][:osversion]``; raises UsageError."""
        name, _, version = text.partition(":")
        parts = name.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise errors.UsageError(
                f"platform '{redact.foreign(text)}' must be in format 'os/arch[/variant]', "
                "for example linux/amd64"
            )
        return cls(parts[0], parts[1], variant="".join(parts[2:]), os_version=version)

    def admits(self, given: Self | None) -> bool:
        """Whether content for ``given`` serves this platform; none given counts as linux/amd64."""
        given = given or type(self)("linux", "amd64")
        return (
            (given.os, given.architecture) == (self.os, self.architecture)
            and self.variant in {"", given.variant}
            and self.os_version in {"", given.os_version}
        )

    def __str__(self) -> str:
        variant = f"/{self.variant}" if self.variant else ""
        version = f":{self.os_version}" if self.os_version else ""
        return f"{self.os}/{self.architecture}{variant}{version}"


DEFAULT_PLATFORM = Platform("linux", "amd64")


@dataclasses.dataclass(frozen=True, slots=True)
class Descriptor:
    """What an image-spec descriptor says of a piece of content; ``size`` in bytes."""

    media_type: str
    size: int
    digest: digests.Digest
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    platform: Platform | None = None
    data: bytes | None = dataclasses.field(default=None, repr=False)
    urls: tuple[str, ...] = ()

    @property
    def is_index(self) -> bool:
        """Whether the content is an index."""
        return self.media_type in INDEX_TYPES

    def inline(self) -> bytes | None:
        """The content if the descriptor carries it (``data``); raises ContentError if it lies."""
        if self.data is None:
            return None
        verifier = digests.Verifier(expected=self.digest, expected_size=self.size)
        verifier.update(self.data)
        verifier.finish()
        return self.data


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    media_type: str = OCI_MANIFEST


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    """An image index, or a Docker manifest list."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    media_type: str = OCI_INDEX


class _PlatformJSON(msgspec.Struct, rename={"os_version": "os.version"}):
    os: str = ""
    architecture: str = ""
    variant: str | None = None
    os_version: str | None = None


class _DescriptorJSON(msgspec.Struct, rename="camel"):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=_SIZE_MAX)]
    media_type: str = ""
    annotations: dict[str, str] | None = None
    platform: _PlatformJSON | None = None
    data: bytes | None = None
    urls: list[str] | None = None


class _BodyJSON(msgspec.Struct, rename="camel"):
    schema_version: int = 2
    media_type: str | None = None
    config: _DescriptorJSON | None = None
    layers: list[_DescriptorJSON] | None = None
    manifests: list[_DescriptorJSON] | None = None
    annotations: dict[str, str] | None = None
    fs_layers: object = None  # of schema 1: only its presence counts


_DECODER = msgspec.json.Decoder(_BodyJSON)


def bare_media_type(content_type: str) -> str:
    """A ``Content-Type`` without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parse(body: bytes, *, media_type: str) -> Manifest | Index:
    """Read a body; ``media_type`` is its ``Content-Type`` (or a descriptor's), "" if unknown.

    Raises ContentError.
    """
    if len(body) > BODY_MAX:
        raise errors.ContentError(f"manifest is bigger than {BODY_MAX} bytes")
    declared = bare_media_type(media_type)
    _refuse_schema1(declared)
    try:
        content = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise errors.ContentError(f"manifest is not valid: {redact.foreign(str(error))}") from None
    own = bare_media_type(content.media_type or "")
    if declared not in MANIFEST_TYPES | INDEX_TYPES:
        _refuse_schema1(own)
        if content.schema_version == 1:
            _refuse_schema1(DOCKER_SCHEMA1)
        is_shaped_as_index = content.manifests is not None and content.layers is None
        declared = own if own in MANIFEST_TYPES | INDEX_TYPES else ""
        declared = declared or (OCI_INDEX if is_shaped_as_index else OCI_MANIFEST)
    return _index(content, declared) if declared in INDEX_TYPES else _manifest(content, declared)


def _refuse_schema1(media_type: str) -> None:
    if media_type in SCHEMA1_TYPES:
        raise errors.ContentError(
            f'unsupported MediaType: "{media_type}", '
            "see https://github.com/google/go-containerregistry/issues/377"
        )


def _manifest(content: _BodyJSON, media_type: str) -> Manifest:
    if content.manifests is not None or content.fs_layers is not None:
        raise errors.ContentError("manifest is not valid: it holds the fields of an index as well")
    return Manifest(
        config=None if content.config is None else _descriptor(content.config, "config"),
        layers=_descriptors(content.layers, "layers"),
        annotations=content.annotations or {},
        media_type=media_type,
    )


def _index(content: _BodyJSON, media_type: str) -> Index:
    if content.layers is not None or content.config is not None or content.fs_layers is not None:
        raise errors.ContentError("index is not valid: it holds the fields of a manifest as well")
    return Index(
        manifests=_descriptors(content.manifests, "manifests"),
        annotations=content.annotations or {},
        media_type=media_type,
    )


def _descriptors(items: list[_DescriptorJSON] | None, field: str) -> tuple[Descriptor, ...]:
    return tuple(
        _descriptor(item, f"{field}[{position}]") for position, item in enumerate(items or ())
    )


def _descriptor(item: _DescriptorJSON, field: str) -> Descriptor:
    try:
        digest = digests.Digest.parse(item.digest)
    except errors.ReferenceInvalidError as error:
        raise errors.ContentError(
            f"manifest is not valid: {field}: {redact.foreign(str(error))}"
        ) from None
    platform = item.platform
    return Descriptor(
        media_type=item.media_type,
        size=item.size,
        digest=digest,
        annotations=item.annotations or {},
        platform=None
        if platform is None
        else Platform(
            platform.os,
            platform.architecture,
            variant=platform.variant or "",
            os_version=platform.os_version or "",
        ),
        data=item.data,
        urls=tuple(item.urls or ()),
    )


def select_child(index: Index, platform: Platform, *, where: str = "") -> Descriptor:
    """The first entry for a platform; it may be an index again.

    ``where`` is the reference the index was found at, for the message. Raises ContentError.
    """
    for descriptor in index.manifests:
        if platform.admits(descriptor.platform):
            return descriptor
    raise errors.ContentError(f"no child with platform {platform} in index {where}".rstrip())


def select_layer(manifest: Manifest, media_type: str | None = None) -> Descriptor:
    """The first layer, or the first of exactly the media type wanted; raises ContentError."""
    if not manifest.layers:
        raise errors.ContentError("no layers found in artifact")
    for layer in manifest.layers:
        if not media_type or layer.media_type == media_type:
            return layer
    there = ", ".join(sorted({f"'{layer.media_type}'" for layer in manifest.layers}))
    raise errors.ContentError(
        f"failed to find layer with media type '{media_type}' in artifact, which has "
        f"{redact.foreign(there)}"
    )
