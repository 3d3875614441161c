"""Where Azure's identities come from, and ACR's own token service: each ends in a pull."""

import json
import os
import pathlib
import ssl
import time
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from ocisource.oci.providers import logins
from tests.oci.providers import acr, clouds, test_azure
from tests.parts import certificates

IMDS = "GET /metadata/identity/oauth2/token"
REPOSITORY = reference.Repository(acr.HOST, "app")
GRANTED = clouds.Said({"refresh_token": acr.REFRESH})
CONTROLLER = (
    "failed to get access token for artifact registry: failed to create provider access token for "
    "the controller: "
)
AZ = """#!/bin/sh
printf '%s\\n' "$*" >> "$AZ_CALLS"
{body}
"""


@pytest.fixture
async def shell_logins() -> AsyncIterator[logins.Clouds]:
    """The clouds as our own command line asks them."""
    found = logins.Clouds(has_shell=True)
    yield found
    await found.close()


def az(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, body: str) -> pathlib.Path:
    """Have ``az`` on the PATH do this; returns the file with its arguments."""
    program = folder / "bin" / "az"
    program.parent.mkdir()
    program.write_text(AZ.format(body=body))
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AZ_CALLS", str(folder / "calls"))
    return folder / "calls"


async def test_the_virtual_machines_identity_pulls_from_acr(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IMDS, asked directly whatever the object's proxy."""
    now = int(time.time())
    said = clouds.Said({**acr.ENTRA, "expires_in": "3600", "expires_on": str(now + 3600)})
    async with (
        clouds.serve({IMDS: said}) as imds,
        acr.front(server_context, authority, GRANTED, upstream=upstream) as (front, route),
    ):
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{imds.port}")
        keychain = cloud_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(acr.HOST, access) == clouds.CONTENT
    assert {got.headers["Metadata"] for got in imds.received} == {"true"}
    assert {got.query["resource"] for got in imds.received} == {
        "https://containerregistry.azure.net"
    }
    assert front.received[0].form["access_token"] == "entra-token"


async def test_az_logs_the_command_line_in(
    upstream: str,
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    shell_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Whoever is logged in there."""
    given = json.dumps({"accessToken": "entra-token", "expires_on": int(time.time()) + 3600})
    asked = az(monkeypatch, tmp_path, f"echo '{given}'")
    async with acr.front(server_context, authority, GRANTED, upstream=upstream) as (front, route):
        keychain = shell_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(acr.HOST, access) == clouds.CONTENT
    assert front.received[0].form["access_token"] == "entra-token"
    (line,) = asked.read_text().splitlines()
    assert line.startswith("account get-access-token ")
    assert line.endswith("--resource https://containerregistry.azure.net")


async def test_what_az_refuses_is_shown(
    shell_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """What to do is part of it."""
    az(monkeypatch, tmp_path, "echo 'ERROR: AADSTS70043: sign in again' >&2; exit 1")
    with pytest.raises(errors.CredentialError) as caught:
        await shell_logins.keychain("azure").credential(REPOSITORY)
    assert caught.value.text.startswith(CONTROLLER)
    assert "AzureCliCredential: ERROR: AADSTS70043: sign in again" in caught.value.text


async def test_a_controller_runs_no_az(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """A service's identity is its own, not that of a developer's tool on its PATH."""
    asked = az(monkeypatch, tmp_path, "exit 1")
    with pytest.raises(errors.CredentialError):
        await cloud_logins.keychain("azure").credential(REPOSITORY)
    assert not asked.exists()


async def test_acrs_token_service_takes_the_refresh_token(
    start_registry: Callable[..., object],
    server_context: ssl.SSLContext,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """As ACR does it: Entra ID → exchange → ``/oauth2/token`` for the scope → Bearer."""
    service = acr.TokenService(authority.server(acr.HOST))
    part = start_registry(more=service.configuration(str(authority.write(tmp_path))))
    url: str = part.url  # type: ignore[attr-defined]
    pusher = credentials.Credential(registry_token=service.signed("repository:app:pull,push"))
    await clouds.push(url.removeprefix("http://"), pusher, registry.Access())
    async with (
        acr.managed_identity(monkeypatch),
        acr.front(server_context, authority, GRANTED, upstream=url, token=service) as (
            front,
            route,
        ),
    ):
        keychain = cloud_logins.keychain("azure", route=route)
        access = registry.Access(keychain=keychain, tls=route.tls, proxy=route.proxy)
        assert await clouds.pull(acr.HOST, access) == clouds.CONTENT
    exchange, token = front.received
    assert exchange.form["access_token"] == "entra-token"
    assert token.query == {"service": acr.HOST, "scope": "repository:app:pull"}


@pytest.mark.parametrize(
    "said",
    [
        clouds.Said('{"access_token": "entra-token", "expi'),
        clouds.Said({"access_token": "entra-token"}),
        clouds.Said("identity-header is not who you are", 400),
    ],
)
async def test_what_cannot_be_read_is_told_without_the_token(
    said: clouds.Said, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is cut off, incomplete, or repeats what it was shown."""
    async with acr.managed_identity(monkeypatch, said):
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("azure").credential(REPOSITORY)
    assert caught.value.text.startswith(CONTROLLER)
    assert "ManagedIdentityCredential: " in caught.value.text
    assert "entra-token" not in caught.value.text
    assert "identity-header" not in caught.value.text


async def test_an_entra_token_that_is_none_is_not_exchanged(
    server_context: ssl.SSLContext, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry would only say that it was shown nothing."""
    said = clouds.Said({**acr.ENTRA, "access_token": ""})
    async with acr.entra(server_context, monkeypatch, said):
        keychain = cloud_logins.keychain("azure", account=test_azure.Account())
        with pytest.raises(errors.CredentialError, match=r"the answer holds no access token$"):
            await keychain.credential(REPOSITORY)
