"""The shipped roles beside what the controller really asks for, as the server's audit log has it.

No rule is missing, and none is unused: a role with a verb less would be refused something, and one
with a verb more would show here.
"""

import http.server
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ocisource.cli.replicas import replica
from ocisource.manifests import load, render
from tests.e2e import cluster as clusters
from tests.parts import ports, processes

_PATIENCE = 60.0  # seconds for something that comes at once; a test does not hang without it

Right = tuple[str, str, str]  # group, resource or resource/subresource, verb

_ECR = "oci://123456789000.dkr.ecr.us-east-2.amazonaws.com/app"
# Where nobody answers, in place of a cloud.
_NO_CLOUD = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED": "true"}
_KINDS = {"ClusterRole", "Role"}


def granted(documents: Iterable[load.Document]) -> set[Right]:
    """What the roles of the controller allow; those for people are not its own."""
    return {
        (group, resource, verb)
        for document in documents
        if document["kind"] in _KINDS
        and not any("aggregate-to" in label for label in document["metadata"]["labels"])
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(records: Iterable[dict[str, Any]], *, decision: str) -> set[Right]:
    """What was asked for and allowed (or forbidden); not what everybody may ask for."""
    found = set()
    for each in records:
        what, notes = each.get("objectRef"), each["annotations"]
        if what is None or notes["authorization.k8s.io/decision"] != decision:
            continue
        name = "/".join(filter(None, (what["resource"], what.get("subresource", ""))))
        found.add((what.get("apiGroup", ""), name, each["verb"]))
    return found


def write(cluster: clusters.Cluster, kind: str, document: dict[str, Any]) -> None:
    """Create something in the namespace."""
    path = f"/api/v1/namespaces/{cluster.namespace}/{kind}"
    status, answer = cluster.plane.request("POST", path, {"apiVersion": "v1"} | document)
    assert status == 201, answer


class Slow(http.server.BaseHTTPRequestHandler):
    """A registry that has nothing, and says so once it is let."""

    is_asked = threading.Event()
    is_let = threading.Event()

    def do_HEAD(self) -> None:
        """Wait, then answer 404."""
        self.is_asked.set()
        self.is_let.wait(_PATIENCE)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Print nothing."""


def conflict(cluster: clusters.Cluster, labels: dict[str, str]) -> None:
    """Change an object in the middle of a run: its status is then written on a newer version."""
    Slow.is_asked.clear()
    Slow.is_let.clear()
    with http.server.ThreadingHTTPServer((ports.LOOPBACK, 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            host = f"{ports.LOOPBACK}:{server.server_port}"
            cluster.declare("slow", labels=labels, url=f"oci://{host}/app")
            assert Slow.is_asked.wait(_PATIENCE)
            cluster.change("slow", {"metadata": {"annotations": {"test/changed": "yes"}}})
            Slow.is_let.set()
            cluster.until(lambda obj: bool(clusters.condition(obj, "FetchFailed")), "slow")
        finally:
            Slow.is_let.set()
            server.shutdown()
            thread.join()


def lead_a_full_life(cluster: clusters.Cluster, flags: Iterable[str]) -> None:
    """Let a leader do everything it ever does, beside a standby."""
    label = f"test/rights={cluster.namespace}"
    labels = {"test/rights": cluster.namespace}
    mine = (*clusters.LEASE, f"--watch-label-selector={label}", *flags)
    name = f"{cluster.namespace}/app"
    cluster.push(name, "latest", {"a.yaml": b"a: 1\n"})
    login = {"metadata": {"name": "login"}, "type": "kubernetes.io/dockerconfigjson"}
    write(cluster, "secrets", login | {"stringData": {".dockerconfigjson": '{"auths": {}}'}})
    secrets = [{"name": "login"}]
    write(
        cluster,
        "serviceaccounts",
        {"metadata": {"name": "puller"}, "imagePullSecrets": secrets},
    )
    role = "arn:aws:iam::111122223333:role/reader"
    annotations = {"eks.amazonaws.com/role-arn": role}
    write(
        cluster,
        "serviceaccounts",
        {"metadata": {"name": "cloud", "annotations": annotations}},
    )
    first = cluster.replica("first", *mine, environ=_NO_CLOUD)
    with first as leader, cluster.replica("second", *mine) as standby:
        leader.lead()
        processes.poll(lambda: standby.readiness()[1].startswith("standby"), what="a standby")
        cluster.declare(
            "app",
            labels=labels,
            repository=name,
            serviceAccountName="puller",
            secretRef={"name": "login"},
        )
        cluster.until(clusters.is_ready, "app", seen_by=leader)
        # The same failure, told twice: one event, patched.
        cluster.declare("gone", labels=labels, repository=f"{cluster.namespace}/gone")
        for token in ("one", "two"):
            cluster.request("gone", token)
            cluster.until(
                lambda obj, at=token: obj["status"].get("lastHandledReconcileAt") == at,  # type: ignore[misc]
                "gone",
                seen_by=leader,
            )
        cluster.declare(
            "cloud", labels=labels, url=_ECR, provider="aws", serviceAccountName="cloud"
        )
        cluster.until(
            lambda obj: any(clusters.condition(obj, each) for each in ("FetchFailed", "Stalled")),
            "cloud",
        )
        conflict(cluster, labels)
        cluster.delete("app")
        assert leader.process.stop() == 0
    assert not cluster.lease(replica.lease_name(label)).get("holderIdentity")


@pytest.mark.parametrize("is_confined", [False, True], ids=["every-namespace", "one-namespace"])
def test_every_right_is_used_and_none_is_missing(
    new_cluster: Callable[..., clusters.Cluster], is_confined: bool
) -> None:
    """Read, patch, events, Lease, Secrets, tokens: what the roles say is what was asked for."""
    cluster = new_cluster(is_confined=is_confined, has_workload_identity=True)
    scope = f"--watch-all-namespaces={str(not is_confined).lower()}"
    gate = "--feature-gates=ObjectLevelWorkloadIdentity=true"
    lead_a_full_life(cluster, (scope, gate))
    records = cluster.plane.audited(cluster.user())
    assert asked(records, decision="allow") == granted(render.render(cluster.options))
    # In one namespace the definition may not be read, and the OpenAPI document is asked instead.
    definition = ("apiextensions.k8s.io", "customresourcedefinitions", "get")
    assert asked(records, decision="forbid") == ({definition} if is_confined else set())


def test_without_watched_secrets_their_lists_are_never_asked_for(
    cluster: clusters.Cluster,
) -> None:
    """`--watch-secrets=false` needs neither list nor watch rights on them, as the manifest says."""
    lead_a_full_life(cluster, ("--watch-secrets=false",))
    rights = asked(cluster.plane.audited(cluster.user()), decision="allow")
    for kind in ("secrets", "serviceaccounts"):
        assert {verb for _, resource, verb in rights if resource == kind} == {"get"}
