"""The shipped Deployment's container, run as a kubelet would: in-cluster configuration for real.

A mount namespace has the account's folder where every Pod has it, a root that is read-only, and no
capability; command, arguments, environment and probes are those of the manifest.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import parser

from ocisource.cli.replicas import replica
from ocisource.manifests import load, render
from tests.e2e import cluster as clusters
from tests.parts import commands, pod, ports, processes

_LABEL = "test/pod"


@dataclasses.dataclass(slots=True)
class Container:
    """A running container of the Deployment, reached by its named ports."""

    process: processes.Process
    spec: dict[str, Any]
    ports: dict[str, int]

    def probe(self, name: str) -> int:
        """The status of a probe as the manifest says it, 0 without an answer."""
        asked = self.spec[name]["httpGet"]
        return clusters.fetch(self.ports[asked["port"]], asked["path"])[0]

    def artifact(self, path: str) -> tuple[int, bytes]:
        """A path of the artifact server."""
        return clusters.fetch(self.ports["http"], f"/{path}")


def container_spec(cluster: clusters.Cluster) -> dict[str, Any]:
    """The container of a shard of this test's own, so that other tests' objects are left alone."""
    options = dataclasses.replace(
        cluster.options, watch_label_selector=f"{_LABEL}={cluster.namespace}"
    )
    (deployment,) = (each for each in render.render(options) if each["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    spec: dict[str, Any] = found
    return spec


@contextlib.contextmanager
def running(
    cluster: clusters.Cluster, account: pod.Account, data: pathlib.Path
) -> Iterator[Container]:
    """Run the container with its data in ``data``; ends it."""
    spec = container_spec(cluster)
    temporary = cluster.folder / "tmp"
    for folder in (data, temporary):
        folder.mkdir(exist_ok=True)
    named = dict(zip(("http", "http-prom", "healthz"), ports.free(3), strict=True))
    words = [each.replace("$(RUNTIME_NAMESPACE)", cluster.namespace) for each in spec["args"]]
    address = urllib.parse.urlsplit(cluster.plane.url)
    process = processes.start(
        pod.command(
            [
                *(sys.executable, "-m", "ocisource", *words),
                # Last words win: what a cluster gives each Pod for itself, the machine must share.
                f"--storage-path={data}",
                f"--storage-addr={ports.LOOPBACK}:{named['http']}",
                f"--metrics-addr={ports.LOOPBACK}:{named['http-prom']}",
                f"--health-addr={ports.LOOPBACK}:{named['healthz']}",
                *clusters.LEASE[1:],
            ],
            account=account.folder,
            writable=[data, temporary],
        ),
        log=cluster.folder / "container.log",
        is_ready=lambda: ports.is_listening(named["healthz"]),
        environ={
            "PATH": commands.clean_environ(temporary)["PATH"],
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RUNTIME_NAMESPACE": cluster.namespace,
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
        },
        folder=pathlib.Path("/"),
    )
    try:
        yield Container(process, spec, named)
    finally:
        process.stop()


def series_of(container: Container) -> set[str]:
    """The names of the series that a scrape finds a value of."""
    status, body = clusters.fetch(container.ports["http-prom"], "/metrics")
    assert status == 200
    families = parser.text_string_to_metric_families(body.decode())
    return {sample.name for family in families for sample in family.samples}


def series_asked_for() -> set[str]:
    """Those that the shipped dashboard draws; a panel of one that is missing says "No data"."""
    dashboard = json.loads(load.text("monitoring/dashboard.json"))
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    return {name for each in targets for name in re.findall(r"[a-z_]+(?=\{)", each["expr"])}


def pods_seen(cluster: clusters.Cluster) -> list[str]:
    """By which Pods' tokens the account asked the server for something, in order."""
    extra = "authentication.kubernetes.io/pod-name"
    records = cluster.plane.audited(cluster.user())
    return [each["user"].get("extra", {}).get(extra, [""])[0] for each in records]


def pod_spec() -> dict[str, Any]:
    """The least that makes a Pod of the shipped account."""
    containers = [{"name": "manager", "image": "ocisource"}]
    return {"serviceAccountName": clusters.ACCOUNT, "containers": containers}


def account_of(cluster: clusters.Cluster) -> pod.Account:
    """The folder that is mounted into the Pod, still empty."""
    authority = cluster.plane.ca_file.read_bytes()
    return pod.Account(cluster.folder / "account", authority, cluster.namespace)


def test_the_deployment_runs_in_a_pod_and_goes_on_with_a_renewed_token(
    cluster: clusters.Cluster,
) -> None:
    """Namespace, CA and token come from the mounted folder; the folder is replaced as we run."""
    pod.require()
    first, revoke = cluster.bound_token("Pod", "before", spec=pod_spec())
    second, _ = cluster.bound_token("Pod", "after", spec=pod_spec())
    account = account_of(cluster)
    account.write(first)
    name = f"{cluster.namespace}/app"
    cluster.push(name, "latest", {"a.yaml": b"a: 1\n"})
    labels = {_LABEL: cluster.namespace}
    with running(cluster, account, cluster.folder / "data") as container:
        assert container.probe("livenessProbe") == 200
        processes.poll(lambda: container.probe("readinessProbe") == 200, what="the leader")
        cluster.declare("app", labels=labels, repository=name)
        obj = cluster.until(clusters.is_ready, "app")
        host = f"source-controller.{cluster.namespace}.svc.cluster.local."
        assert obj["status"]["artifact"]["url"].startswith(f"http://{host}/ocirepository/")
        assert container.artifact(obj["status"]["artifact"]["path"])[0] == 200
        assert series_asked_for() <= series_of(container)
        assert set(pods_seen(cluster)) == {"before"}

        account.write(second)
        revoke()
        processes.poll(lambda: "after" in pods_seen(cluster), what="the renewed token")
        newest = cluster.push(name, "latest", {"a.yaml": b"a: 2\n"})
        cluster.request("app", "renewed")
        cluster.until(lambda found: found["status"]["artifact"]["revision"] == newest.hex, "app")
        assert container.process.stop() == 0
        log = container.process.log_text()
    lease = replica.lease_name(f"{_LABEL}={cluster.namespace}")
    assert not cluster.lease(lease).get("holderIdentity")
    assert "starting manager" in log
    for unwanted in (first, second, "Traceback", "Read-only file system"):
        assert unwanted not in log


def test_a_pod_without_its_account_says_what_is_missing(cluster: clusters.Cluster) -> None:
    """`automountServiceAccountToken: false` is told in one line, by the path of the token."""
    pod.require()
    account = account_of(cluster)
    account.folder.mkdir()
    started = running(cluster, account, cluster.folder / "data")
    with pytest.raises(processes.StartError) as caught, started:
        pass
    assert f"✗ unable to read {pod.MOUNTED}/token: No such file or directory" in str(caught.value)
    assert "Traceback" not in str(caught.value)
