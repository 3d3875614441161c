"""An object's own identity on a real cluster, with the shipped roles and nothing but them."""

import asyncio
import base64
import functools
import json
import pathlib
import uuid
from collections.abc import Callable

import pytest

from ocisource.manifests import render
from ocisource.net import tls
from ocisource.oci import registry as registries
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import aws
from tests.e2e import cluster as clusters
from tests.oci.providers import clouds, names
from tests.parts import certificates, kubernetes, registry
from tests.reconciler import world

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::111122223333:role/reader"
PASSWORD = "ecr-password"
GATE = "--feature-gates=ObjectLevelWorkloadIdentity=true"
FILES = {"a.yaml": b"a: 1\n"}


@pytest.fixture
async def gallery(
    start_registry: Callable[..., registry.Registry], authority: certificates.Authority
) -> registry.Registry:
    """A real registry with ECR's certificate, which accepts that password alone."""
    part = start_registry(users={"AWS": PASSWORD}, tls=authority.server(HOST, "127.0.0.1"))
    login = credentials.Credential(username="AWS", password=PASSWORD)
    access = registries.Access(
        keychain=credentials.StaticKeychain(login),
        tls=tls.TLSIdentity(authority.certificate_pem, None, None),
    )
    await world.push(part.host, "app", "latest", FILES, access=access)
    return part


def prepare(cluster: clusters.Cluster, secrets: dict[str, dict[str, str]]) -> None:
    """Install the roles; create what the object will name."""
    cluster.install()
    core = f"/api/v1/namespaces/{cluster.namespace}"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "reader", "annotations": {aws.ROLE_ANNOTATION: ROLE}},
    }
    status, said = cluster.plane.request("POST", f"{core}/serviceaccounts", account)
    assert status == 201, said
    for name, data in secrets.items():
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": data,
        }
        status, said = cluster.plane.request("POST", f"{core}/secrets", secret)
        assert status == 201, said


def run(cluster: clusters.Cluster, port: int, holds: Callable[[clusters.Object], bool]) -> str:
    """Run a replica until the object is as it should be; the message of Ready."""
    environ = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true"}
    with cluster.replica("one", GATE, environ=environ) as replica:
        cluster.declare(
            "app",
            url=f"oci://{HOST}/app",
            provider="aws",
            serviceAccountName="reader",
            certSecretRef={"name": "ca"},
            proxySecretRef={"name": "proxy"},
        )
        ready = clusters.condition(cluster.until(holds, "app", seen_by=replica), "Ready")
        assert ready is not None
        assert PASSWORD not in replica.log()
    message: str = ready["message"]
    return message


def has_failed(obj: clusters.Object) -> bool:
    """Ready is False because nothing could be pulled."""
    ready = clusters.condition(obj, "Ready")
    return ready is not None and ready["reason"] == "OCIArtifactPullFailed"


@pytest.mark.parametrize("has_right", [True, False])
async def test_a_serviceaccounts_token_buys_a_pull_where_the_role_allows_it(
    has_right: bool,
    own_plane: kubernetes.ControlPlane,
    gallery: registry.Registry,
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
) -> None:
    """TokenRequest at a real API server → STS → ECR → a real registry."""
    namespace = f"identity-{uuid.uuid4().hex[:8]}"
    options = render.Options(namespace=namespace, has_workload_identity=has_right)
    cluster = clusters.Cluster(own_plane, namespace, gallery, tmp_path, options)
    routes = {f"{HOST}:443": ("127.0.0.1", gallery.port)}
    async with (
        clouds.serve({"POST /": names.aws(PASSWORD)}) as cloud,
        clouds.forward(routes) as forward,
    ):
        secrets = {
            "ca": {"ca.crt": authority.certificate_pem.decode()},
            "proxy": {"address": forward.proxy.address},
        }
        await asyncio.to_thread(prepare, cluster, secrets)
        holds = clusters.is_ready if has_right else has_failed
        message = await asyncio.to_thread(functools.partial(run, cluster, cloud.port, holds))
    if not has_right:
        assert (
            "failed to get access token for artifact registry: failed to create kubernetes token "
            f"for service account '{namespace}/reader': serviceaccounts \"reader\" is forbidden: "
        ) in message
        assert cloud.received == []
        return
    token = cloud.received[0].form["WebIdentityToken"]
    padded = token.split(".")[1] + "=="
    claims = json.loads(base64.urlsafe_b64decode(padded))
    assert claims["aud"] == [aws.AUDIENCE]
    assert claims["sub"] == f"system:serviceaccount:{namespace}:reader"
    assert cloud.received[0].form["RoleArn"] == ROLE
