"""Ways that lead nowhere, or elsewhere: no credential goes along, and none is told."""

import json
import pathlib

import pytest

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.oci.grammar import reference
from ocisource.oci.providers import gcp, identity, logins
from tests.oci.providers import acr, clouds, names, test_aws, test_azure, test_gcp
from tests.oci.providers.conftest import NewClouds
from tests.parts import certificates

NUMBER = "123456789012"
GAR = "europe-docker.pkg.dev"


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp"])
async def test_a_login_that_is_sent_elsewhere_does_not_go(
    provider: str,
    authority: certificates.Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    new_clouds: NewClouds,
) -> None:
    """An assertion is shown to its cloud alone."""
    hosts = {"aws": f"{NUMBER}.dkr.ecr.us-east-1.amazonaws.com", "azure": acr.HOST, "gcp": GAR}
    accounts: dict[str, identity.AccountSource] = {
        "aws": test_aws.Account(),
        "azure": test_azure.Account(),
        "gcp": test_gcp.Account(provider=test_gcp.WIP),
    }
    async with clouds.serve() as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.port}/"
        away = clouds.Said("there", 307, {"Location": url})
        answers: dict[str, clouds.Answer] = {
            **acr.directory("localhost"),
            f"POST /{acr.TENANT}/oauth2/v2.0/token": away,
            "POST /v1/token": away,
            "POST /": away,
        }
        async with names.named(answers, ["localhost"], authority, tmp_path, monkeypatch) as cloud:
            home = f"https://localhost:{cloud.port}"
            monkeypatch.setenv("AWS_ENDPOINT_URL", home)
            monkeypatch.setenv("AZURE_AUTHORITY_HOST", home)
            found = new_clouds(google=gcp.Endpoints(sts=f"{home}/v1/token"))
            keychain = found.keychain(provider, account=accounts[provider])
            with pytest.raises(errors.CredentialError):
                await keychain.credential(reference.Repository(hosts[provider], "app"))
    assert cloud.received
    assert elsewhere.received == []


@pytest.mark.parametrize(
    ("provider", "host"),
    [
        ("aws", f"{NUMBER}.dkr.ecr.us-east-1.amazonaws.com"),
        ("azure", acr.HOST),
        ("gcp", GAR),
    ],
)
async def test_a_proxy_that_is_not_there_is_named_without_its_password(
    provider: str,
    host: str,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Object's proxies hold credentials of their own."""
    file = tmp_path / "user.json"
    content = {"client_id": "c", "client_secret": "s3cret", "refresh_token": "r3fresh"}
    file.write_text(json.dumps({"type": "authorized_user", **content}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", acr.TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", acr.CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s3cret")
    test_aws.keys(monkeypatch)
    proxy = proxies.Proxy.parse("http://127.0.0.1:9", "user", "pr0xy/word")
    keychain = cloud_logins.keychain(provider, route=identity.Route(proxy=proxy))
    with pytest.raises(errors.CredentialError) as caught:
        await keychain.credential(reference.Repository(host, "app"))
    assert "proxy" in caught.value.text.lower()
    for secret in ("pr0xy", "s3cret", "r3fresh", "wJalr"):
        assert secret not in caught.value.text
        assert secret not in repr(caught.value)
