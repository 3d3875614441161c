"""A spec as values, or the stalling reason why it cannot be used."""

import hashlib

import pytest

from ocisource.api import meta, ocirepository
from ocisource.oci.grammar import manifest
from ocisource.reconciler import declared, reasons, steps

URL = "oci://ghcr.io/stefanprodan/manifests/podinfo"
Selector = ocirepository.LayerSelector


def _read(**fields: object) -> declared.Declared:
    given: dict[str, object] = {"url": URL, "interval": "5m"} | fields
    return declared.read(
        ocirepository.Spec(**given),  # type: ignore[arg-type]
        platform=manifest.Platform.parse("linux/amd64"),
    )


def _refusal(**fields: object) -> steps.StepFailedError:
    with pytest.raises(steps.StepFailedError) as caught:
        _read(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m0s", 300.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("1000000000ns", 1.0), ("1500000µs", 1.5)],
)
def test_any_go_duration_is_an_interval(text: str, seconds: float) -> None:
    """Also the units that later schemas dropped."""
    assert _read(interval=text).interval == seconds


@pytest.mark.parametrize("text", ["999ms", "0s", "-5m", "5", "", "five"])
def test_an_unusable_interval_stalls(text: str) -> None:
    """Too short, negative, or no duration: the message names the field."""
    failure = _refusal(interval=text)
    assert failure.is_stalling
    assert failure.reason == reasons.SPEC_INVALID
    assert failure.message.startswith("spec.interval ")


@pytest.mark.parametrize("text", ["0s", "-1s", "soon"])
def test_an_unusable_timeout_stalls(text: str) -> None:
    """A timeout must be above 0."""
    failure = _refusal(timeout=text)
    assert failure.is_stalling
    assert failure.message.startswith("spec.timeout ")


def test_a10_a_url_with_a_tag_stalls_as_invalid() -> None:
    """The texts of the newest parser."""
    failure = _refusal(url="oci://ghcr.io/test/test:v1")
    assert failure.is_stalling
    assert failure.reason == "URLInvalid"
    assert failure.condition == "FetchFailed"
    assert failure.message.startswith("URL validation failed for 'oci://ghcr.io/test/test:v1': ")


def test_verify_is_refused_rather_than_ignored() -> None:
    """Signatures that nobody checks must not look checked."""
    failure = _refusal(verify={"provider": "cosign"})
    assert failure.is_stalling
    assert failure.reason == reasons.NOT_SUPPORTED
    assert "spec.verify is not supported yet" in failure.message


def test_reference_and_selector_are_carried_over() -> None:
    """Every field of ref and layerSelector reaches the OCI wing."""
    want = _read(
        ref=ocirepository.Ref(tag="t", semver="1.x", semver_filter="f", digest="d"),
        layer_selector=Selector(media_type="m", operation="copy"),
        ignore="x",
    ).wanted
    assert (want.tag, want.semver, want.semver_filter, want.digest) == ("t", "1.x", "f", "d")
    assert (want.media_type, want.is_copied, want.ignore) == ("m", True, "x")


@pytest.mark.parametrize(
    ("spec", "status", "is_changed"),
    [
        ({}, {}, False),
        ({"ignore": "a"}, {}, True),
        ({"ignore": ""}, {}, True),
        ({"ignore": "a"}, {"observed_ignore": "a"}, False),
        ({"ignore": "a"}, {"observed_ignore": "b"}, True),
        ({}, {"observed_ignore": "aaa"}, True),
        ({"layer_selector": Selector()}, {}, True),
        ({"layer_selector": Selector(media_type="m")}, {}, True),
        (
            {"layer_selector": Selector(media_type="m")},
            {"observed_layer_selector": Selector(media_type="m")},
            False,
        ),
        (
            {"layer_selector": Selector(media_type="m")},
            {"observed_layer_selector": Selector(media_type="n")},
            True,
        ),
        (
            {"layer_selector": Selector(operation="copy")},
            {"observed_layer_selector": Selector(operation="extract")},
            True,
        ),
        (
            {"layer_selector": Selector(operation="extract")},
            {"observed_layer_selector": Selector()},
            True,
        ),
        (
            {"ignore": "a", "layer_selector": Selector(media_type="m")},
            {"observed_ignore": "a", "observed_layer_selector": Selector(media_type="m")},
            False,
        ),
    ],
)
def test_e_content_configuration_decides_on_a_rebuild(
    spec: dict[str, object], status: dict[str, object], is_changed: bool
) -> None:
    """Unset and empty differ, and so do an operation left out and one spelled out."""
    obj = ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(),
        spec=ocirepository.Spec(**spec),  # type: ignore[arg-type]
        status=ocirepository.Status(**status),  # type: ignore[arg-type]
    )
    assert declared.is_content_config_changed(obj) is is_changed


@pytest.mark.parametrize(
    ("ignore", "selector", "text"),
    [
        (None, None, ""),
        ("a", None, "a"),
        ("a", Selector(), "aextract"),
        (None, Selector(media_type="m", operation="copy"), "mcopy"),
    ],
)
def test_content_config_checksum_follows_the_formula(
    ignore: str | None, selector: Selector | None, text: str
) -> None:
    """The bytes of ignore, media type and effective operation, without a separator."""
    spec = ocirepository.Spec(ignore=ignore, layer_selector=selector)
    expected = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert declared.content_config_checksum(spec) == expected
