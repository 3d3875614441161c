"""spec.provider in the life of an object: when a cloud is asked, as whom, and what it leaves."""

import json
from collections.abc import Callable, Iterator, Mapping

import pytest

from ocisource import metrics
from ocisource.kube import patch, resources
from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
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


async def test_c12_no_cloud_environment_fails_where_the_registry_first_asks(
    recorded: World,
) -> None:
    """The login is lazy: what fails is the digest look-up."""
    async with recorded.controller():
        await recorded.declare(url=f"oci://{HOST}/app", provider="aws")
        obj = await recorded.failed(PULL_FAILED)
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


async def test_c19_an_identity_of_ones_own_needs_the_feature_gate(recorded: World) -> None:
    """Off: stalled, and nothing said about a fetch. On: it goes on where it should."""
    world = recorded
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


async def test_a_default_serviceaccount_that_is_missing_is_explained(world: World) -> None:
    """The object's author never wrote its name."""
    async with world.controller(**GATE, default_service_account="nobody"):
        await world.declare(url=f"oci://{HOST}/app", provider="aws")
        obj = await world.failed(PULL_FAILED)
    assert worlds.state(obj)["Ready"][2] == (
        "failed to determine artifact digest: failed to get access token for artifact registry: "
        f"failed to get service account '{world.namespace}/nobody': "
        'serviceaccounts "nobody" not found; --default-service-account names it for objects '
        "without spec.serviceAccountName: create it in this namespace, or name another there"
    )


async def test_a_change_of_the_default_serviceaccount_is_used_at_once(world: World) -> None:
    """As of one that the object names: nobody waits for the back-off, here a quarter of an hour."""
    unhurried = {"min_retry_delay": 900.0, "max_retry_delay": 900.0}
    async with world.controller(**GATE, **unhurried, default_service_account="reader"):
        await world.declare(url=f"oci://{HOST}/app", provider="aws")
        await world.until(_says('serviceaccounts "reader" not found'))
        await account(world, "reader", {})
        await world.until(_says(f"invalid {aws.ROLE_ANNOTATION} annotation: ''"))
        await account(world, "reader", {aws.ROLE_ANNOTATION: "writer"})
        await world.until(_says(f"invalid {aws.ROLE_ANNOTATION} annotation: 'writer'"))


def _says(text: str) -> Callable[[worlds.Object], bool]:
    """Whether Ready's message holds a text."""

    def says(obj: worlds.Object) -> bool:
        ready = worlds.condition(obj, "Ready")
        return ready is not None and text in ready.message

    return says


FLAVOR = {"Metadata-Flavor": "Google"}
DENIED = {
    "aws": clouds.Said({"__type": "AccessDeniedException", "message": "aws says no"}, 400),
    "azure": clouds.Said({"statusCode": 400, "message": "azure says no"}, 400),
    "gcp": clouds.Said("gcp says no", 403, FLAVOR),
}
HOSTS = {"aws": HOST, "azure": "foo.azurecr.io", "gcp": "gcr.io"}
PLACES = {
    "aws": "POST /",
    "azure": "GET /msi",
    "gcp": "GET /computeMetadata/v1/instance/service-accounts/default/token",
}


def ambient(monkeypatch: pytest.MonkeyPatch, cloud: clouds.Cloud) -> None:
    """Identities of the controller's own in all clouds, asked at this one."""
    from google.auth.compute_engine import _metadata

    place = f"127.0.0.1:{cloud.port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s3cret-key",
        "AWS_ENDPOINT_URL": f"http://{place}",
        "IDENTITY_ENDPOINT": f"http://{place}/msi",
        "IDENTITY_HEADER": "s3cret-header",
        "GCE_METADATA_HOST": place,
        "GCE_METADATA_IP": place,
        "GOOGLE_CLOUD_PROJECT": "project",
        "CLOUDSDK_CONFIG": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", place)


@pytest.mark.parametrize("provider", list(DENIED))
async def test_a_clouds_refusal_is_the_objects_condition_in_its_words(
    world: World, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason of the step that asked first; retried, and without any credential."""
    answers: dict[str, clouds.Answer] = {
        "GET /": clouds.Said("ok", headers=FLAVOR),
        "GET /computeMetadata/v1/instance/service-accounts/default/": clouds.Said(
            {"email": "e", "scopes": [], "aliases": []}, headers=FLAVOR
        ),
        "GET /computeMetadata/v1/universe/universe-domain": clouds.Said("", headers=FLAVOR),
        PLACES[provider]: DENIED[provider],
    }
    url = f"oci://{HOSTS[provider]}/app"
    async with clouds.serve(answers) as cloud:
        ambient(monkeypatch, cloud)
        async with world.controller():
            await world.declare("tag", url=url, provider=provider)
            await world.declare("range", url=url, provider=provider, ref={"semver": "1.x"})
            by_tag = worlds.state(await world.failed(PULL_FAILED, "tag"))
            by_range = worlds.state(await world.failed("ReadOperationFailed", "range"))
            told = await world.event(PULL_FAILED, "tag")
    assert by_tag["Ready"][2].startswith("failed to determine artifact digest: failed to ")
    assert by_range["Ready"][2].startswith(f"failed to determine the artifact tag for '{url}': ")
    for state in (by_tag, by_range):
        assert f"{provider} says no" in state["Ready"][2]
        assert "Stalled" not in state
    assert f"{provider} says no" in str(told)
    assert "s3cret" not in f"{by_tag} {by_range} {told}"


async def test_a_silent_cloud_ends_with_the_objects_timeout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login is remote work like any other."""
    async with clouds.serve() as cloud:
        cloud.is_silent = True
        ambient(monkeypatch, cloud)
        async with world.controller():
            await world.declare(url=f"oci://{HOST}/app", provider="aws", timeout="100ms")
            state = worlds.state(await world.failed(PULL_FAILED))
    assert "not done within the timeout of 100ms" in state["Ready"][2]


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
