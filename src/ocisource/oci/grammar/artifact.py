"""The manifest of an artifact as Flux pushes it: one packed layer and a config that says nothing.

The body is compact JSON with the keys in the order below and the annotations sorted, so that equal
content pushed twice is one manifest.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from ocisource import digest as digests
from ocisource.oci.grammar import manifest

CREATED: Final = "org.opencontainers.image.created"
REVISION: Final = "org.opencontainers.image.revision"
SOURCE: Final = "org.opencontainers.image.source"

# What go-containerregistry leaves of an empty image's config since v0.21.6. Readers must not rely
# on it; registries want it to be there.
CONFIG: Final = (
    b'{"architecture":"","created":"0001-01-01T00:00:00Z","os":"",'
    b'"rootfs":{"type":"layers","diff_ids":null},"config":{}}'
)


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    size: int
    digest: str


class _Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    schema_version: int
    media_type: str
    config: _Descriptor
    layers: tuple[_Descriptor, ...]
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


def config_descriptor() -> manifest.Descriptor:
    """The descriptor of CONFIG."""
    return manifest.Descriptor(
        media_type=manifest.FLUX_CONFIG, size=len(CONFIG), digest=digests.Digest.of(CONFIG)
    )


def body(layer: manifest.Descriptor, *, annotations: Mapping[str, str]) -> bytes:
    """The manifest of an artifact with this layer; its media type is manifest.OCI_MANIFEST."""
    return msgspec.json.encode(
        _Manifest(
            schema_version=2,
            media_type=manifest.OCI_MANIFEST,
            config=_written(config_descriptor()),
            layers=(_written(layer),),
            annotations=dict(sorted(annotations.items())),
        )
    )


def _written(descriptor: manifest.Descriptor) -> _Descriptor:
    return _Descriptor(descriptor.media_type, descriptor.size, str(descriptor.digest))
