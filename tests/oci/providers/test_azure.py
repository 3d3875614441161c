"""ACR through azure-identity: Entra ID, ACR's exchange, and a pull from a real registry."""

import base64
import pathlib
import ssl
from collections.abc import Mapping

import pytest

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.grammar import reference
from ocisource.oci.providers import azure, identity, logins
from tests.oci.providers import acr, clouds
from tests.oci.providers.conftest import NewClouds
from tests.parts import certificates

HOST, TENANT, CLIENT = acr.HOST, acr.TENANT, acr.CLIENT
ENTRA, REFRESH = acr.ENTRA, acr.REFRESH
REPOSITORY = reference.Repository(HOST, "app")
NOT_JSON = f"POST https://{HOST}/oauth2/exchange: the answer is not JSON"
NO_JWT = "the registry's refresh token is no JWT with an expiry"
REFUSED = '{"errors": [{"code": "UNAUTHORIZED", "message": "no XX of yours"}]}'
TOKEN_FAILED = (
    "failed to get access token for artifact registry: failed to create provider access token for "
)


class Account:
    """A ServiceAccount with a client ID; an identity.AccountSource."""

    def __init__(self, annotations: Mapping[str, str] | None = None) -> None:
        chosen = {azure.TENANT_ANNOTATION: TENANT, azure.CLIENT_ANNOTATION: CLIENT}
        self.annotations = chosen if annotations is None else annotations
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


async def test_managed_identity_pulls_from_acr(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Identity endpoint → exchange → a pull with the refresh token."""
    async with (
        acr.managed_identity(monkeypatch) as endpoint,
        acr.front(
            server_context,
            authority,
            clouds.Said({"refresh_token": REFRESH}),
            upstream=upstream,
        ) as (registry_front, route),
    ):
        keychain = cloud_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    (asked,) = endpoint.received
    assert asked.query["resource"] == "https://containerregistry.azure.net"
    (exchanged,) = registry_front.received
    assert exchanged.form == {
        "grant_type": "access_token",
        "service": HOST,
        "access_token": "entra-token",
    }


async def test_workload_identity_pulls_from_acr(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """The variables and the file that the webhook gives a Pod are enough."""
    file = tmp_path / "federated"
    file.write_text("pod-token")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    said = clouds.Said({"refresh_token": REFRESH})
    async with (
        acr.entra(server_context, monkeypatch, clouds.Said(ENTRA)) as directory,
        acr.front(server_context, authority, said, upstream=upstream) as (_, route),
    ):
        keychain = cloud_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    asked = directory.received[-1].form
    assert asked["client_assertion"] == "pod-token"
    assert asked["scope"] == "https://containerregistry.azure.net/.default"


async def test_an_objects_serviceaccount_pulls_from_acr(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TokenRequest → client assertion → exchange."""
    account = Account()
    said = clouds.Said({"refresh_token": REFRESH})
    async with (
        acr.entra(server_context, monkeypatch, clouds.Said(ENTRA)) as directory,
        acr.front(server_context, authority, said, upstream=upstream) as (_, route),
    ):
        keychain = cloud_logins.keychain("azure", route=route, account=account)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert account.audiences == ["api://AzureADTokenExchange"]
    asked = directory.received[-1].form
    assert (asked["client_id"], asked["client_assertion"]) == (CLIENT, "kubernetes-token")


async def test_entra_ids_refusal_is_shown_in_its_words(
    server_context: ssl.SSLContext, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the assertion that it quotes."""
    text = "AADSTS700024: Client assertion kubernetes-token is not within its valid time range."
    said = clouds.Said({"error": "invalid_client", "error_description": text}, 401)
    async with acr.entra(server_context, monkeypatch, said):
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("azure", account=Account()).credential(REPOSITORY)
    assert caught.value.text.startswith(f"{TOKEN_FAILED}service account 'apps/reader': ")
    assert "AADSTS700024: Client assertion redacted is not within its valid" in caught.value.text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            clouds.Said(REFUSED.replace("XX", "entra-token"), 401),
            f"POST https://{HOST}/oauth2/exchange: status 401: {REFUSED.replace('XX', 'redacted')}",
        ),
        (clouds.Said("<html>"), NOT_JSON),
        (
            clouds.Said({}),
            f"POST https://{HOST}/oauth2/exchange: the answer holds no refresh_token",
        ),
        (clouds.Said('{"refresh_token": ' + "[" * 20_000), NOT_JSON),
        (clouds.Said({"refresh_token": "opaque"}), NO_JWT),
    ],
)
async def test_what_the_exchange_says_is_what_is_shown(
    said: clouds.Said,
    words: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Denied and malformed answers of the registry."""
    async with (
        acr.managed_identity(monkeypatch),
        acr.front(server_context, authority, said) as (_, route),
    ):
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("azure", route=route).credential(REPOSITORY)
    assert caught.value.text == f"failed to create artifact registry credentials: {words}"


def payload(text: str) -> str:
    """A JWT with this payload."""
    return f"e30.{base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')}.sig"


@pytest.mark.parametrize(
    ("text", "ends_at"),
    [('{"exp": 12}', 12.0), ('{"exp":1.5,"iat":0}', 1.5), ('{"sub":"ü","exp":-1}', -1.0)],
)
def test_a_refresh_token_says_when_it_ends(text: str, ends_at: float) -> None:
    """In its claims, whatever the length of their base64."""
    assert azure.expiry(payload(text)) == ends_at


@pytest.mark.parametrize(
    "token",
    [
        "",
        "e30",
        "e30.e30",
        "e30.\N{SNOWMAN}.sig",
        payload('{"exp":"12"}'),
        payload('{"exp":null}'),
        payload('{"exp":1e400}'),
        payload("[12]"),
        payload('{"a":' + "[" * 20_000),
    ],
)
def test_a_token_that_does_not_say_when_it_ends_is_refused(token: str) -> None:
    """Rather than kept for ever, and whatever a hostile registry makes up."""
    with pytest.raises(errors.CredentialError, match=f"^{NO_JWT}$"):
        azure.expiry(token)


async def test_a_silent_exchange_is_left_alone_in_time(
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    new_clouds: NewClouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline counts for the registry's own endpoint too."""
    async with (
        acr.managed_identity(monkeypatch),
        acr.front(server_context, authority, clouds.Said({})) as (registry_front, route),
    ):
        registry_front.is_silent = True
        with pytest.raises(errors.CredentialError, match=r"the cloud did not answer within 2s"):
            await new_clouds(deadline=2.0).keychain("azure", route=route).credential(REPOSITORY)


async def test_annotations_that_are_missing_are_named(cloud_logins: logins.Clouds) -> None:
    """Before a token is asked for."""
    account = Account({azure.TENANT_ANNOTATION: TENANT})
    with pytest.raises(errors.CredentialError) as caught:
        await cloud_logins.keychain("azure", account=account).credential(REPOSITORY)
    assert f"invalid {azure.CLIENT_ANNOTATION} annotation: ''" in caught.value.text
    assert account.audiences == []


async def test_a_private_cloud_is_described_by_a_file(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Its suffix is a host's, its audience the token's; a broken file says so."""
    file = tmp_path / "environment.json"
    repository = reference.Repository("foo.private.example", "app")
    file.write_text(
        '{"containerRegistryDNSSuffix": "private.example", "tokenAudience": "https://arm.example"}'
    )
    monkeypatch.setenv("AZURE_ENVIRONMENT_FILEPATH", str(file))
    refusal = clouds.Said({"statusCode": 400, "message": "no identity here"}, 400)
    async with acr.managed_identity(monkeypatch, refusal) as endpoint:
        with pytest.raises(errors.CredentialError, match="no identity here"):
            await cloud_logins.keychain("azure").credential(repository)
    assert endpoint.received[0].query["resource"] == "https://arm.example"
    file.write_text("{")
    with pytest.raises(errors.CredentialError, match=r"^cannot read the file that AZURE_ENV"):
        await cloud_logins.keychain("azure").credential(repository)
