"""Moving between Flux's source-controller and this one, with Flux's own definition installed."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ocisource.api import ocirepository
from ocisource.manifests import load
from tests.e2e import cluster as clusters
from tests.parts import kubernetes, processes

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# What Flux's definitions lack of ours, and what they ask for beyond it.
_LACKING: dict[str, tuple[list[str], list[str]]] = {
    "v1": (["contentConfigChecksum"], ["checksum"]),
    "v1beta2": ([], ["checksum"]),
}
_REQUIRED = {
    "v1": ["digest", "lastUpdateTime", "path", "revision", "url"],
    "v1beta2": ["lastUpdateTime", "path", "revision", "url"],
}


def definition(version: str) -> dict[str, Any]:
    """Flux's definition as far as the status goes; ``version`` is the only one it serves."""
    made = copy.deepcopy(load.crd())
    for each in made["spec"]["versions"]:
        each["served"] = each["storage"] = each["name"] == version
        status = each["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        of_status, of_artifact = _LACKING[version]
        for name in of_status:
            del status[name]
        for name in of_artifact:
            del status["artifact"]["properties"][name]
        status["artifact"]["required"] = _REQUIRED[version]
    return made


def replace_definition(plane: kubernetes.ControlPlane, document: dict[str, Any]) -> None:
    """Replace the installed definition, and wait until the server goes by the new one."""
    path = f"{_DEFINITIONS}/{document['metadata']['name']}"
    _, found = plane.request("GET", path)
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    document = copy.deepcopy(document)
    document["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    status, answer = plane.request("PUT", path, document)
    assert status == 200, answer
    for each in document["spec"]["versions"]:
        resource = f"/apis/{ocirepository.GROUP}/{each['name']}/{ocirepository.PLURAL}"
        wanted = 200 if each["served"] else 404
        processes.poll(
            lambda at=resource, code=wanted: plane.request("GET", at)[0] == code,  # type: ignore[misc]
            what=f"{resource} to answer {wanted}",
        )


@pytest.fixture(params=["v1", "v1beta2"])
def flux_version(
    request: pytest.FixtureRequest, own_plane: kubernetes.ControlPlane
) -> Iterator[str]:
    """Flux's own definition in place of the shipped one; the version it serves."""
    replace_definition(own_plane, definition(request.param))
    yield request.param
    replace_definition(own_plane, load.crd())


def as_flux_left_it(cluster: clusters.Cluster, name: str, revision: str) -> dict[str, Any]:
    """A status of Flux's controller, whose file is in Flux's store."""
    path = f"ocirepository/{cluster.namespace}/{name}/{revision.partition('@')[2]}.tar.gz"
    message = f"stored artifact for digest '{revision}'"
    return {
        "observedGeneration": 1,
        "observedIgnore": "*.md",
        "url": f"{clusters.ADVERTISED}/ocirepository/{cluster.namespace}/{name}/latest.tar.gz",
        "artifact": {
            "path": path,
            "url": f"{clusters.ADVERTISED}/{path}",
            "revision": revision,
            "digest": "sha256:" + "1" * 64,
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "size": 100,
        },
        "conditions": [
            {
                "type": type_,
                "status": "True",
                "reason": "Succeeded",
                "message": message,
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for type_ in ("Ready", "ArtifactInStorage")
        ],
    }


def test_an_object_of_flux_is_adopted_without_news_and_then_left_alone(
    new_cluster: Callable[..., clusters.Cluster], flux_version: str
) -> None:
    """Same revision, same content configuration: no NewArtifact, and no write at each later run.

    What is written fits Flux's definition, so Flux can take the object back.
    """
    cluster = new_cluster()
    cluster.version = flux_version
    repository = f"{cluster.namespace}/app"
    digest = cluster.push(repository, "latest", {"a.yaml": b"a: 1\n", "a.md": b"a"})
    revision = f"latest@{digest}"
    cluster.declare("app", repository=repository, ignore="*.md")
    cluster.change("app", {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}})
    cluster.change(
        "app", {"status": as_flux_left_it(cluster, "app", revision)}, subresource="status"
    )
    with _replica(cluster, "first") as first:
        obj = cluster.until(
            lambda found: (
                clusters.is_ready(found)
                and found["status"]["artifact"]["digest"] != "sha256:" + "1" * 64
            ),
            "app",
            seen_by=first,
        )
        assert clusters.is_served(first, obj)
        assert first.process.stop() == 0
    artifact = obj["status"]["artifact"]
    assert artifact["revision"] == revision
    assert "checksum" not in artifact
    ready = clusters.condition(obj, "Ready")
    assert ready is not None
    assert ready["message"] == f"stored artifact for digest '{revision}'"
    assert obj["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
    assert "NewArtifact" not in cluster.event_reasons("app")

    exchanged = len(cluster.registry.exchanges())
    with _replica(cluster, "first") as again:
        processes.poll(
            lambda: any(
                f"/{repository}/" in each.path for each in cluster.registry.exchanges()[exchanged:]
            ),
            what="a run",
        )
        assert again.process.stop() == 0  # what is in work ends first
    assert cluster.get("app")["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


@contextlib.contextmanager
def _replica(cluster: clusters.Cluster, name: str) -> Iterator[clusters.Replica]:
    with cluster.replica(name, "--revision-format=tag@digest") as replica:
        replica.lead()
        yield replica
