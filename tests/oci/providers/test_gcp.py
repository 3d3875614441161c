"""Artifact Registry through google-auth: metadata server, STS, then a pull from a real registry."""

import dataclasses
import types

import pytest

from ocisource import errors
from ocisource.artifact import remote
from ocisource.oci import registry
from ocisource.oci.grammar import reference
from ocisource.oci.providers import calls, gcp, identity, logins, tokens
from tests.oci.providers import clouds
from tests.oci.providers.conftest import NewClouds, Start, metadata

HOST = "europe-docker.pkg.dev"
REPOSITORY = reference.Repository(HOST, "app")
FLAVOR = {"Metadata-Flavor": "Google"}
META = "GET /computeMetadata/v1"
TOKEN = f"{META}/instance/service-accounts/default/token"
WIP = "projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
EMAIL = "reader@project.iam.gserviceaccount.com"


def text(body: str) -> clouds.Said:
    """A value of the metadata server."""
    return clouds.Said(body, headers=FLAVOR)


def machine(token: clouds.Said | None = None) -> dict[str, clouds.Answer]:
    """The metadata server of a GKE node."""
    granted = clouds.Said(
        {"access_token": "google-token", "expires_in": 3600, "token_type": "Bearer"},
        headers=FLAVOR,
    )
    account = {"email": EMAIL, "scopes": list(gcp.SCOPES), "aliases": ["default"]}
    return {
        "GET /": text("ok"),
        f"{META}/project/project-id": text("project"),
        f"{META}/universe/universe-domain": text("googleapis.com"),
        f"{META}/instance/attributes/cluster-location": text("europe-west1"),
        f"{META}/instance/attributes/cluster-name": text("cluster"),
        f"{META}/instance/service-accounts/default/": clouds.Said(account, headers=FLAVOR),
        TOKEN: token or granted,
    }


class Account:
    """A ServiceAccount; an identity.AccountSource."""

    def __init__(self, **annotations: str) -> None:
        self.annotations = {
            gcp.EMAIL_ANNOTATION: annotations.get("email", ""),
            gcp.PROVIDER_ANNOTATION: annotations.get("provider", ""),
        }
        self.audiences: list[str] = []

    async def read(self) -> identity.Account:
        """As of AccountSource."""
        return identity.Account(
            namespace="apps", name="reader", annotations=self.annotations, token=self.token
        )

    async def token(self, audience: str) -> str:
        """A token for an audience."""
        self.audiences.append(audience)
        return "kubernetes-token"


def places(cloud: clouds.Cloud) -> gcp.Endpoints:
    """STS and IAM on one server."""
    home = f"http://127.0.0.1:{cloud.port}"
    return gcp.Endpoints(sts=f"{home}/v1/token", iam=f"{home}/v1")


FEDERATED = clouds.Said(
    {
        "access_token": "federated-token",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
)


async def test_the_metadata_servers_token_pulls_from_artifact_registry(
    named_registry: Start, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metadata server is asked directly, the registry through the object's proxy."""
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "google-token")
    async with clouds.serve(machine()) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        route = identity.Route(proxy=forward.proxy)
        keychain = cloud_logins.keychain("gcp", route=route)
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert [got.path for got in node.received].count(TOKEN.removeprefix("GET ")) == 1
    assert set(forward.targets) == {f"{HOST}:443"}


async def test_a_serviceaccount_of_gke_pulls_from_artifact_registry(
    named_registry: Start, new_clouds: NewClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is the cluster's own; TokenRequest → STS."""
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "federated-token")
    account = Account()
    async with clouds.serve({**machine(), "POST /v1/token": FEDERATED}) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        keychain = new_clouds(google=places(node)).keychain("gcp", account=account)
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert account.audiences == ["project.svc.id.goog"]
    asked = node.received[-1].form
    assert asked["audience"] == (
        "identitynamespace:project.svc.id.goog:https://container.googleapis.com/v1/"
        "projects/project/locations/europe-west1/clusters/cluster"
    )
    assert asked["subject_token"] == "kubernetes-token"
    assert asked["scope"] == " ".join(gcp.SCOPES)


async def test_a_federated_serviceaccount_impersonates_a_google_one(
    new_clouds: NewClouds,
) -> None:
    """Outside GKE the annotation names the provider; no metadata server is asked."""
    impersonate = f"POST /v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
    granted = clouds.Said({"accessToken": "impersonated", "expireTime": "2096-01-01T00:00:00Z"})
    account = Account(email=EMAIL, provider=WIP)
    async with clouds.serve({"POST /v1/token": FEDERATED, impersonate: granted}) as google:
        keychain = new_clouds(google=places(google)).keychain("gcp", account=account)
        found = await keychain.credential(REPOSITORY)
    assert found is not None
    assert (found.username, found.password) == ("oauth2accesstoken", "impersonated")
    assert account.audiences == [f"//iam.googleapis.com/{WIP}"]
    exchange, call = google.received
    assert exchange.form["audience"] == f"//iam.googleapis.com/{WIP}"
    assert call.headers["authorization".title()] == "Bearer federated-token"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            clouds.Said(
                {"error": "invalid_grant", "error_description": "bad kubernetes-token"}, 400
            ),
            "Error code invalid_grant: bad redacted",
        ),
        (clouds.Said("<html>no</html>", 403), "<html>no</html>"),
        (clouds.Said("<html>"), "Expecting value"),
    ],
)
async def test_what_sts_says_is_what_is_shown(
    said: clouds.Said, words: str, new_clouds: NewClouds
) -> None:
    """Denied and malformed answers, without the token they quote."""
    async with clouds.serve({"POST /v1/token": said}) as google:
        keychain = new_clouds(google=places(google)).keychain("gcp", account=Account(provider=WIP))
        with pytest.raises(errors.CredentialError) as caught:
            await keychain.credential(REPOSITORY)
    assert caught.value.text.startswith(
        "failed to get access token for artifact registry: failed to create provider access token "
        "for service account 'apps/reader': "
    )
    assert words in caught.value.text
    assert "kubernetes-token" not in caught.value.text


async def test_a_metadata_server_that_refuses_is_quoted(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node without a service account."""
    refusal = clouds.Said("no service account here", 403, FLAVOR)
    async with clouds.serve(machine(refusal)) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("gcp").credential(REPOSITORY)
    assert "for the controller: " in caught.value.text
    assert "no service account here" in caught.value.text


async def test_a_metadata_server_out_of_order_is_quoted(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would go on asking until nobody waits any more."""
    broken = clouds.Said('starting up {"access_token": "s3cret"}', 503, FLAVOR)
    async with clouds.serve(machine(broken)) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        hurried = types.SimpleNamespace(sleep=lambda _: None)
        monkeypatch.setattr("google.auth._exponential_backoff.time", hurried)
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("gcp").credential(REPOSITORY)
        asked = [got.path for got in node.received].count(TOKEN.removeprefix("GET "))
    assert caught.value.text.endswith(
        f"GET http://127.0.0.1:{node.port}{TOKEN.removeprefix('GET ')}: status 503: "
        'starting up {"access_token": "redacted"}'
    )
    assert asked == calls.ATTEMPTS + 1


@pytest.mark.parametrize("token", [{"a": "token"}, "", None])
async def test_a_token_that_is_none_is_not_used(
    token: object, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer may have a token's place and no token there."""
    answer = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
    async with clouds.serve(machine(clouds.Said(answer, headers=FLAVOR))) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        with pytest.raises(errors.CredentialError, match="the answer holds no access token with"):
            await cloud_logins.keychain("gcp").credential(REPOSITORY)


async def test_annotations_that_cannot_be_are_named(new_clouds: NewClouds) -> None:
    """Before a token is asked for."""
    for annotations, key in (
        ({"email": "reader@example.com"}, gcp.EMAIL_ANNOTATION),
        ({"provider": "pool"}, gcp.PROVIDER_ANNOTATION),
    ):
        account = Account(**annotations)
        with pytest.raises(errors.CredentialError, match=f"invalid {key} annotation: "):
            await new_clouds().keychain("gcp", account=account).credential(REPOSITORY)
        assert account.audiences == []


async def test_a_silent_cloud_is_left_alone_in_time(new_clouds: NewClouds) -> None:
    """The deadline ends the wait, not the library."""
    async with clouds.serve() as google:
        google.is_silent = True
        found = new_clouds(google=places(google), deadline=0.5)
        keychain = found.keychain("gcp", account=Account(provider=WIP))
        with pytest.raises(errors.CredentialError, match=r"the cloud did not answer within 0\.5s"):
            await keychain.credential(REPOSITORY)


async def test_a_socks_proxy_is_refused_before_anything_is_sent(
    cloud_logins: logins.Clouds,
) -> None:
    """The clouds' libraries cannot speak through one: a direct connection would betray it."""
    from ocisource.net import proxy as proxies

    route = identity.Route(proxy=proxies.Proxy.parse("socks5://127.0.0.1:9"))
    with pytest.raises(errors.CredentialError, match="a socks5 proxy cannot be used"):
        await cloud_logins.keychain("gcp", route=route).credential(REPOSITORY)


async def test_a_registrys_refusal_brings_a_new_token(
    named_registry: Start, new_clouds: NewClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept token that ended before its time is replaced within the same run, once."""
    now = 0.0
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "new-token")
    issued = iter(("old-token", "new-token"))

    def grant(got: clouds.Received) -> clouds.Said:
        answer = {"access_token": next(issued), "expires_in": 3600, "token_type": "Bearer"}
        return clouds.Said(answer, headers=FLAVOR)

    async with clouds.serve({**machine(), TOKEN: grant}) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        found = new_clouds(cache=tokens.TokenCache(clock=lambda: now, wall=lambda: now))
        keychain = found.keychain("gcp")
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        with pytest.raises(errors.UnauthorizedError):
            await clouds.pull(HOST, access)
        now += tokens.FRESH
        assert await clouds.pull(HOST, access) == clouds.CONTENT
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert next(issued, None) is None


async def test_the_command_line_logs_in_the_same_way(
    named_registry: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--provider gcp`` of the artifact commands."""
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "google-token")
    async with clouds.serve(machine()) as node:
        metadata(monkeypatch, f"127.0.0.1:{node.port}")
        given = remote.access(provider="gcp")
        access = dataclasses.replace(given, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
