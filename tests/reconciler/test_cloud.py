"""spec.provider in the life of an object: when a cloud is asked, as whom, and what it leaves."""

import json
from collections.abc import Callable, Iterator, Mapping

import pytest

from ocisource import metrics
from ocisource.kube import patch, resources
from ocisource.net import tls
from ocisource.oci import credentials, registry
from ocisource.oci.providers import aws, tokens
from ocisource.reconciler import cloud
from tests.oci.providers import clouds
from tests.parts import certificates
from tests.reconciler import world as worlds
from tests.reconciler.world import World

FILES = {"a.yaml": b"a: 1\n"}
HOST = "123456789000.dkr.ecr.us-east-2.amazonaws.com"
PULL_FAILED = "OCIArtifactPullFailed"
GATE = {"feature_gates": "ObjectLevelWorkloadIdentity=true"}
ROLE = "arn:aws:iam::111122223333:role/reader"


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no library look beyond loopback."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def moto_port() -> Iterator[int]:
    """The port of moto's server: STS and ECR."""
    from moto import server as moto

    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()


async def account(world: World, name: str, annotations: Mapping[str, str]) -> None:
    """Create a ServiceAccount."""
    document = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": name,
            "namespace": world.namespace,
            "annotations": dict(annotations),
        },
    }
    await world.api.patch(
        resources.SERVICE_ACCOUNTS,
        name,
        patch.apply(document),
        namespace=world.namespace,
        is_forced=True,
    )


async def test_no_cloud_environment_fails_where_the_registry_first_asks(world: World) -> None:
    """The login is lazy: what fails is the digest look-up."""
    async with world.controller():
        await world.declare(url=f"oci://{HOST}/app", provider="aws")
        obj = await world.failed(PULL_FAILED)
    ready = worlds.condition(obj, "Ready")
    assert ready is not None
    assert ready.message.startswith(
        "failed to determine artifact digest: failed to get access token for artifact registry: "
    )


@pytest.mark.parametrize(
    ("provider", "cloud_name"), [("aws", "AWS"), ("azure", "Azure"), ("gcp", "GCP")]
)
async def test_a_provider_that_does_not_fit_the_host_says_so(
    world: World, provider: str, cloud_name: str
) -> None:
    """With the reason of the step that asked: ranges list tags first."""
    text = f"invalid {cloud_name} registry: '{world.host}'. must match ^"
    async with world.controller():
        await world.declare("tag", provider=provider)
        await world.declare("range", provider=provider, ref={"semver": "1.x"})
        by_tag = worlds.state(await world.failed(PULL_FAILED, "tag"))["Ready"]
        by_range = worlds.state(await world.failed("ReadOperationFailed", "range"))["Ready"]
    assert by_tag[2].startswith(f"failed to determine artifact digest: {text}")
    url = f"oci://{world.host}/range"
    assert by_range[2].startswith(f"failed to determine the artifact tag for '{url}': {text}")


async def test_secrets_win_over_the_cloud(world: World) -> None:
    """Even a Secret that holds no credentials: it was meant to."""
    await world.push("podinfo", "latest", FILES)
    auths = {"auths": {world.host: {"username": "u", "password": "p"}}}
    data = {".dockerconfigjson": json.dumps(auths)}
    await world.secret("pull", data, type_="kubernetes.io/dockerconfigjson")
    await world.secret("opaque", {"some": "thing"})
    async with world.controller():
        for name in ("pull", "opaque"):
            await world.declare(
                name, repository="podinfo", provider="azure", secretRef={"name": name}
            )
            await world.ready(name)


async def test_an_identity_of_ones_own_needs_the_feature_gate(world: World) -> None:
    """Off: stalled, and nothing said about a fetch. On: it goes on where it should."""
    await account(world, "reader", {})
    async with world.controller():
        await world.declare(url=f"oci://{HOST}/app", provider="aws", serviceAccountName="reader")
        obj = await world.failed("FeatureGateDisabled")
    state = worlds.state(obj)
    assert state["Stalled"] == ("True", "FeatureGateDisabled", cloud.GATE_IS_OFF)
    assert state["Ready"] == ("False", "FeatureGateDisabled", cloud.GATE_IS_OFF)
    assert "FetchFailed" not in state
    async with world.controller(**GATE):
        await world.request("podinfo", "again")
        obj = await world.failed(PULL_FAILED)
    state = worlds.state(obj)
    assert "Stalled" not in state
    assert state["Ready"][2] == (
        "failed to determine artifact digest: failed to get access token for artifact registry: "
        "failed to get provider identity from service account "
        f"'{world.namespace}/reader' annotations: invalid {aws.ROLE_ANNOTATION} annotation: ''. "
        f"must match {aws.ROLE_PATTERN}"
    )


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_serviceaccount_of_the_object_pulls_from_ecr(
    world: World,
    is_named: bool,
    moto_port: int,
    start_registry: Callable[..., object],
    authority: certificates.Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TokenRequest → STS → ECR → a pull, through the object's proxy, as named or by default."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{moto_port}")
    password = "111122223333-auth-token"
    part = start_registry(users={"AWS": password}, tls=authority.server(HOST, "127.0.0.1"))
    port: int = part.port  # type: ignore[attr-defined]
    login = credentials.Credential(username="AWS", password=password)
    await worlds.push(
        f"127.0.0.1:{port}",
        "app",
        "latest",
        FILES,
        access=registry.Access(
            keychain=credentials.StaticKeychain(login),
            tls=tls.TLSIdentity(authority.certificate_pem, None, None),
        ),
    )
    await account(world, "reader", {aws.ROLE_ANNOTATION: ROLE})
    await world.secret("ca", {"ca.crt": authority.certificate_pem.decode()})
    chosen = GATE if is_named else {**GATE, "default_service_account": "reader"}
    named = {"serviceAccountName": "reader"} if is_named else {}
    async with clouds.forward({f"{HOST}:443": ("127.0.0.1", port)}) as forward:
        await world.secret("proxy", {"address": forward.proxy.address})
        async with world.controller(**chosen, metrics_per_object=True) as running:
            obj = await world.declare(
                url=f"oci://{HOST}/app",
                provider="aws",
                certSecretRef={"name": "ca"},
                proxySecretRef={"name": "proxy"},
                **named,
            )
            obj = await world.ready()
            exposition = running.metrics.exposition().decode()
            events = await world.events()
    assert world.stored(obj) == FILES
    assert forward.targets[0] == f"127.0.0.1:{moto_port}"
    labels = (
        f'event_type="cache_miss",kind="OCIRepository",name="podinfo",namespace="{world.namespace}"'
    )
    assert f'gotk_token_cache_events_total{{{labels},operation="reconcile"}} ' in exposition
    assert 'gotk_token_cache_requests_total{status="success"} ' in exposition
    assert password not in f"{obj} {events} {exposition}"


def test_an_objects_series_end_with_it() -> None:
    """With a series for each object, deleted ones leave nothing behind."""
    observed = metrics.Metrics(has_object_series=True)
    told = cloud.Measures(observed)
    for name in ("gone", "stays"):
        told.looked_up(tokens.Owner(name, "apps"), is_hit=False)
        told.looked_up(tokens.Owner(name, "apps"), is_hit=True)
    told.forget("gone", "apps")
    told.forget("never-seen", "apps")
    exposition = observed.exposition().decode()
    assert 'name="gone"' not in exposition
    assert 'gotk_token_cache_events_total{event_type="cache_hit"' in exposition
