"""Acceptance cases C: credentials, TLS and proxies, on real registries."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.parts import certificates, ports
from tests.parts import proxy as proxies
from tests.reconciler import secured
from tests.reconciler import world as worlds
from tests.reconciler.world import World

PULL_FAILED = "OCIArtifactPullFailed"
AUTHENTICATION_FAILED = "AuthenticationFailed"


@pytest.fixture(scope="module")
def registries(
    tmp_path_factory: pytest.TempPathFactory, authority: certificates.Authority
) -> Iterator[secured.Registries]:
    """The registries that want something."""
    with secured.running(tmp_path_factory.mktemp("secured"), authority) as started:
        yield started


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Where the artifact is, what the object names, and what comes of it ("" is Ready)."""

    at: str
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    text: str = ""


def _secret(name: str) -> dict[str, str]:
    return {"name": name}


CASES = {
    "C1": Case("plain"),
    "C2": Case("basic", {"secretRef": _secret("pull")}),
    "C3": Case("basic", {"serviceAccountName": "puller"}),
    "C4": Case("basic", {}, PULL_FAILED, "failed to determine artifact digest: "),
    "C5": Case("basic", {"secretRef": _secret("wrong")}, PULL_FAILED, "UNAUTHORIZED"),
    "C6": Case("basic", {"serviceAccountName": "wrong"}, PULL_FAILED, "UNAUTHORIZED"),
    "C7": Case("tls", {"certSecretRef": _secret("ca")}),
    "C8": Case("tls", {"certSecretRef": _secret("ca-legacy")}),
    "C9": Case("tls", {}, PULL_FAILED, "tls: failed to verify certificate: x509: "),
    "C10": Case(
        "tls",
        {"certSecretRef": _secret("ca-bad")},
        AUTHENTICATION_FAILED,
        "/podinfo': failed to parse CA certificate: no PEM data",
    ),
    "C11": Case("tls", {"certSecretRef": _secret("ca-both")}),
    "C13": Case("basic", {"provider": "azure", "secretRef": _secret("pull")}),
    "C14": Case("mutual", {"certSecretRef": _secret("client")}),
    "C15": Case("mutual", {}, PULL_FAILED, "tls: failed to verify certificate: x509: "),
    "C16": Case(
        "mutual",
        {"certSecretRef": _secret("bad-key")},
        AUTHENTICATION_FAILED,
        "/podinfo': failed to parse TLS certificate and key: ",
    ),
    "C17": Case("plain", {"proxySecretRef": _secret("proxy")}),
    "C18": Case(
        "plain",
        {"proxySecretRef": _secret("dead-proxy"), "ref": {"digest": "{digest}"}},
        PULL_FAILED,
        "failed to pull artifact from '",
    ),
}


async def _declare_secrets(world: World, registries: secured.Registries, proxy: str) -> None:
    good = secured.docker_config(registries.basic.host)
    wrong = secured.docker_config(registries.basic.host, "wrong")
    await world.secret("pull", good, secured.DOCKER_CONFIG)
    await world.secret("wrong", wrong, secured.DOCKER_CONFIG)
    await secured.add_account(world, "puller", "pull")
    await secured.add_account(world, "wrong", "wrong")
    client = registries.client_secret
    for name, data in {
        "ca": {"ca.crt": registries.ca},
        "ca-legacy": {"caFile": registries.ca},
        "ca-bad": {"ca.crt": "invalid"},
        "ca-both": {"ca.crt": registries.ca, "caFile": "garbage"},
        "client": client,
        "bad-key": client | {"tls.key": "invalid-key"},
        "proxy": {"address": proxy},
        "dead-proxy": {"address": f"http://127.0.0.1:{ports.free(1)[0]}"},
    }.items():
        await world.secret(name, data)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_c_access_to_a_registry(
    recorded: World,
    registries: secured.Registries,
    start_proxy: Callable[..., proxies.Proxy],
    case: Case,
) -> None:
    """Secrets, ServiceAccounts, TLS and proxies open the registry, or the reason says why not."""
    world = recorded
    digest = registries.digest
    hosts = {"basic": registries.basic.host, "tls": registries.tls.host}
    hosts |= {"mutual": registries.mutual.host, "plain": world.host}
    if case.at == "plain":
        assert await world.push("podinfo", "latest", secured.FILES) == digest
    proxy = start_proxy() if "proxySecretRef" in case.spec else None
    await _declare_secrets(world, registries, proxy.url if proxy else "http://127.0.0.1:1")
    spec = dict(case.spec)
    if "ref" in spec:
        spec["ref"] = {"digest": str(digest)}
    # One try is enough, and none is under way when the controller stops.
    async with world.controller(min_retry_delay=3600.0, max_retry_delay=3600.0):
        await world.declare(url=f"oci://{hosts[case.at]}/podinfo", **spec)
        if not case.reason:
            obj = await world.ready()
            assert world.stored(obj) == secured.FILES
            text = f"stored artifact for digest '{digest.hex}'"
            assert worlds.state(obj)["Ready"] == ("True", "Succeeded", text)
            assert proxy is None or proxy.requests()
            return
        obj = await world.failed(case.reason)
    message = worlds.state(obj)["FetchFailed"][2]
    assert case.text in message
    assert secured.PASSWORD not in message
    assert obj.status.artifact is None
    assert "Stalled" not in worlds.state(obj)


@pytest.mark.parametrize(
    "ref", [{"tag": "latest"}, {"semver": "1.x"}, {"digest": f"sha256:{'0' * 64}"}]
)
async def test_a_refusal_says_that_the_named_secrets_are_for_something_else(
    world: World, registries: secured.Registries, ref: dict[str, str]
) -> None:
    """Of another type or for another host: no error in itself, and hard to see."""
    host = registries.basic.host
    await world.secret("opaque", {"username": secured.USER})
    await world.secret("elsewhere", secured.docker_config("ghcr.io"), secured.DOCKER_CONFIG)
    await world.secret("wrong", secured.docker_config(host, "wrong"), secured.DOCKER_CONFIG)
    said = {}
    async with world.controller(min_retry_delay=3600.0, max_retry_delay=3600.0):
        reason = "ReadOperationFailed" if "semver" in ref else PULL_FAILED
        for name in ("opaque", "elsewhere", "wrong"):
            await world.declare(
                name, url=f"oci://{host}/podinfo", ref=ref, secretRef={"name": name}
            )
            said[name] = worlds.state(await world.failed(reason, name))["Ready"][2]
    hint = (
        f"; the Secrets that the object names have no entry for {host}: they must be of type "
        "kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg and name that host"
    )
    assert said["opaque"].endswith(hint)
    assert said["elsewhere"].endswith(hint)
    assert "have no entry" not in said["wrong"]


async def test_a_rotated_password_is_used_at_once(
    world: World,
    registries: secured.Registries,
) -> None:
    """The failing object is tried again when its Secret changes, not when its back-off ends."""
    host = registries.basic.host
    wrong = secured.docker_config(host, "old")
    await world.secret("pull", wrong, secured.DOCKER_CONFIG)
    async with world.controller(min_retry_delay=3600.0, max_retry_delay=3600.0):
        await world.declare(url=f"oci://{host}/podinfo", secretRef={"name": "pull"})
        await world.failed(PULL_FAILED)
        await world.secret("pull", secured.docker_config(host), secured.DOCKER_CONFIG)
        await world.ready()
        # And back: the credential that has gone bad is noticed, the artifact stays served.
        await world.secret("pull", wrong, secured.DOCKER_CONFIG)
        obj = await world.failed(PULL_FAILED)
    assert obj.status.artifact is not None
    assert "UNAUTHORIZED" in worlds.state(obj)["FetchFailed"][2]


async def test_a_secret_added_to_a_service_account_is_used_at_once(
    world: World, registries: secured.Registries
) -> None:
    """The ServiceAccount's own change triggers the run."""
    host = registries.basic.host
    await world.secret("pull", secured.docker_config(host), secured.DOCKER_CONFIG)
    await secured.add_account(world, "puller")
    async with world.controller(min_retry_delay=3600.0, max_retry_delay=3600.0):
        await world.declare(url=f"oci://{host}/podinfo", serviceAccountName="puller")
        await world.failed(PULL_FAILED)
        await secured.add_account(world, "puller", "pull")
        await world.ready()
