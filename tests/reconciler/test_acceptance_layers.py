"""Acceptance cases D, E and F: which layer is taken, and when it is taken again."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ocisource.kube import patch
from ocisource.oci.grammar import manifest
from tests.reconciler import world as worlds
from tests.reconciler.world import World
from tests.simulators import registry as simulators

PULL_FAILED = "OCIArtifactPullFailed"
LAYER_FAILED = "OCIArtifactLayerOperationFailed"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
FIRST = worlds.layer({"first.yaml": b"first: 1\n"})
SECOND = worlds.layer({"second.yaml": b"second: 2\n", "foo.txt": b"foo\n"})
TAG = {"tag": "6.1.5"}
# One try is enough, and none is under way when the controller stops.
ONCE: dict[str, Any] = {"min_retry_delay": 3600.0, "max_retry_delay": 3600.0}


def _image(registry: simulators.Simulator, layers: Sequence[tuple[str, bytes]], *tags: str) -> str:
    """Store an image whose layers have media types of their own; its manifest's digest."""
    listed = [
        {
            "mediaType": media_type,
            "digest": registry.add_blob("podinfo", blob),
            "size": len(blob),
        }
        for media_type, blob in layers
    ]
    config = {"mediaType": manifest.FLUX_CONFIG, "digest": registry.add_blob("podinfo", b"{}")}
    body = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": config | {"size": 2},
        "layers": listed,
    }
    return registry.add_manifest(
        "podinfo", json.dumps(body).encode(), *tags, media_type=manifest.OCI_MANIFEST
    )


def _index(registry: simulators.Simulator, platform: str, child: str, *tags: str) -> str:
    """Store an index with one child for a platform."""
    system, _, architecture = platform.partition("/")
    _, body = registry.repository("podinfo").manifests[child]
    entry = {
        "mediaType": manifest.OCI_MANIFEST,
        "digest": child,
        "size": len(body),
        "platform": {"os": system, "architecture": architecture},
    }
    index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": [entry]}
    return registry.add_manifest(
        "podinfo", json.dumps(index).encode(), *tags, media_type=manifest.OCI_INDEX
    )


TWO_LAYERS = ((manifest.FLUX_CONTENT, FIRST), (DOCKER_LAYER, SECOND))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, {"first.yaml": b"first: 1\n"}, id="D1"),
        pytest.param(
            {"mediaType": DOCKER_LAYER},
            {"second.yaml": b"second: 2\n", "foo.txt": b"foo\n"},
            id="D2",
        ),
        pytest.param({"mediaType": "application/invalid.tar.gzip"}, None, id="D3"),
    ],
)
async def test_d_a_layer_is_chosen_by_its_media_type(
    recorded: World, selector: dict[str, str] | None, expected: Mapping[str, bytes] | None
) -> None:
    """The first layer, the first of the type, or a failure that names the type."""
    world = recorded
    async with simulators.Simulator() as registry, world.controller(**ONCE):
        _image(registry, TWO_LAYERS, "latest")
        more: dict[str, Any] = {} if selector is None else {"layerSelector": selector}
        await world.declare(url=f"oci://{registry.host}/podinfo", **more)
        if expected is not None:
            assert world.stored(await world.ready()) == expected
            return
        obj = await world.failed(LAYER_FAILED)
    assert worlds.state(obj)["FetchFailed"][2].startswith(
        "failed to find layer with media type 'application/invalid.tar.gzip' in artifact, which "
        "has 'application/"
    )


async def test_d4_a_copied_layer_is_stored_byte_for_byte(recorded: World) -> None:
    """Operation copy: digest and size are the layer's; ignore rules play no part."""
    world = recorded
    async with simulators.Simulator() as registry, world.controller(**ONCE):
        _image(registry, TWO_LAYERS, "latest")
        selector = {"mediaType": DOCKER_LAYER, "operation": "copy"}
        await world.declare(
            url=f"oci://{registry.host}/podinfo", layerSelector=selector, ignore="*.yaml"
        )
        obj = await world.ready()
    assert world.path(obj).read_bytes() == SECOND
    assert obj.status.artifact is not None
    assert obj.status.artifact.digest == simulators.digest_of(SECOND)
    assert world.stored(obj) == {"second.yaml": b"second: 2\n", "foo.txt": b"foo\n"}


async def test_d5_an_image_without_layers_fails(recorded: World) -> None:
    """The text says so."""
    async with simulators.Simulator() as registry, recorded.controller(**ONCE):
        _image(registry, (), "latest")
        await recorded.declare(url=f"oci://{registry.host}/podinfo")
        obj = await recorded.failed(LAYER_FAILED)
    expected = ("True", LAYER_FAILED, "no layers found in artifact")
    assert worlds.state(obj)["FetchFailed"] == expected


async def test_d6_an_index_leads_to_the_platforms_image(recorded: World) -> None:
    """The revision is the index's digest; without the platform's child the pull fails."""
    world = recorded
    async with simulators.Simulator() as registry, world.controller(**ONCE):
        child = _image(registry, TWO_LAYERS)
        index = _index(registry, "linux/amd64", child, "latest")
        await world.declare(url=f"oci://{registry.host}/podinfo")
        obj = await world.ready()
        assert obj.status.artifact is not None
        assert f"sha256:{obj.status.artifact.revision}" == index
        assert world.stored(obj) == {"first.yaml": b"first: 1\n"}
        _index(registry, "linux/arm64", child, "latest")
        await world.request("podinfo", "other index")
        failed = await world.failed(PULL_FAILED)
    message = worlds.state(failed)["FetchFailed"][2]
    assert message.startswith(f"failed to pull artifact from 'oci://{registry.host}/podinfo': ")
    assert "no child with platform linux/amd64 in index" in message


async def test_another_platform_builds_again_what_came_from_an_index(world: World) -> None:
    """A controller started with another --platform takes the other child; images are kept."""
    async with simulators.Simulator() as registry:
        amd = _image(registry, TWO_LAYERS)
        arm = _image(registry, TWO_LAYERS[1:])
        bodies = registry.repository("podinfo").manifests
        entries = [
            {
                "mediaType": manifest.OCI_MANIFEST,
                "digest": digest,
                "size": len(bodies[digest][1]),
                "platform": {"os": "linux", "architecture": architecture},
            }
            for digest, architecture in ((amd, "amd64"), (arm, "arm64"))
        ]
        index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries}
        registry.add_manifest(
            "podinfo", json.dumps(index).encode(), "latest", media_type=manifest.OCI_INDEX
        )
        _image(registry, TWO_LAYERS, "plain")
        async with world.controller():
            await world.declare(url=f"oci://{registry.host}/podinfo")
            await world.declare("plain", url=f"oci://{registry.host}/podinfo", ref={"tag": "plain"})
            before = await world.ready()
            assert world.stored(before) == {"first.yaml": b"first: 1\n"}
            plain = await world.ready("plain")
        async with world.controller(platform="linux/arm64"):
            after = await world.until(
                lambda o: worlds.is_ready(o) and _digest(o) != _digest(before)
            )
            await world.request("plain", "seen")
            seen = await world.until(
                lambda o: o.status.last_handled_reconcile_at == "seen", "plain"
            )
    assert "second.yaml" in world.stored(after)
    assert _digest(seen) == _digest(plain)


def _digest(obj: worlds.Object) -> str:
    return "" if obj.status.artifact is None else obj.status.artifact.digest


NO_SELECTOR: dict[str, Any] = {}
COPY = {"mediaType": DOCKER_LAYER, "operation": "copy"}
EXTRACT = {"mediaType": DOCKER_LAYER, "operation": "extract"}


@pytest.mark.parametrize(
    ("spec", "status", "is_pulled"),
    [
        pytest.param({}, {"artifact": None}, True, id="E1"),
        pytest.param({}, {}, False, id="E2"),
        pytest.param({}, {"observedIgnore": "aaa"}, True, id="E3"),
        pytest.param({"ignore": "aaa"}, {"observedIgnore": "aaa"}, False, id="E4"),
        pytest.param({"layerSelector": EXTRACT}, {"observedLayerSelector": None}, True, id="E5"),
        pytest.param(
            {"layerSelector": EXTRACT}, {"observedLayerSelector": EXTRACT}, False, id="E6"
        ),
        pytest.param({"layerSelector": EXTRACT}, {"observedLayerSelector": COPY}, True, id="E7"),
        pytest.param({}, {"url": "http://elsewhere/latest.tar.gz"}, False, id="F3"),
        pytest.param({"ignore": "aaa"}, {"observedIgnore": None}, True, id="F4"),
        pytest.param({"layerSelector": COPY}, {"observedLayerSelector": None}, True, id="F5"),
        pytest.param(
            {"layerSelector": COPY, "ignore": "aaa"},
            {"observedLayerSelector": COPY, "observedIgnore": "aaa"},
            False,
            id="F7",
        ),
    ],
)
async def test_e_the_observed_configuration_decides_on_a_rebuild(
    recorded: World, spec: dict[str, Any], status: dict[str, Any], *, is_pulled: bool
) -> None:
    """The same revision is pulled again only for another ignore or selector, or if it is gone."""
    world = recorded
    async with simulators.Simulator() as registry:
        _image(registry, TWO_LAYERS, "6.1.5")
        async with world.controller():
            await world.declare(url=f"oci://{registry.host}/podinfo", ref=TAG, **spec)
            before = await world.ready()
        made = await world.api.patch(
            world.resource,
            "podinfo",
            patch.merge({"status": status}),
            namespace=world.namespace,
            subresource="status",
        )
        asked = await world.request("podinfo", "again")
        with registry.watched() as seen:
            async with world.controller():
                after = await world.until(
                    lambda o: o.status.last_handled_reconcile_at == "again" and worlds.is_ready(o)
                )
    # What the test itself wrote is no state of the controller's.
    ours = {made.metadata.resource_version, asked.metadata.resource_version}
    world.history[:] = [o for o in world.history if o.metadata.resource_version not in ours]
    assert any("/blobs/" in each.path for each in seen) is is_pulled
    assert after.status.observed_ignore == spec.get("ignore")
    selector = after.status.observed_layer_selector
    assert (selector is None) is ("layerSelector" not in spec)
    if selector is not None:
        assert (selector.media_type, selector.operation) == tuple(spec["layerSelector"].values())
    assert _digest(after) == _digest(before)
    assert "ArtifactOutdated" not in worlds.state(after)
    assert worlds.state(after)["ArtifactInStorage"][1] == "Succeeded"
    if not is_pulled:
        assert after.status.artifact is not None
        assert before.status.artifact is not None
        assert after.status.artifact.last_update_time == before.status.artifact.last_update_time


async def test_f1_a_new_artifact_ends_being_outdated(recorded: World) -> None:
    """ArtifactInStorage is True, ArtifactOutdated gone, latest.tar.gz leads to the file."""
    world = recorded
    await world.push("podinfo", "latest", {"a.yaml": b"1"})
    async with world.controller():
        await world.declare()
        await world.ready()
        second = await world.push("podinfo", "latest", {"a.yaml": b"2"})
        await world.request("podinfo", "again")
        obj = await world.until(
            lambda o: (
                o.status.artifact is not None
                and o.status.artifact.revision == second.hex
                and worlds.is_ready(o)
            )
        )
    text = f"stored artifact for digest '{second.hex}'"
    assert worlds.state(obj)["ArtifactInStorage"] == ("True", "Succeeded", text)
    assert "ArtifactOutdated" not in worlds.state(obj)
    latest = world.path(obj).with_name("latest.tar.gz")
    assert latest.resolve() == world.path(obj).resolve()
    assert any("ArtifactOutdated" in worlds.state(seen) for seen in world.history)


async def test_f2_ignored_files_are_not_in_the_artifact(recorded: World) -> None:
    """The same layer with and without a rule gives different files."""
    world = recorded
    await world.push("podinfo", "latest", {"foo.txt": b"foo", "bar.txt": b"bar"})
    async with world.controller():
        await world.declare()
        await world.declare("ignoring", repository="podinfo", ignore="foo.txt")
        whole, part = await world.ready(), await world.ready("ignoring")
    assert set(world.stored(whole)) == {"foo.txt", "bar.txt"}
    assert set(world.stored(part)) == {"bar.txt"}
    assert _digest(whole) != _digest(part)


async def test_f6_the_observed_selector_of_a_copy_has_type_and_operation(recorded: World) -> None:
    """The layer is copied, and what was asked for is recorded."""
    world = recorded
    async with simulators.Simulator() as registry, world.controller():
        _image(registry, TWO_LAYERS, "latest")
        await world.declare(url=f"oci://{registry.host}/podinfo")
        await world.ready()
        await world.declare(url=f"oci://{registry.host}/podinfo", layerSelector=COPY)
        obj = await world.until(
            lambda o: o.status.observed_layer_selector is not None and worlds.is_ready(o)
        )
    selector = obj.status.observed_layer_selector
    assert selector is not None
    assert (selector.media_type, selector.operation) == (DOCKER_LAYER, "copy")
    assert world.path(obj).read_bytes() == SECOND
    assert tarfile.is_tarfile(world.path(obj))
