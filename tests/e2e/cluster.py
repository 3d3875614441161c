"""A namespace of a real cluster with the shipped roles in it, and replicas as real processes.

A replica logs in as the shipped ServiceAccount, with a token the API server issued for it; nothing
but the shipped roles is bound to that. The tests themselves act as the administrator.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import parser

from ocisource import digest as digests
from ocisource.api import ocirepository
from ocisource.manifests import render
from tests.parts import commands, kubernetes, ports, processes, registry
from tests.reconciler import world

Object = dict[str, Any]

ACCOUNT = "ocisource"
ADVERTISED = "http://source-controller.test"
# Short, so that a takeover takes seconds; long enough for a busy machine.
LEASE = (
    "--enable-leader-election",
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=500ms",
)
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
_SECONDS = 5.0


@dataclasses.dataclass(slots=True)
class Replica:
    """One `ocisource controller`."""

    process: processes.Process
    storage: pathlib.Path
    storage_port: int
    health_port: int
    metrics_port: int

    def readiness(self) -> tuple[int, str]:
        """What /readyz says."""
        status, body = fetch(self.health_port, "/readyz")
        return status, body.decode()

    def artifact(self, path: str) -> tuple[int, bytes]:
        """A path of the artifact server; status 0 when nobody listens."""
        return fetch(self.storage_port, f"/{path}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        _, body = fetch(self.metrics_port, "/metrics")
        return sum(
            sample.value
            for family in parser.text_string_to_metric_families(body.decode())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def lead(self) -> None:
        """Wait until it leads and knows its objects."""
        processes.poll(lambda: self.readiness()[0] == 200, what=f"a leader:\n{self.log()}")

    def log(self) -> str:
        """What it printed so far."""
        return self.process.log_text()


@dataclasses.dataclass(slots=True)
class Cluster:
    """A namespace of its own; ``registry`` holds what the objects name."""

    plane: kubernetes.ControlPlane
    namespace: str
    registry: registry.Registry
    folder: pathlib.Path
    options: render.Options
    version: str = "v1"

    def install(self) -> None:
        """Create what gives the account its rights, and nothing else."""
        for document in render.render(self.options):
            if document["kind"] not in _PATHS:
                continue
            path = _PATHS[document["kind"]].format(self.namespace)
            status, answer = self.plane.request("POST", path, document)
            assert status in {201, 409}, answer
        # The server's authoriser learns of new roles a moment after they are stored.
        processes.poll(self._has_rights, what="the shipped roles")

    def _has_rights(self) -> bool:
        wanted = [
            {"group": ocirepository.GROUP, "resource": ocirepository.PLURAL, "verb": "list"},
            {"group": "coordination.k8s.io", "resource": "leases", "verb": "create"},
        ]
        if self.options.has_workload_identity:
            wanted.append({"resource": "serviceaccounts", "subresource": "token", "verb": "create"})
        return all(self._may(each | {"namespace": self.namespace}) for each in wanted)

    def _may(self, attributes: Mapping[str, str]) -> bool:
        review = {"spec": {"user": self.user(), "resourceAttributes": dict(attributes)}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        status, answer = self.plane.request("POST", path, review)
        assert status == 201, answer
        verdict: Any = answer["status"]
        return bool(verdict["allowed"])

    def token(self) -> str:
        """A token of the shipped account."""
        return self.plane.service_account_token(self.namespace, ACCOUNT)

    def bound_token(self, kind: str, name: str, **spec: Any) -> tuple[str, Callable[[], None]]:
        """A token bound to a new Secret or Pod, and what makes it worthless: the end of that."""
        path = f"/api/v1/namespaces/{self.namespace}/{kind.lower()}s"
        document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} | spec
        status, made = self.plane.request("POST", path, document)
        assert status == 201, made
        metadata: Any = made["metadata"]
        bound = {"kind": kind, "name": name, "uid": metadata["uid"]}
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}

        def revoke() -> None:
            status, answer = self.plane.request("DELETE", f"{path}/{name}", now)
            assert status == 200, answer

        return self.plane.service_account_token(self.namespace, ACCOUNT, bound=bound), revoke

    def kubeconfig(self, token: str | None = None) -> pathlib.Path:
        """A kubeconfig of the shipped account."""
        return self.plane.kubeconfig(token or self.token(), namespace=self.namespace)

    @contextlib.contextmanager
    def replica(
        self,
        name: str,
        *flags: str,
        storage: pathlib.Path | None = None,
        kubeconfig: pathlib.Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Iterator[Replica]:
        """Run a replica that answers /healthz, with more in its environment; ends it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        storage = storage or folder / "data"
        storage.mkdir(exist_ok=True)
        storage_port, health_port, metrics_port = ports.free(3)
        process = processes.start(
            [
                *(sys.executable, "-m", "ocisource", "controller"),
                f"--kubeconfig={kubeconfig or self.kubeconfig()}",
                f"--storage-path={storage}",
                f"--storage-addr={ports.LOOPBACK}:{storage_port}",
                f"--storage-adv-addr={ADVERTISED}",
                f"--health-addr={ports.LOOPBACK}:{health_port}",
                f"--metrics-addr={ports.LOOPBACK}:{metrics_port}",
                "--watch-all-namespaces=false",
                *flags,
            ],
            log=folder / f"{health_port}.log",
            is_ready=lambda: ports.is_listening(health_port),
            environ=commands.clean_environ(
                folder / "home", RUNTIME_NAMESPACE=self.namespace, POD_NAME=name, **(environ or {})
            ),
        )
        try:
            yield Replica(process, storage, storage_port, health_port, metrics_port)
        finally:
            process.stop()

    def push(self, name: str, tag: str, files: Mapping[str, bytes]) -> digests.Digest:
        """Push an artifact; its digest."""
        return asyncio.run(world.push(self.registry.host, name, tag, files))

    def declare(self, name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Create an OCIRepository."""
        repository = spec.pop("repository", name)
        document = {
            "apiVersion": f"{ocirepository.GROUP}/{self.version}",
            "kind": ocirepository.KIND,
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {"interval": "1h", "url": f"oci://{self.registry.host}/{repository}"} | spec,
        }
        status, answer = self.plane.request("POST", self._path(), document)
        assert status == 201, answer

    def change(self, name: str, document: Object, *, subresource: str = "") -> None:
        """Merge-patch an OCIRepository."""
        status, answer = self.plane.request(
            "PATCH",
            self._path(name) + (f"/{subresource}" if subresource else ""),
            document,
            content_type="application/merge-patch+json",
        )
        assert status == 200, answer

    def delete(self, name: str) -> None:
        """Delete an OCIRepository, and wait until it is gone."""
        status, answer = self.plane.request("DELETE", self._path(name))
        assert status == 200, answer
        gone = 404
        processes.poll(
            lambda: self.plane.request("GET", self._path(name))[0] == gone, what=f"{name} gone"
        )

    def request(self, name: str, token: str) -> None:
        """Ask for a reconcile."""
        self.change(name, {"metadata": {"annotations": {ocirepository.REQUESTED_AT: token}}})

    def user(self) -> str:
        """How the API server calls the shipped account."""
        return f"system:serviceaccount:{self.namespace}:{ACCOUNT}"

    def get(self, name: str) -> Object:
        """An OCIRepository as it is."""
        status, answer = self.plane.request("GET", self._path(name))
        assert status == 200, answer
        return answer

    def objects(self) -> list[Object]:
        """All OCIRepositories of the namespace."""
        _, answer = self.plane.request("GET", self._path())
        items: list[Object] = answer["items"]  # type: ignore[assignment]
        return items

    def until(
        self, holds: Callable[[Object], bool], name: str, *, seen_by: Replica | None = None
    ) -> Object:
        """Wait until an object is as it should be."""
        log = seen_by.log()[-2000:] if seen_by is not None else ""
        processes.poll(lambda: holds(self.get(name)), what=f"{name}: {self.get(name)}\n{log}")
        return self.get(name)

    def until_all_ready(self) -> list[Object]:
        """Wait until every object is Ready; all of them."""
        processes.poll(lambda: all(map(is_ready, self.objects())), what="all Ready")
        return self.objects()

    def lease(self, name: str) -> Object:
        """The spec of a Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{name}"
        status, answer = self.plane.request("GET", path)
        assert status == 200, answer
        spec: Object = answer["spec"]  # type: ignore[assignment]
        return spec

    def event_reasons(self, name: str) -> set[str]:
        """The reasons of the events about an object."""
        query = f"?fieldSelector=involvedObject.name={name}"
        _, answer = self.plane.request("GET", f"/api/v1/namespaces/{self.namespace}/events{query}")
        items: list[Object] = answer["items"]  # type: ignore[assignment]
        return {item["reason"] for item in items}

    def _path(self, name: str = "") -> str:
        group = f"/apis/{ocirepository.GROUP}/{self.version}"
        path = f"{group}/namespaces/{self.namespace}/{ocirepository.PLURAL}"
        return f"{path}/{name}" if name else path


def fetch(port: int, path: str) -> tuple[int, bytes]:
    """GET a path on loopback: status and body; status 0 without an answer."""
    request = urllib.request.Request(f"http://{ports.LOOPBACK}:{port}{path}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, OSError):
        return 0, b""


def is_ready(obj: Object) -> bool:
    """Ready for the present generation, with an artifact."""
    status = obj.get("status") or {}
    ready = condition(obj, "Ready")
    return (
        status.get("observedGeneration") == obj["metadata"]["generation"]
        and ready is not None
        and ready["status"] == "True"
        and "artifact" in status
    )


def condition(obj: Object, type_: str) -> Object | None:
    """A condition of an object."""
    conditions: list[Object] = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == type_), None)


def is_served(replica: Replica, obj: Object) -> bool:
    """Whether a replica serves the artifact that the status names, with the digest it states."""
    artifact = obj["status"]["artifact"]
    status, body = replica.artifact(artifact["path"])
    return status == 200 and str(digests.Digest.of(body)) == artifact["digest"]


def watched(log: str) -> list[Object]:
    """The objects in the output of ``kubectl get --watch --output json``, in order."""
    found: list[Object] = []
    decoder, at = json.JSONDecoder(), 0
    while True:
        start = log.find("{", at)
        if start < 0:
            return found
        try:
            document, at = decoder.raw_decode(log, start)
        except ValueError:  # the last one is not whole yet
            return found
        found.append(document)
