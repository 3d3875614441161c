"""Moving between Flux's source-controller and this one, with Flux's own definition installed."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ocisource.api import ocirepository
from ocisource.manifests import load
from tests.e2e import cluster as clusters
from tests.manifests import flux
from tests.parts import kubernetes, processes

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_UNKNOWN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def replace_definition(plane: kubernetes.ControlPlane, document: dict[str, Any]) -> None:
    """Replace the installed definition, and wait until the server goes by the new one."""
    path = f"{_DEFINITIONS}/{document['metadata']['name']}"
    _, found = plane.request("GET", path)
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    document = copy.deepcopy(document)
    document["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    # A version that objects were once stored in cannot leave the list; it is served no more.
    status: Any = found["status"]
    named = {each["name"] for each in document["spec"]["versions"]}
    document["spec"]["versions"] += [
        {"name": each, "served": False, "storage": False, "schema": {"openAPIV3Schema": _UNKNOWN}}
        for each in status["storedVersions"]
        if each not in named
    ]
    code, answer = plane.request("PUT", path, document)
    assert code == 200, answer
    for each in document["spec"]["versions"]:
        resource = f"/apis/{ocirepository.GROUP}/{each['name']}/{ocirepository.PLURAL}"
        wanted = 200 if each["served"] else 404
        processes.poll(
            lambda at=resource, code=wanted: plane.request("GET", at)[0] == code,  # type: ignore[misc]
            what=f"{resource} to answer {wanted}",
        )


@pytest.fixture
def install_definition(
    own_plane: kubernetes.ControlPlane,
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Put a definition of Flux's in place of the shipped one, until the test ends."""
    yield lambda document: replace_definition(own_plane, document)
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


@pytest.mark.parametrize(
    ("release", "version"),
    [("v1.5", "v1beta2"), ("v1.6", "v1beta2"), ("v1.6", "v1"), ("v1.9", "v1")],
)
def test_an_object_of_flux_is_adopted_without_news_and_then_left_alone(
    cluster: clusters.Cluster,
    install_definition: Callable[[dict[str, Any]], None],
    release: str,
    version: str,
) -> None:
    """Same revision, same content configuration: no NewArtifact, and no write at a later run.

    What is written fits Flux's definition, so Flux can take the object back.
    """
    install_definition(flux.RELEASES[release])
    cluster.version = version
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

    _runs_without_a_trace(cluster, obj)


def test_the_first_definition_of_flux_keeps_less_and_still_nothing_is_made_twice(
    cluster: clusters.Cluster, install_definition: Callable[[dict[str, Any]], None]
) -> None:
    """Where the observed ignore rules are not kept, they do not seem to change at each run."""
    install_definition(flux.V0_29)
    cluster.version = "v1beta2"
    repository = f"{cluster.namespace}/app"
    cluster.push(repository, "latest", {"a.yaml": b"a: 1\n", "a.md": b"a"})
    cluster.declare("app", repository=repository, ignore="*.md")
    with _replica(cluster, "first") as first:
        obj = cluster.until(clusters.is_ready, "app", seen_by=first)
        assert first.process.stop() == 0
    status = obj["status"]
    assert "observedIgnore" not in status
    assert "digest" not in status["artifact"]
    _runs_without_a_trace(cluster, obj)
    assert status["artifact"]["size"] > 0
    # A new rule is a new generation, and that is when it counts.
    cluster.change("app", {"spec": {"ignore": "*.txt"}})
    with _replica(cluster, "first") as again:
        new = cluster.until(clusters.is_ready, "app", seen_by=again)
    assert new["status"]["artifact"]["checksum"] != status["artifact"]["checksum"]


def test_a_version_that_is_served_no_more_ends_the_process_and_the_next_goes_on(
    cluster: clusters.Cluster, install_definition: Callable[[dict[str, Any]], None]
) -> None:
    """Flux was upgraded meanwhile: one line, and what starts again speaks the new version."""
    install_definition(flux.V1_5)
    cluster.version = "v1beta2"
    repository = f"{cluster.namespace}/app"
    cluster.push(repository, "latest", {"a.yaml": b"a: 1\n"})
    cluster.declare("app", repository=repository)
    with _replica(cluster, "first") as first:
        before = cluster.until(clusters.is_ready, "app", seen_by=first)
        install_definition(flux.V1_9)
        assert first.process.wait(seconds=60) == 1
        assert (
            "the cluster serves ocirepositories in v1 and no longer in v1beta2: start again to go "
            "on with v1"
        ) in first.log()
        assert "Traceback" not in first.log()
    cluster.version = "v1"
    cluster.push(repository, "latest", {"a.yaml": b"a: 2\n"})
    with _replica(cluster, "first") as again:
        cluster.request("app", "again")
        cluster.until(
            lambda obj: (
                clusters.is_ready(obj)
                and obj["status"]["artifact"]["revision"]
                != before["status"]["artifact"]["revision"]
            ),
            "app",
            seen_by=again,
        )


def test_what_the_first_definition_lets_pass_stalls_with_a_reason(
    cluster: clusters.Cluster, install_definition: Callable[[dict[str, Any]], None]
) -> None:
    """It knows no pattern for durations: the controller then says what is wrong."""
    install_definition(flux.V0_29)
    cluster.version = "v1beta2"
    cluster.declare("app", interval="soon")
    with _replica(cluster, "first") as first:
        obj = cluster.until(lambda found: bool(clusters.condition(found, "Stalled")), "app")
        assert first.process.is_running
    stalled = clusters.condition(obj, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "SpecInvalid"
    assert stalled["message"].startswith("spec.interval is not a duration")


def _runs_without_a_trace(cluster: clusters.Cluster, obj: clusters.Object) -> None:
    """A run that finds nothing new fetches nothing and writes nothing."""
    with _replica(cluster, "first") as again:
        processes.poll(
            lambda: again.metric("controller_runtime_reconcile_total") >= 1, what="a run"
        )
        assert again.metric("controller_runtime_reconcile_errors_total") == 0
        # A server takes a patch of what it does not keep for no change, but it costs a request.
        assert again.metric("rest_client_requests_total", method="PATCH") == 0
        assert again.process.stop() == 0
    assert cluster.get("app")["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


@contextlib.contextmanager
def _replica(cluster: clusters.Cluster, name: str) -> Iterator[clusters.Replica]:
    with cluster.replica(name, "--revision-format=tag@digest") as replica:
        replica.lead()
        yield replica
