"""Flux's source-controller in the same namespace: the Lease lets one of the two work.

Flux's side is played by its writes to the Lease, which are client-go's: the identity is the Pod's
name and a UUID, times have microseconds, a release leaves an empty holder and a second.
"""

import contextlib
import datetime
import uuid
from typing import Any

from ocisource.cli.replicas import replica
from tests.e2e import cluster as clusters
from tests.parts import processes

_DURATION = 35  # seconds, Flux's default; no test waits for its end


def now() -> str:
    """The time as client-go writes it."""
    return datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Flux:
    """A candidate of Flux's for one Lease."""

    def __init__(self, cluster: clusters.Cluster, selector: str = "") -> None:
        self.identity = f"source-controller-6c5f4b7d9-x2k4q_{uuid.uuid4()}"
        self._plane = cluster.plane
        self._name = replica.lease_name(selector)
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"

    def lead(self) -> None:
        """Make the Lease, as the first candidate does."""
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": _DURATION,
                "acquireTime": now(),
                "renewTime": now(),
                "leaseTransitions": 0,
            },
        }
        status, answer = self._plane.request("POST", self._path, document)
        assert status == 201, answer

    def release(self) -> None:
        """Give the Lease up, as at a scale to 0."""
        self._write({"holderIdentity": "", "leaseDurationSeconds": 1})

    def take(self, found: dict[str, Any]) -> None:
        """Become the leader where nobody is, from the spec that was read."""
        assert not found.get("holderIdentity")
        transitions = found["leaseTransitions"] + 1
        self._write(
            {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": _DURATION,
                "leaseTransitions": transitions,
            }
        )

    def _write(self, spec: dict[str, Any]) -> None:
        status, answer = self._plane.request(
            "PATCH",
            f"{self._path}/{self._name}",
            {"spec": spec | {"acquireTime": now(), "renewTime": now()}},
            content_type="application/merge-patch+json",
        )
        assert status == 200, answer


def test_while_flux_leads_we_stand_by_and_say_whom_we_wait_for(
    cluster: clusters.Cluster, stack: contextlib.ExitStack
) -> None:
    """Nothing is touched or served until Flux gives the Lease up; then we work."""
    flux = Flux(cluster)
    flux.lead()
    cluster.push(f"{cluster.namespace}/app", "latest", {"a.yaml": b"a: 1\n"})
    cluster.declare("app", repository=f"{cluster.namespace}/app")
    before = cluster.get("app")
    ours = stack.enter_context(cluster.replica("ours", *clusters.LEASE))
    standby = (503, f"standby: lease held by {flux.identity}")
    processes.poll(lambda: ours.readiness() == standby, what=f"a standby:\n{ours.log()}")
    assert clusters.fetch(ours.health_port, "/healthz")[0] == 200
    assert ours.artifact("")[0] == 0  # what the Deployment's readiness probe asks
    assert ours.metric("leader_election_master_status") == 0
    assert list(ours.storage.iterdir()) == []
    assert cluster.get("app") == before
    assert cluster.lease(replica.LEASE_NAME)["holderIdentity"] == flux.identity

    flux.release()
    ours.lead()
    held = cluster.lease(replica.LEASE_NAME)
    assert held["holderIdentity"] != flux.identity
    assert held["leaseTransitions"] == 1
    cluster.until(clusters.is_ready, "app", seen_by=ours)


def test_flux_takes_over_at_once_when_we_are_scaled_down(cluster: clusters.Cluster) -> None:
    """What we leave in the Lease is what client-go reads as released, object and finalizer stay."""
    flux = Flux(cluster)
    cluster.push(f"{cluster.namespace}/app", "latest", {"a.yaml": b"a: 1\n"})
    with cluster.replica("ours", *clusters.LEASE, "--revision-format=tag@digest") as ours:
        ours.lead()
        cluster.declare("app", repository=f"{cluster.namespace}/app")
        before = cluster.until(clusters.is_ready, "app", seen_by=ours)
        assert ours.process.stop() == 0
    released = cluster.lease(replica.LEASE_NAME)
    assert released["leaseDurationSeconds"] == 1
    flux.take(released)
    # A replica that comes back finds Flux at work.
    with cluster.replica("ours", *clusters.LEASE) as again:
        processes.poll(lambda: flux.identity in again.readiness()[1], what="a standby")
        assert cluster.get("app") == before
    assert before["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
    assert before["status"]["artifact"]["revision"].startswith("latest@sha256:")


def test_a_shard_of_ours_works_beside_flux(cluster: clusters.Cluster) -> None:
    """Another selector is another Lease: both lead, each with its own objects."""
    flux = Flux(cluster, "!ocisource")
    flux.lead()
    assert replica.lease_name("!ocisource") != replica.lease_name("ocisource")
    cluster.push(cluster.namespace, "latest", {"a.yaml": b"a: 1\n"})
    cluster.declare("theirs", repository=cluster.namespace)
    cluster.declare("ours", repository=cluster.namespace, labels={"ocisource": ""})
    selector = "--watch-label-selector=ocisource"
    with cluster.replica("ours", *clusters.LEASE, selector) as ours:
        ours.lead()
        cluster.until(clusters.is_ready, "ours", seen_by=ours)
        assert cluster.get("theirs")["status"] == {"observedGeneration": -1}
        assert "finalizers" not in cluster.get("theirs")["metadata"]
        # Flux's shard lets the object go by its label alone.
        cluster.change("theirs", {"metadata": {"labels": {"ocisource": ""}}})
        cluster.until(clusters.is_ready, "theirs", seen_by=ours)
    held = cluster.lease(replica.lease_name("!ocisource"))
    assert held["holderIdentity"] == flux.identity
