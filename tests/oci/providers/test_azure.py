"""ACR through azure-identity: Entra ID, the registry's exchange, then a pull from a real registry.

The registry's front answers ``/oauth2/exchange`` itself and passes ``/v2/`` on to docker-registry,
which accepts the refresh token alone.
"""

import contextlib
import pathlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from ocisource import errors
from ocisource.net import tls
from ocisource.oci import credentials, reference, registry
from ocisource.oci.providers import azure, identity, logins
from tests.oci.providers import clouds
from tests.oci.providers.conftest import NewClouds
from tests.parts import certificates

HOST = "foo.azurecr.io"
REPOSITORY = reference.Repository(HOST, "app")
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
ENTRA = {"access_token": "entra-token", "expires_in": 3600, "token_type": "Bearer"}
REFRESH = clouds.jwt(time.time() + 3 * 3600)
REFUSED = '{"errors": [{"code": "UNAUTHORIZED", "message": "no XX of yours"}]}'
EXCHANGE = "POST /oauth2/exchange"
TOKEN_FAILED = (
    "failed to get access token for artifact registry: failed to create provider access token for "
)


@pytest.fixture
def server_context(
    authority: certificates.Authority, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """A certificate for the registry and for Entra ID, which the libraries trust."""
    files = authority.server(HOST, "localhost", "127.0.0.1").write(tmp_path / "front")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.write(tmp_path)))
    return context


@contextlib.asynccontextmanager
async def managed_identity(
    monkeypatch: pytest.MonkeyPatch, said: clouds.Answer | None = None
) -> AsyncIterator[clouds.Cloud]:
    """The endpoint that Azure gives a process for its managed identity."""
    granted = clouds.Said({**ENTRA, "expires_on": str(int(time.time()) + 3600), "resource": "r"})
    async with clouds.serve({"GET /msi": said or granted}) as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{endpoint.port}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        yield endpoint


@contextlib.asynccontextmanager
async def entra(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, said: clouds.Said
) -> AsyncIterator[clouds.Cloud]:
    """Entra ID for one tenant."""
    async with clouds.serve(tls=context) as found:
        home = f"https://localhost:{found.port}"
        base = f"{home}/{TENANT}"
        found.answers |= {
            f"GET /{TENANT}/v2.0/.well-known/openid-configuration": clouds.Said(
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                }
            ),
            f"POST /{TENANT}/oauth2/v2.0/token": said,
        }
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", home)
        yield found


@contextlib.asynccontextmanager
async def front(
    context: ssl.SSLContext,
    authority: certificates.Authority,
    said: clouds.Answer,
    *,
    upstream: str = "",
) -> AsyncIterator[tuple[clouds.Cloud, identity.Route]]:
    """The registry under its name, and the way to it."""
    async with (
        clouds.serve({EXCHANGE: said}, tls=context, upstream=upstream) as found,
        clouds.forward({f"{HOST}:443": ("127.0.0.1", found.port)}) as forward,
    ):
        trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
        yield found, identity.Route(proxy=forward.proxy, tls=trusted)


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


@pytest.fixture
async def upstream(start_registry: Callable[..., object]) -> str:
    """A real registry that accepts the refresh token alone."""
    part = start_registry(users={azure.USERNAME: REFRESH})
    url: str = part.url  # type: ignore[attr-defined]
    credential = credentials.Credential(username=azure.USERNAME, password=REFRESH)
    await clouds.push(url.removeprefix("http://"), credential, registry.Access())
    return url


async def test_managed_identity_pulls_from_acr(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Identity endpoint → exchange → a pull with the refresh token."""
    async with (
        managed_identity(monkeypatch) as endpoint,
        front(
            server_context,
            authority,
            clouds.Said({"refresh_token": REFRESH}),
            upstream=upstream,
        ) as (acr, route),
    ):
        keychain = cloud_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    (asked,) = endpoint.received
    assert asked.query["resource"] == "https://containerregistry.azure.net"
    (exchanged,) = acr.received
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
        entra(server_context, monkeypatch, clouds.Said(ENTRA)) as directory,
        front(server_context, authority, said, upstream=upstream) as (_, route),
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
        entra(server_context, monkeypatch, clouds.Said(ENTRA)) as directory,
        front(server_context, authority, said, upstream=upstream) as (_, route),
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
    async with entra(server_context, monkeypatch, said):
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
        (clouds.Said("<html>"), f"POST https://{HOST}/oauth2/exchange: the answer is not JSON"),
        (
            clouds.Said({}),
            f"POST https://{HOST}/oauth2/exchange: the answer holds no refresh_token",
        ),
        (
            clouds.Said({"refresh_token": "opaque"}),
            "the registry's refresh token is no JWT with an expiry",
        ),
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
        managed_identity(monkeypatch),
        front(server_context, authority, said) as (_, route),
    ):
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("azure", route=route).credential(REPOSITORY)
    assert caught.value.text == f"failed to create artifact registry credentials: {words}"


async def test_a_silent_exchange_is_left_alone_in_time(
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    new_clouds: NewClouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline counts for the registry's own endpoint too."""
    async with (
        managed_identity(monkeypatch),
        front(server_context, authority, clouds.Said({})) as (acr, route),
    ):
        acr.is_silent = True
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
    async with managed_identity(monkeypatch, refusal) as endpoint:
        with pytest.raises(errors.CredentialError, match="no identity here"):
            await cloud_logins.keychain("azure").credential(repository)
    assert endpoint.received[0].query["resource"] == "https://arm.example"
    file.write_text("{")
    with pytest.raises(errors.CredentialError, match=r"^cannot read the file that AZURE_ENV"):
        await cloud_logins.keychain("azure").credential(repository)
