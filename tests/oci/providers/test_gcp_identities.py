"""Where Google's identities come from: impersonation on GKE, federation by file, a user's login."""

import json
import pathlib

import pytest

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.grammar import reference
from ocisource.oci.providers import gcp, identity, logins
from tests.oci.providers import clouds, names, test_gcp
from tests.oci.providers.conftest import NewClouds, Start, metadata
from tests.parts import certificates

HOST = "europe-docker.pkg.dev"
REPOSITORY = reference.Repository(HOST, "app")
EMAIL = test_gcp.EMAIL
IMPERSONATE = f"/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
GRANTED = {"access_token": "google-token", "expires_in": 3600, "token_type": "Bearer"}
ACCOUNT = (
    "failed to get access token for artifact registry: failed to create provider access token for "
    "service account 'apps/reader': "
)


async def test_a_serviceaccount_of_gke_impersonates_a_google_one(
    named_registry: Start, new_clouds: NewClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TokenRequest → STS for the cluster's pool → IAM → a pull, cloud and registry by one proxy."""
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "impersonated")
    granted = clouds.Said({"accessToken": "impersonated", "expireTime": "2096-01-01T00:00:00Z"})
    answers = {
        **test_gcp.machine(),
        "POST /v1/token": test_gcp.FEDERATED,
        f"POST {IMPERSONATE}": granted,
    }
    async with clouds.serve(answers) as cloud:
        metadata(monkeypatch, f"127.0.0.1:{cloud.port}")
        keychain = new_clouds(google=test_gcp.places(cloud)).keychain(
            "gcp",
            route=identity.Route(proxy=forward.proxy),
            account=test_gcp.Account(email=EMAIL),
        )
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    (asked,) = (got for got in cloud.received if got.path == IMPERSONATE)
    assert asked.headers["Authorization"] == "Bearer federated-token"


async def test_what_iam_refuses_is_shown_without_the_federated_token(
    new_clouds: NewClouds,
) -> None:
    """The account may not act as the one it names."""
    message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource"
    refusal = clouds.Said(
        {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}, 403
    )
    answers = {"POST /v1/token": test_gcp.FEDERATED, f"POST {IMPERSONATE}": refusal}
    async with clouds.serve(answers) as cloud:
        account = test_gcp.Account(email=EMAIL, provider=test_gcp.WIP)
        keychain = new_clouds(google=test_gcp.places(cloud)).keychain("gcp", account=account)
        with pytest.raises(errors.CredentialError) as caught:
            await keychain.credential(REPOSITORY)
    assert caught.value.text.startswith(ACCOUNT)
    assert message in caught.value.text
    assert "federated-token" not in caught.value.text


async def test_outside_gke_the_annotation_to_set_is_named(cloud_logins: logins.Clouds) -> None:
    """Without it the cluster's own pool is looked for, where there is none."""
    account = test_gcp.Account()
    with pytest.raises(errors.CredentialError) as caught:
        await cloud_logins.keychain("gcp", account=account).credential(REPOSITORY)
    assert caught.value.text.startswith(
        "failed to get access token for artifact registry: failed to read the GKE cluster from the "
        "metadata server (outside GKE, name the pool's provider in the annotation "
        "gcp.auth.fluxcd.io/workload-identity-provider): "
    )
    assert account.audiences == []


async def test_a_federation_file_pulls_from_artifact_registry(
    named_registry: Start,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Outside Google: a token on disk, STS, and Application Default Credentials that name both."""
    (tmp_path / "subject").write_text("kubernetes-token")
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "federated-token")
    async with clouds.serve({"POST /v1/token": test_gcp.FEDERATED}) as cloud:
        content = {
            "type": "external_account",
            "audience": f"//iam.googleapis.com/{test_gcp.WIP}",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"http://127.0.0.1:{cloud.port}/v1/token",
            "credential_source": {"file": str(tmp_path / "subject")},
        }
        (tmp_path / "adc.json").write_text(json.dumps(content))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
        access = registry.Access(
            keychain=cloud_logins.keychain("gcp"), tls=trusted, proxy=forward.proxy
        )
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    (asked,) = cloud.received
    assert asked.form["subject_token"] == "kubernetes-token"


async def test_a_users_login_pulls_from_artifact_registry(
    named_registry: Start,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """What ``gcloud auth application-default login`` leaves, at Google's own name."""
    place = "oauth2.googleapis.com"
    content = {
        "type": "authorized_user",
        "client_id": "client",
        "client_secret": "client-secret",
        "refresh_token": "refresh-token",
    }
    (tmp_path / "adc.json").write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    forward, trusted = await named_registry(HOST, gcp.USERNAME, "google-token")
    answers = {"POST /token": clouds.Said(GRANTED)}
    async with names.named(answers, [place], authority, tmp_path, monkeypatch) as cloud:
        forward.routes[f"{place}:443"] = ("127.0.0.1", cloud.port)
        keychain = cloud_logins.keychain("gcp", route=identity.Route(proxy=forward.proxy))
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    (asked,) = cloud.received
    assert asked.form["refresh_token"] == "refresh-token"
