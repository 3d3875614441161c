"""On a real cluster: what works with get rights alone on Secrets (``--watch-secrets=false``)."""

import dataclasses
import pathlib

import pytest

from ocisource.kube import client, config
from tests.parts import kubernetes
from tests.reconciler.world import World

FILES = {"a.yaml": b"a: 1\n"}
ACCOUNT = "controller"
_ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{}"
_RULES = (
    ("source.toolkit.fluxcd.io", ["ocirepositories"], ["get", "list", "patch", "watch"]),
    ("source.toolkit.fluxcd.io", ["ocirepositories/status"], ["patch"]),
    ("", ["secrets", "serviceaccounts"], ["get"]),
    ("", ["events"], ["create", "patch"]),
)


@pytest.fixture
def subject(source_api: kubernetes.ControlPlane) -> pathlib.Path:
    """Only a real cluster has roles."""
    return source_api.kubeconfig()


def _grant(plane: kubernetes.ControlPlane, namespace: str) -> None:
    """A role without list and watch on Secrets, bound to our account."""
    named = {"name": ACCOUNT, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [g], "resources": r, "verbs": verbs} for g, r, verbs in _RULES]
    binding = {
        "metadata": named,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", **named}],
    }
    for path, document in (
        (f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": named}),
        (_ROLES.format(namespace, "roles"), {"metadata": named, "rules": rules}),
        (_ROLES.format(namespace, "rolebindings"), binding),
    ):
        status, answer = plane.request("POST", path, document)
        assert status == 201, answer


@pytest.mark.parametrize("is_watching", [False, True])
async def test_get_is_enough_to_use_secrets_and_watching_is_missed_without_harm(
    world: World,
    source_api: kubernetes.ControlPlane,
    caplog: pytest.LogCaptureFixture,
    *,
    is_watching: bool,
) -> None:
    """Off, nothing is refused; on, the log says which right is missing, and objects are Ready."""
    caplog.set_level("ERROR", "ocisource")
    _grant(source_api, world.namespace)
    kubeconfig = source_api.kubeconfig(source_api.service_account_token(world.namespace, ACCOUNT))
    await world.push("podinfo", "latest", FILES)
    await world.secret("pull", {".dockerconfigjson": "{}"}, "kubernetes.io/dockerconfigjson")
    async with client.Client(config.load(kubeconfig)) as limited:
        restricted = dataclasses.replace(world, api=limited)
        async with restricted.controller(watch_secrets=is_watching):
            await world.declare(secretRef={"name": "pull"})
            await world.ready()
            await world.event("NewArtifact")
            await world.until(lambda _: not is_watching or bool(caplog.records))
            await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
            await world.gone()
    said = [str(line.__dict__["ocisource_fields"].get("error")) for line in caplog.records]
    refused = [text for text in said if "forbidden" in text]
    assert said == refused
    if is_watching:
        assert any('cannot list resource "secrets"' in text for text in refused)
    else:
        assert refused == []
