"""The shipped manifests on a real kube-apiserver: applied, without drift, with enough rights."""

import json
import pathlib
from collections.abc import Callable

import pytest

from ocisource.manifests import load, printing, render
from tests.parts import kubectl, kubernetes, processes

_FOLDER = pathlib.Path(load.__file__).parent
_POD_MONITOR_CRD: load.Document = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def installed(control_plane: kubernetes.ControlPlane, admin: kubectl.Kubectl) -> kubectl.Kubectl:
    """Kubectl for a cluster on which the folder was applied."""
    admin.run("apply", "--kustomize", str(_FOLDER))
    control_plane.create_crd(load.crd())
    return admin


def test_the_folder_is_applied_and_does_not_drift(installed: kubectl.Kubectl) -> None:
    """A second apply changes nothing, and diff finds nothing: the server keeps what we say."""
    again = installed.run("apply", "--kustomize", str(_FOLDER)).stdout
    assert {line.rpartition(" ")[2] for line in again.splitlines()} == {"unchanged"}
    different = installed.run("diff", "--kustomize", str(_FOLDER), is_checked=False)
    assert (different.code, different.stdout) == (0, "")


def test_rendered_objects_are_applied_and_do_not_drift(
    control_plane: kubernetes.ControlPlane, admin: kubectl.Kubectl, tmp_path: pathlib.Path
) -> None:
    """Server-side apply of everything there is to choose, then diff: nothing, until it differs."""
    control_plane.create_crd(_POD_MONITOR_CRD)
    options = render.Options(
        namespace="rendered",
        registry="registry.example.com",
        image_pull_secret="login",
        toleration_keys=("dedicated",),
        has_monitoring=True,
        has_workload_identity=True,
    )
    # The definition is shared by the whole run; the other test applies it.
    documents = [
        each for each in render.render(options) if each["kind"] != "CustomResourceDefinition"
    ]
    path = tmp_path / "install.yaml"
    path.write_text(printing.to_yaml(documents))
    words = ("--server-side", "--field-manager=ocisource", f"--filename={path}")
    admin.run("apply", *words)
    different = admin.run("diff", *words, is_checked=False)
    assert (different.code, different.stdout) == (0, "")
    path.write_text(path.read_text().replace("--log-level=info", "--log-level=debug"))
    different = admin.run("diff", *words, is_checked=False)
    assert different.code == 1
    assert "+        - --log-level=debug" in different.stdout


def test_the_monitoring_folder_is_applied(
    control_plane: kubernetes.ControlPlane, installed: kubectl.Kubectl
) -> None:
    """PodMonitor and dashboard go into the namespace of the rest."""
    control_plane.create_crd(_POD_MONITOR_CRD)
    installed.run("apply", "--kustomize", str(_FOLDER / "monitoring"))
    words = ("--namespace=flux-system", "--output=json")
    found = json.loads(installed.run("get", "configmap", "ocisource-dashboard", *words).stdout)
    assert found["data"]["dashboard.json"] == load.text("monitoring/dashboard.json")
    installed.run("get", "podmonitor", "ocisource", *words)


_ALLOWED = [
    ("list", "ocirepositories.source.toolkit.fluxcd.io", "--all-namespaces"),
    ("watch", "ocirepositories.source.toolkit.fluxcd.io", "--all-namespaces"),
    ("patch", "ocirepositories.source.toolkit.fluxcd.io", "--namespace=team"),
    ("patch", "ocirepositories.source.toolkit.fluxcd.io/status", "--namespace=team"),
    ("get", "secrets", "--namespace=team"),
    ("watch", "secrets", "--all-namespaces"),
    ("get", "serviceaccounts", "--namespace=team"),
    ("create", "events", "--namespace=team"),
    ("patch", "events", "--namespace=team"),
    ("create", "leases.coordination.k8s.io", "--namespace=flux-system"),
    ("update", "leases.coordination.k8s.io", "--namespace=flux-system"),
    ("get", "customresourcedefinitions.apiextensions.k8s.io/" + load.crd()["metadata"]["name"]),
]
_REFUSED = [
    ("create", "ocirepositories.source.toolkit.fluxcd.io", "--namespace=team"),
    ("delete", "ocirepositories.source.toolkit.fluxcd.io", "--namespace=team"),
    ("update", "ocirepositories.source.toolkit.fluxcd.io", "--namespace=team"),
    ("create", "secrets", "--namespace=team"),
    ("patch", "secrets", "--namespace=team"),
    ("create", "serviceaccounts", "--subresource=token", "--namespace=team"),
    ("list", "configmaps", "--namespace=team"),
    ("get", "leases.coordination.k8s.io", "--namespace=team"),
    ("delete", "leases.coordination.k8s.io", "--namespace=flux-system"),
    ("list", "pods", "--namespace=flux-system"),
    ("list", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "clusterroles.rbac.authorization.k8s.io"),
]


def test_the_account_has_the_rights_it_needs_and_no_others(
    control_plane: kubernetes.ControlPlane,
    installed: kubectl.Kubectl,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> None:
    """Asked with a token of the shipped ServiceAccount, the server says yes and no as it should."""
    token = control_plane.service_account_token("flux-system", "ocisource")
    account = new_kubectl(control_plane.kubeconfig(token))
    ask = ("auth", "can-i")
    # The server's authoriser learns of new roles a moment after they are stored.
    processes.poll(
        lambda: account.run(*ask, *_ALLOWED[0], is_checked=False).code == 0, what="the new role"
    )
    refused = [words for words in _ALLOWED if account.run(*ask, *words, is_checked=False).code]
    assert refused == []
    allowed = [words for words in _REFUSED if not account.run(*ask, *words, is_checked=False).code]
    assert allowed == []
