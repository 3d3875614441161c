"""The OCIRepository CRD as a real kube-apiserver understands it."""

import copy
import json
from typing import Any

import pytest

from ocisource.api import ocirepository
from ocisource.manifests import load
from tests.parts import kubectl, kubernetes, processes

_GROUP = f"/apis/{ocirepository.GROUP}"
_EXAMPLE: dict[str, Any] = {
    "apiVersion": f"{ocirepository.GROUP}/v1beta2",
    "kind": ocirepository.KIND,
    "metadata": {"name": "podinfo"},
    "spec": {
        "interval": "5m0s",
        "url": "oci://ghcr.io/stefanprodan/manifests/podinfo",
        "ref": {"tag": "latest"},
    },
}
_DIGEST = "3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"


def _collection(namespace: str, version: str = "v1beta2") -> str:
    return f"{_GROUP}/{version}/namespaces/{namespace}/{ocirepository.PLURAL}"


def _with_spec(**changes: object) -> dict[str, Any]:
    changed = copy.deepcopy(_EXAMPLE)
    changed["spec"].update(changes)
    changed["spec"] = {name: value for name, value in changed["spec"].items() if value is not None}
    return changed


def _status() -> dict[str, Any]:
    message = f"stored artifact for digest '{_DIGEST}'"
    path = f"ocirepository/default/podinfo/{_DIGEST}.tar.gz"
    return {
        "observedGeneration": 1,
        "url": "http://localhost/ocirepository/default/podinfo/latest.tar.gz",
        "observedIgnore": "/docs/",
        "observedLayerSelector": {"mediaType": "a/b", "operation": "copy"},
        "contentConfigChecksum": "sha256:" + _DIGEST,
        "lastHandledReconcileAt": "now",
        "artifact": {
            "path": path,
            "url": f"http://localhost/{path}",
            "revision": _DIGEST,
            "checksum": _DIGEST,
            "digest": f"sha256:{_DIGEST}",
            "lastUpdateTime": "2022-06-14T11:23:36Z",
            "size": 12,
            "metadata": {"org.opencontainers.image.source": "here"},
        },
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "Succeeded",
                "message": message,
                "observedGeneration": 1,
                "lastTransitionTime": "2022-06-14T11:23:36Z",
            }
            for kind in ("Ready", "ArtifactInStorage")
        ],
    }


def _patch_status(plane: kubernetes.ControlPlane, namespace: str) -> None:
    status, answer = plane.request(
        "PATCH",
        _collection(namespace) + "/podinfo/status",
        {"status": _status()},
        content_type="application/merge-patch+json",
    )
    assert status == 200, answer["message"]


def test_the_server_accepts_the_definition(source_api: kubernetes.ControlPlane) -> None:
    """Names are accepted, the schema is structural, and v1 is what is stored."""
    name = load.crd()["metadata"]["name"]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    status, found = source_api.request("GET", path)
    assert status == 200
    held: Any = found["status"]
    assert {each["type"]: each["status"] for each in held["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert held["storedVersions"] == ["v1"]
    spec: Any = found["spec"]
    sent = load.crd()["spec"]
    assert spec["versions"] == sent["versions"]  # nothing dropped, nothing rewritten


def test_absent_fields_get_their_defaults(
    source_api: kubernetes.ControlPlane, namespace: str
) -> None:
    """The documented example comes back with provider, timeout and a status of generation -1."""
    status, made = source_api.request("POST", _collection(namespace), _EXAMPLE)
    assert status == 201, made
    assert made["spec"] == {**_EXAMPLE["spec"], "timeout": "60s", "provider": "generic"}
    assert made["status"] == {"observedGeneration": -1}


def test_either_version_shows_the_same_object(
    source_api: kubernetes.ControlPlane, namespace: str
) -> None:
    """What was written as v1beta2 reads as v1, whole, status and all."""
    full = _with_spec(
        timeout="1h",
        ref={"tag": "a", "semver": ">1", "semverFilter": ".*", "digest": f"sha256:{_DIGEST}"},
        provider="aws",
        secretRef={"name": "a"},
        serviceAccountName="b",
        certSecretRef={"name": "c"},
        proxySecretRef={"name": "d"},
        insecure=True,
        ignore="/docs/",
        suspend=True,
        layerSelector={"mediaType": "a/b", "operation": "copy"},
        verify={
            "provider": "cosign",
            "secretRef": {"name": "e"},
            "matchOIDCIdentity": [{"issuer": "f", "subject": "g"}],
            "trustedRootSecretRef": {"name": "h"},
        },
    )
    status, answer = source_api.request("POST", _collection(namespace), full)
    assert status == 201, answer["message"]
    _patch_status(source_api, namespace)
    status, found = source_api.request("GET", _collection(namespace, "v1") + "/podinfo")
    assert status == 200
    assert found["apiVersion"] == f"{ocirepository.GROUP}/v1"
    assert found["spec"] == full["spec"]
    assert found["status"] == _status()


def test_status_and_spec_are_written_apart(
    source_api: kubernetes.ControlPlane, namespace: str
) -> None:
    """A status in a create is dropped, and a spec in a status patch as well."""
    made = {**_EXAMPLE, "status": _status()}
    status, answer = source_api.request("POST", _collection(namespace), made)
    assert status == 201
    assert answer["status"] == {"observedGeneration": -1}
    status, answer = source_api.request(
        "PATCH",
        _collection(namespace) + "/podinfo/status",
        {"spec": {"url": "oci://other"}, "status": {"observedGeneration": 1}},
        content_type="application/merge-patch+json",
    )
    assert status == 200
    spec: Any = answer["spec"]
    assert spec["url"] == _EXAMPLE["spec"]["url"]
    assert answer["status"] == {"observedGeneration": 1}


@pytest.mark.parametrize("text", ["1ns", "5us", "5µs", "5μs", "1.5s", ".5m", "2h45m", "0", "-1s"])
def test_any_go_duration_is_admitted(
    source_api: kubernetes.ControlPlane, namespace: str, text: str
) -> None:
    """What is a duration but too short is for the controller to judge, in a condition."""
    made = _with_spec(interval=text, timeout=text)
    status, answer = source_api.request("POST", _collection(namespace), made)
    assert status == 201, answer["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "https://ghcr.io/a/b"}, "spec.url"),
        ({"url": None}, "spec.url"),
        ({"interval": None}, "spec.interval"),
        ({"interval": "5"}, "spec.interval"),
        ({"interval": ""}, "spec.interval"),
        ({"interval": "5 m"}, "spec.interval"),
        ({"interval": "1d"}, "spec.interval"),
        ({"timeout": "soon"}, "spec.timeout"),
        ({"provider": "ibm"}, "spec.provider"),
        ({"secretRef": {}}, "spec.secretRef.name"),
        ({"layerSelector": {"operation": "move"}}, "spec.layerSelector.operation"),
        ({"verify": {"provider": "pgp"}}, "spec.verify.provider"),
        ({"verify": {"matchOIDCIdentity": [{"issuer": "a"}]}}, "spec.verify.matchOIDCIdentity"),
        ({"suspend": "yes"}, "spec.suspend"),
    ],
)
def test_a_bad_field_is_refused_by_name(
    source_api: kubernetes.ControlPlane,
    namespace: str,
    changes: dict[str, object],
    field: str,
) -> None:
    """The server's answer names the field that is wrong."""
    path = _collection(namespace)
    status, answer = source_api.request("POST", path, _with_spec(**changes))
    assert status == 422
    assert field in str(answer["message"])


def test_kubectl_shows_the_documented_table(
    source_api: kubernetes.ControlPlane, admin: kubectl.Kubectl, namespace: str
) -> None:
    """URL, READY, STATUS and AGE follow the name, by short name and by category too."""
    admin.run("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(_EXAMPLE))
    _patch_status(source_api, namespace)
    for word in ("ocirepository", "ocirepo", "ocirepositories", "fluxcd-sources"):
        head, row = admin.run("get", word, f"--namespace={namespace}").stdout.splitlines()
        assert head.split() == ["NAME", "URL", "READY", "STATUS", "AGE"]
        assert row.endswith(("s", "m"))
        assert f"True    stored artifact for digest '{_DIGEST}'" in row


def test_kubectl_explains_the_fields(
    source_api: kubernetes.ControlPlane, admin: kubectl.Kubectl
) -> None:
    """The description of a field is what `kubectl explain` prints."""
    words = ("explain", "ocirepository.spec.ref")
    # The server publishes a new definition's OpenAPI a moment after its resources.
    processes.poll(lambda: admin.run(*words, is_checked=False).code == 0, what="kubectl explain")
    text = admin.run(*words).stdout
    assert "Which version is wanted" in text
    assert "semverFilter" in text
