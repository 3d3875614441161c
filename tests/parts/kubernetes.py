"""A real Kubernetes control plane: etcd and kube-apiserver on loopback, without controllers.

kube-apiserver is looked for where the variable KUBEBUILDER_ASSETS points (the envtest
convention), else in ``../shared/kube`` beside the checkout; etcd there too, else on PATH.

There is no controller manager: a namespace is never finalised, aggregated roles stay empty and
nothing makes Pods. Test with names of your own and leave the namespace behind.
"""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ocisource import digest
from tests.parts import certificates, commands, ports, processes, programs

ADMIN_TOKEN = "admin-token"
RESTRICTED_TOKEN = "restricted-token"
RESTRICTED_USER = "restricted"

_ROOT = pathlib.Path(__file__).parents[2]
_ASSETS = "KUBEBUILDER_ASSETS"
_ANSWER_BYTES = 1 << 24
# Of ServiceAccounts alone: tests ask what rights a controller used.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
_REQUEST_SECONDS = 60.0
_READY_SECONDS = 5.0


@dataclasses.dataclass(slots=True)
class ControlPlane:
    """A running API server and its etcd."""

    folder: pathlib.Path
    port: int
    etcd: processes.Process
    apiserver: processes.Process
    client_authority: certificates.Authority
    """Whose certificates log in, the common name as the user."""

    @property
    def url(self) -> str:
        """``https://127.0.0.1:port``."""
        return f"https://{ports.LOOPBACK}:{self.port}"

    @property
    def ca_file(self) -> pathlib.Path:
        """The certificate a client must trust (the server's own, which is its own authority)."""
        return self.folder / "certs" / "apiserver.crt"

    def kubeconfig(self, token: str = ADMIN_TOKEN, *, namespace: str = "default") -> pathlib.Path:
        """A kubeconfig with this token; the file is the same for the same arguments."""
        user, cluster, context = {"token": token}, self._cluster(), "test"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": context, "user": user}],
            "contexts": [
                {
                    "name": context,
                    "context": {"cluster": context, "user": context, "namespace": namespace},
                }
            ],
        }
        folder = self.folder / "kubeconfigs"
        folder.mkdir(exist_ok=True)
        path = folder / f"{namespace}-{digest.Digest.of(token.encode()).hex[:16]}.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = ADMIN_TOKEN,
        content_type: str = "application/json",
    ) -> tuple[int, dict[str, object]]:
        """One plain request: its status and its JSON answer, be it a success or a Status.

        An answer that is no JSON (an unknown path) comes as ``{"message": text}``.
        """
        request = urllib.request.Request(  # noqa: S310 - always our own https address
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": content_type},
        )
        try:
            with _opener(self.ca_file).open(request, timeout=_REQUEST_SECONDS) as answer:
                return answer.status, _decoded(answer.read(_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read(_ANSWER_BYTES))

    def create_namespace(self, name: str) -> str:
        """Make a namespace (an existing one is fine) and return its name."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        status, answer = self.request("POST", "/api/v1/namespaces", body)
        assert status in {201, 409}, answer
        return name

    def create_crd(self, document: Mapping[str, Any]) -> None:
        """Make a CustomResourceDefinition and wait until its resources are served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        status, answer = self.request("POST", path, document)
        assert status in {201, 409}, answer
        spec = document["spec"]
        plural, served = spec["names"]["plural"], spec["versions"]
        for version in (each["name"] for each in served if each["served"]):
            resource = f"/apis/{spec['group']}/{version}/{plural}"
            processes.poll(lambda at=resource: self.request("GET", at)[0] == 200, what=resource)  # type: ignore[misc]

    def service_account_token(
        self, namespace: str, name: str, *, bound: Mapping[str, str] | None = None
    ) -> str:
        """A token of an existing ServiceAccount, as a Pod would get it (TokenRequest).

        It is worth as long as the object it is ``bound`` to (kind, name, uid).
        """
        spec: dict[str, object] = {"audiences": [], "expirationSeconds": 3600}
        if bound is not None:
            spec["boundObjectRef"] = {"apiVersion": "v1", **bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        status, answer = self.request("POST", path, body)
        assert status == 201, answer
        held = answer["status"]
        assert isinstance(held, dict)
        return str(held["token"])

    def report_available(self, namespace: str, name: str, *, generation: int = 1) -> None:
        """Do what controllers would: say that a Deployment of that generation has its one Pod."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"

        def is_there() -> bool:
            metadata: Any = self.request("GET", path)[1]["metadata"]
            return bool(metadata.get("generation", 0) >= generation)

        processes.poll(is_there, what=f"the Deployment {name}")
        counted = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), 1)
        status = {"observedGeneration": generation, "availableReplicas": 1, **counted}
        merge = "application/merge-patch+json"
        code, answer = self.request(
            "PATCH", f"{path}/status", {"status": status}, content_type=merge
        )
        assert code == 200, answer

    def stop_apiserver(self) -> None:
        """Stop the API server; etcd and its content stay."""
        self.apiserver.stop()

    def start_apiserver(self) -> None:
        """Start the API server again, on the same port."""
        self.apiserver = _start_apiserver(self.folder, etcd=_etcd_port(self.folder), port=self.port)

    def audited(self, user: str) -> list[dict[str, Any]]:
        """What a ServiceAccount asked the server for so far: one audit event for each answer."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each["user"]["username"] == user]

    def _cluster(self) -> dict[str, object]:
        return {"server": self.url, "certificate-authority": str(self.ca_file)}


@contextlib.contextmanager
def start(folder: pathlib.Path) -> Iterator[ControlPlane]:
    """Run a control plane of one's own with ``folder`` for its data."""
    folder.mkdir(parents=True, exist_ok=True)
    find_apiserver()
    _write_keys(folder)
    (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
    clients = certificates.Authority.create("clients")
    clients.write(folder / "clients")
    etcd = processes.start_on_ports(2, lambda chosen: _start_etcd(folder, chosen))
    try:
        plane = processes.start_on_ports(1, lambda chosen: _plane(folder, chosen[0], etcd, clients))
        try:
            yield plane
        finally:
            plane.apiserver.stop()
    finally:
        etcd.stop()


def find_apiserver() -> pathlib.Path:
    """Path of kube-apiserver; skips (or fails) when there is none."""
    found = _in_assets("kube-apiserver")
    if found is None:
        programs.missing(f"no kube-apiserver: point {_ASSETS} at a folder that holds one")
    return found


def _in_assets(name: str) -> pathlib.Path | None:
    named = os.environ.get(_ASSETS)
    folder = pathlib.Path(named) if named else _ROOT.parent / "shared" / "kube"
    return folder / name if (folder / name).exists() else None


def _find_etcd() -> pathlib.Path:
    return _in_assets("etcd") or programs.find("etcd", package="etcd-server")


def _plane(
    folder: pathlib.Path,
    port: int,
    etcd: processes.Process,
    clients: certificates.Authority,
) -> ControlPlane:
    apiserver = _start_apiserver(folder, etcd=_etcd_port(folder), port=port)
    return ControlPlane(folder, port, etcd, apiserver, clients)


def _start_etcd(folder: pathlib.Path, chosen: Sequence[int]) -> processes.Process:
    client, peer = chosen
    (folder / "etcd-port").write_text(str(client))
    address = f"http://{ports.LOOPBACK}:{client}"
    return processes.start(
        [
            _find_etcd(),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={address}",
            f"--advertise-client-urls={address}",
            f"--listen-peer-urls=http://{ports.LOOPBACK}:{peer}",
            "--unsafe-no-fsync",
        ],
        log=folder / "etcd.log",
        is_ready=lambda: ports.is_listening(client),
        environ=commands.clean_environ(folder / "home"),
    )


def _etcd_port(folder: pathlib.Path) -> int:
    return int((folder / "etcd-port").read_text())


def _start_apiserver(folder: pathlib.Path, *, etcd: int, port: int) -> processes.Process:
    return processes.start(
        [
            find_apiserver(),
            f"--etcd-servers=http://{ports.LOOPBACK}:{etcd}",
            f"--cert-dir={folder / 'certs'}",
            f"--bind-address={ports.LOOPBACK}",
            f"--secure-port={port}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            f"--client-ca-file={folder / 'clients' / 'ca.crt'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={folder / 'audit-policy.json'}",
            f"--audit-log-path={folder / 'audit.log'}",
            "--audit-log-mode=blocking-strict",  # in the file before the answer is sent
        ],
        log=folder / "kube-apiserver.log",
        is_ready=lambda: _is_ready(folder, port),
        environ=commands.clean_environ(folder / "home"),
    )


def _is_ready(folder: pathlib.Path, port: int) -> bool:
    certificate = folder / "certs" / "apiserver.crt"
    if not certificate.exists() or not ports.is_listening(port):
        return False
    # The namespace "default" is made a moment after the server calls itself ready.
    return all(
        _answers(certificate, f"https://{ports.LOOPBACK}:{port}{path}")
        for path in ("/readyz", "/api/v1/namespaces/default")
    )


def _answers(certificate: pathlib.Path, url: str) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})  # noqa: S310 - always our own https address
    try:
        with _opener(certificate).open(request, timeout=_READY_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, not trusted yet, not there yet, or 500 while the start goes on
        return False


def _decoded(body: bytes) -> dict[str, object]:
    try:
        decoded = json.loads(body)
    except ValueError:
        return {"message": body.decode(errors="replace")}
    assert isinstance(decoded, dict)
    return decoded


def _opener(authority: pathlib.Path) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=str(authority))
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    return urllib.request.build_opener(*handlers)


def _write_keys(folder: pathlib.Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "sa.key").touch(mode=0o600)
    (folder / "sa.key").write_bytes(private)
    (folder / "sa.pub").write_bytes(public)
    with (folder / "tokens.csv").open("w", newline="") as output:
        lines = csv.writer(output)
        lines.writerow([ADMIN_TOKEN, "admin", "admin", "system:masters"])
        lines.writerow([RESTRICTED_TOKEN, RESTRICTED_USER, RESTRICTED_USER])
