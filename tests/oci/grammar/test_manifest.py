"""Manifests and indexes are read, and the right child and layer are chosen."""

import base64
import contextlib
import json

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.digest import Digest
from ocisource.oci.grammar import manifest
from ocisource.oci.grammar.manifest import Index, Manifest, Platform
from tests.parts import fuzz

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
AMD64 = manifest.DEFAULT_PLATFORM
JSON = dict[str, object]


def descriptor(content: bytes = b"x", media_type: str = DOCKER_LAYER, **more: object) -> JSON:
    """A descriptor as JSON."""
    found = {"mediaType": media_type, "size": len(content), "digest": str(Digest.of(content))}
    return found | more


def image(*layers: JSON, **more: object) -> bytes:
    """An image manifest."""
    config = descriptor(b"{}", manifest.FLUX_CONFIG)
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers} | more).encode()


def index(*children: JSON, **more: object) -> bytes:
    """An index."""
    return json.dumps({"schemaVersion": 2, "manifests": children} | more).encode()


def child(content: bytes, platform: str | None, media_type: str = manifest.OCI_MANIFEST) -> JSON:
    """An entry of an index."""
    more: JSON = {}
    if platform is not None:
        system, architecture, *variant = platform.split("/")
        more["platform"] = {"os": system, "architecture": architecture}
        more["platform"] |= {"variant": variant[0]} if variant else {}  # type: ignore[operator]
    return descriptor(content, media_type, **more)


def read_manifest(body: bytes, media_type: str = manifest.OCI_MANIFEST) -> Manifest:
    """Parse what must be a manifest."""
    found = manifest.parse(body, media_type=media_type)
    assert isinstance(found, Manifest)
    return found


def read_index(body: bytes, media_type: str = manifest.OCI_INDEX) -> Index:
    """Parse what must be an index."""
    found = manifest.parse(body, media_type=media_type)
    assert isinstance(found, Index)
    return found


def test_a_manifest_of_flux_is_read_whole() -> None:
    """Every field that anything here uses."""
    body = image(
        descriptor(b"abc", manifest.FLUX_CONTENT, annotations={"a": "b"}, urls=["https://x/y"]),
        annotations={"org.opencontainers.image.source": "https://github.com/x/y"},
        mediaType=manifest.OCI_MANIFEST,
        artifactType="ignored",
        subject=descriptor(),
    )
    found = read_manifest(body)
    assert found.media_type == manifest.OCI_MANIFEST
    assert found.annotations == {"org.opencontainers.image.source": "https://github.com/x/y"}
    assert found.config is not None
    assert found.config.media_type == manifest.FLUX_CONFIG
    (layer,) = found.layers
    assert layer == manifest.Descriptor(
        media_type=manifest.FLUX_CONTENT,
        size=3,
        digest=Digest.of(b"abc"),
        annotations={"a": "b"},
        urls=("https://x/y",),
    )
    assert not layer.is_index


@pytest.mark.parametrize(
    ("content_type", "own", "body", "kind"),
    [
        (manifest.OCI_MANIFEST, None, image(), Manifest),
        (manifest.DOCKER_MANIFEST, None, image(), Manifest),
        (manifest.OCI_INDEX, None, index(), Index),
        (manifest.DOCKER_MANIFEST_LIST, None, index(), Index),
        ("Application/VND.oci.image.index.v1+JSON; charset=utf-8", None, index(), Index),
        ("application/octet-stream", manifest.OCI_INDEX, index(), Index),
        ("application/octet-stream", manifest.DOCKER_MANIFEST, image(), Manifest),
        ("application/json", None, index(), Index),
        ("", None, image(), Manifest),
        ("text/plain", "something/else", image(), Manifest),
        ("", None, b"{}", Manifest),
    ],
)
def test_the_kind_follows_header_then_body_then_shape(
    content_type: str, own: str | None, body: bytes, kind: type
) -> None:
    """Registries that send octet-stream or nothing, and unknown types, which count as images."""
    if own is not None:
        body = json.dumps(json.loads(body) | {"mediaType": own}).encode()
    assert isinstance(manifest.parse(body, media_type=content_type), kind)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (manifest.DOCKER_SCHEMA1, b"{}"),
        (manifest.DOCKER_SCHEMA1_SIGNED + "; charset=utf-8", b"{}"),
        ("application/json", b'{"schemaVersion": 1, "fsLayers": []}'),
        ("", json.dumps({"mediaType": manifest.DOCKER_SCHEMA1_SIGNED}).encode()),
    ],
)
def test_schema_1_is_refused_with_a_pointer(media_type: str, body: bytes) -> None:
    """The text names the type and where to read on."""
    text = r'^unsupported MediaType: ".*v1\+.*", see https://github.com/google/go-containerregistry'
    with pytest.raises(errors.ContentError, match=text):
        manifest.parse(body, media_type=media_type)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (manifest.OCI_MANIFEST, image(manifests=[])),
        (manifest.OCI_INDEX, index(layers=[])),
        (manifest.OCI_INDEX, index(config=descriptor())),
        (manifest.OCI_INDEX, index(fsLayers=[])),
        (manifest.OCI_MANIFEST, image(fsLayers=[])),
        ("", image(manifests=[])),
    ],
)
def test_attack_a_body_that_is_both_is_refused(media_type: str, body: bytes) -> None:
    """CVE-2021-41190: one digest must not mean two contents."""
    with pytest.raises(errors.ContentError, match="as well"):
        manifest.parse(body, media_type=media_type)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"<html>sign in</html>", b"\xff\xfe", b"[" * 100_000),
        image({"mediaType": "x", "size": 1}),
        image(descriptor() | {"size": -1}),
        image(descriptor() | {"size": 2**63}),
        image(descriptor() | {"size": "1"}),
        image(descriptor() | {"digest": "sha512:" + "a" * 128}),
        image(descriptor() | {"digest": "sha256:../../etc/passwd"}),
        image(descriptor() | {"data": "not base64!"}),
        image(annotations={"a": 1}),
        b'{"schemaVersion": 2, "mediaType": "\xff"}',
        b" " * (manifest.BODY_MAX + 1),
    ],
)
def test_a_body_that_is_no_manifest_is_a_content_error(body: bytes) -> None:
    """One line, bounded, that says it is the manifest that is wrong."""
    with pytest.raises(
        errors.ContentError, match=r"^manifest is (not valid|bigger than)"
    ) as caught:
        manifest.parse(body, media_type=manifest.OCI_MANIFEST)
    assert len(caught.value.text) < 400


def test_nulls_count_as_absent() -> None:
    """What Go writes for empty lists and maps."""
    body = b'{"schemaVersion":2,"config":null,"layers":null,"annotations":null,"mediaType":null}'
    assert read_manifest(body) == Manifest(config=None, layers=())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(None, b"first", id="D1-no-type"),
        pytest.param("", b"first", id="D1-empty-type"),
        pytest.param(DOCKER_LAYER, b"second", id="D2"),
    ],
)
def test_the_layer_is_the_first_or_the_first_of_a_type(wanted: str | None, expected: bytes) -> None:
    """Acceptance D 1 and 2; nothing else is checked of a media type."""
    found = read_manifest(
        image(descriptor(b"first", "any/thing"), descriptor(b"second"), descriptor(b"third"))
    )
    assert manifest.select_layer(found, wanted).digest == Digest.of(expected)


def test_layers_that_are_not_there() -> None:
    """Acceptance D 3 and 5: the texts."""
    with pytest.raises(errors.ContentError) as caught:
        manifest.select_layer(read_manifest(image(descriptor())), "application/invalid.tar.gzip")
    assert str(caught.value) == (
        "failed to find layer with media type 'application/invalid.tar.gzip' in artifact, which "
        f"has '{DOCKER_LAYER}'"
    )
    with pytest.raises(errors.ContentError, match=r"^no layers found in artifact$"):
        manifest.select_layer(read_manifest(image()), "application/invalid.tar.gzip")
    with pytest.raises(errors.ContentError, match="in artifact, which has"):  # byte for byte
        manifest.select_layer(read_manifest(image(descriptor())), DOCKER_LAYER.upper())


@pytest.mark.parametrize(
    ("platforms", "wanted", "expected"),
    [
        pytest.param(["linux/arm64", "linux/amd64", "linux/amd64"], AMD64, 1, id="D6-first-match"),
        pytest.param(["linux/arm64", None], AMD64, 1, id="none-counts-as-linux-amd64"),
        pytest.param(["unknown/unknown", "linux/amd64"], AMD64, 1, id="attestations"),
        pytest.param(["linux/amd64/v3"], AMD64, 0, id="any-variant-serves-none"),
        pytest.param(
            ["linux/arm/v6", "linux/arm/v7"], Platform.parse("linux/arm/v7"), 1, id="variant"
        ),
        pytest.param(["linux/amd64", "linux/arm64"], Platform.parse("linux/arm64"), 1, id="flag"),
    ],
)
def test_the_child_is_the_first_for_the_platform(
    platforms: list[str | None], wanted: Platform, expected: int
) -> None:
    """Acceptance D 6, and ``--platform``."""
    children = [child(str(number).encode(), name) for number, name in enumerate(platforms)]
    found = manifest.select_child(read_index(index(*children)), wanted)
    assert found.digest == Digest.of(str(expected).encode())


def test_a_child_may_be_an_index_again() -> None:
    """Nested indexes are followed by whoever fetches."""
    nested = child(b"inner", None, manifest.OCI_INDEX)
    assert manifest.select_child(read_index(index(nested)), AMD64).is_index


@pytest.mark.parametrize("wanted", ["linux/amd64", "linux/arm/v7", "windows/amd64:10.0.1"])
def test_no_child_for_the_platform(wanted: str) -> None:
    """Acceptance D 6: the text names platform and reference."""
    found = read_index(index(child(b"x", "linux/s390x")))
    text = f"^no child with platform {wanted} in index ghcr.io/x/y:v1$"
    with pytest.raises(errors.ContentError, match=text):
        manifest.select_child(found, Platform.parse(wanted), where="ghcr.io/x/y:v1")


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows/amd64:10.0.17763.1"])
def test_platforms_are_printed_as_they_are_read(text: str) -> None:
    """Parse and ``str`` are a round trip."""
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v7"])
def test_a_platform_that_is_none_is_a_usage_error(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(errors.UsageError, match="must be in format 'os/arch"):
        Platform.parse(text)


def test_inline_data_is_used_only_if_it_matches() -> None:
    """Size and digest of ``data`` are checked; absent data is no error."""
    data = base64.b64encode(b"abc").decode()
    good, bare, lying, long = read_manifest(
        image(
            descriptor(b"abc", data=data),
            descriptor(b"abc"),
            descriptor(b"xyz", data=data),
            descriptor(b"ab", data=data),
        )
    ).layers
    assert good.inline() == b"abc"
    assert bare.inline() is None
    for wrong in (lying, long):
        with pytest.raises(errors.ContentError, match=r"^error verifying "):
            wrong.inline()
    assert "abc" not in repr(good).replace(str(good.digest), "")


@fuzz.counted()
@hypothesis.given(
    body=strategies.one_of(
        strategies.binary(),
        strategies.dictionaries(
            strategies.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "annotations"]
            ),
            strategies.recursive(
                strategies.one_of(strategies.none(), strategies.integers(), strategies.text()),
                lambda inner: strategies.one_of(
                    strategies.lists(inner, max_size=3),
                    strategies.dictionaries(
                        strategies.sampled_from(["mediaType", "size", "digest", "platform"]), inner
                    ),
                ),
                max_leaves=8,
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    media_type=strategies.sampled_from([*manifest.ACCEPT, "", "text/html"]),
)
def test_any_body_is_a_manifest_an_index_or_our_error(body: bytes, media_type: str) -> None:
    """Fuzz: bodies and content types."""
    with contextlib.suppress(errors.ContentError):
        found = manifest.parse(body, media_type=media_type)
        if isinstance(found, Index):
            manifest.select_child(found, AMD64)
        else:
            manifest.select_layer(found)
