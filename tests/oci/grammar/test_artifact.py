"""The manifest of a pushed artifact, byte for byte."""

from ocisource import digest as digests
from ocisource.oci.grammar import artifact, manifest

_LAYER = manifest.Descriptor(manifest.FLUX_CONTENT, 7, digests.Digest.of(b"content"))


def test_the_config_is_the_constant_one() -> None:
    """115 bytes with the digest that Flux's artifacts of today have."""
    described = artifact.config_descriptor()
    assert described.size == 115
    assert str(described.digest) == (
        "sha256:5b943e2b943f6c81dbbd4e2eca5121f4fcc39139e3d1219d6d89bd925b77d9fe"
    )


def test_the_body_is_compact_in_the_documented_order() -> None:
    """Keys in their order, annotations sorted, no field beside them."""
    annotations = {artifact.SOURCE: "s", artifact.CREATED: "c", "a": "ü"}
    body = artifact.body(_LAYER, annotations=annotations)
    config = artifact.config_descriptor()
    assert body.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        '"config":{"mediaType":"application/vnd.cncf.flux.config.v1+json","size":115,'
        f'"digest":"{config.digest}"}},'
        '"layers":[{"mediaType":"application/vnd.cncf.flux.content.v1.tar+gzip","size":7,'
        f'"digest":"{_LAYER.digest}"}}],'
        '"annotations":{"a":"ü","org.opencontainers.image.created":"c",'
        '"org.opencontainers.image.source":"s"}}'
    )


def test_it_reads_back() -> None:
    """What is written here is understood here."""
    body = artifact.body(_LAYER, annotations={})
    assert b"annotations" not in body
    parsed = manifest.parse(body, media_type=manifest.OCI_MANIFEST)
    assert isinstance(parsed, manifest.Manifest)
    assert parsed.layers == (_LAYER,)
    assert parsed.config == artifact.config_descriptor()
