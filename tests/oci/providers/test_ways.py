"""The ways to the clouds: their own names for each partition, and the environment's proxies.

Nothing here tells a library where its cloud is: it asks for the name it knows, and a proxy of ours
leads there.
"""

import json
import pathlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.grammar import reference
from ocisource.oci.providers import gcp, identity, logins
from tests.oci.providers import acr, clouds, names, test_aws, test_azure
from tests.oci.providers.conftest import Start
from tests.parts import certificates

NUMBER = "123456789012"
GAR = "europe-docker.pkg.dev"


@pytest.mark.parametrize(
    ("host", "suffix"),
    [
        ("dkr.ecr.us-east-1.amazonaws.com", "us-east-1.amazonaws.com"),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1.amazonaws.com.cn"),
        ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1.amazonaws.com"),
        ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1.amazonaws.eu"),
        ("dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1.sc2s.sgov.gov"),
        ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1.c2s.ic.gov"),
        ("dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1.cloud.adc-e.uk"),
        ("dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1.csp.hci.ic.gov"),
        ("dkr-ecr.us-west-2.on.aws", "us-west-2.amazonaws.com"),
    ],
)
async def test_each_partition_is_asked_at_its_own_place(
    host: str,
    suffix: str,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """STS and ECR of the host's region, whatever the controller's, through the object's proxy."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    places = [f"sts.{suffix}", f"api.ecr.{suffix}"]
    async with names.named(
        {"POST /": names.aws("ecr-password")}, places, authority, tmp_path, monkeypatch
    ) as cloud:
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in places}
        async with clouds.forward(routes) as forward:
            keychain = cloud_logins.keychain(
                "aws", route=identity.Route(proxy=forward.proxy), account=test_aws.Account()
            )
            found = await keychain.credential(reference.Repository(f"{NUMBER}.{host}", "app"))
    assert found is not None
    assert found.password == "ecr-password"
    assert forward.targets == [f"{name}:443" for name in places]


async def test_the_environments_proxy_leads_to_aws(
    named_registry: Start,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """STS with the Pod's own token (IRSA), ECR, and the registry."""
    host = f"{NUMBER}.dkr.ecr.us-east-1.amazonaws.com"
    (tmp_path / "token").write_text("web-identity")
    monkeypatch.setenv("AWS_ROLE_ARN", test_aws.ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    places = ["sts.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com"]
    forward, trusted = await named_registry(host, "AWS", "ecr-password")
    async with names.named(
        {"POST /": names.aws("ecr-password")}, places, authority, tmp_path, monkeypatch
    ) as cloud:
        forward.routes |= {f"{name}:443": ("127.0.0.1", cloud.port) for name in places}
        names.through(monkeypatch, forward)
        access = registry.Access(keychain=cloud_logins.keychain("aws"), tls=trusted)
        assert await clouds.pull(host, access) == clouds.CONTENT
    assert forward.targets[:2] == [f"{name}:443" for name in places]
    assert set(forward.targets[2:]) == {f"{host}:443"}


async def test_the_environments_proxy_leads_to_azure(
    upstream: str,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Entra ID with a client secret, the exchange, and the registry."""
    entra = "login.example.com"
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://{entra}")
    monkeypatch.setenv("AZURE_TENANT_ID", acr.TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", acr.CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "hunter22")
    answers = {
        **acr.directory(entra),
        acr.EXCHANGE: clouds.Said({"refresh_token": acr.REFRESH}),
    }
    async with names.named(answers, [entra, acr.HOST], authority, tmp_path, monkeypatch) as cloud:
        cloud.upstream = upstream
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in (entra, acr.HOST)}
        async with clouds.forward(routes) as forward:
            names.through(monkeypatch, forward)
            trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
            keychain = cloud_logins.keychain("azure", route=identity.Route(tls=trusted))
            access = registry.Access(keychain=keychain, tls=trusted)
            assert await clouds.pull(acr.HOST, access) == clouds.CONTENT
    assert set(forward.targets) == {f"{entra}:443", f"{acr.HOST}:443"}
    asked = next(got for got in cloud.received if got.path.endswith("/oauth2/v2.0/token"))
    assert (asked.form["client_id"], asked.form["client_secret"]) == (acr.CLIENT, "hunter22")


async def test_the_environments_proxy_leads_to_google(
    named_registry: Start,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """A key file of Application Default Credentials, its token endpoint, and the registry."""
    place = "oauth2.example.com"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path / "key.json"
    content = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "reader@project.iam.gserviceaccount.com",
        "token_uri": f"https://{place}/token",
    }
    file.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    granted = {"access_token": "google-token", "expires_in": 3600, "token_type": "Bearer"}
    forward, trusted = await named_registry(GAR, gcp.USERNAME, "google-token")
    async with names.named(
        {"POST /token": clouds.Said(granted)}, [place], authority, tmp_path, monkeypatch
    ) as cloud:
        forward.routes[f"{place}:443"] = ("127.0.0.1", cloud.port)
        names.through(monkeypatch, forward)
        access = registry.Access(keychain=cloud_logins.keychain("gcp"), tls=trusted)
        assert await clouds.pull(GAR, access) == clouds.CONTENT
    assert forward.targets[0] == f"{place}:443"
    assert set(forward.targets[1:]) == {f"{GAR}:443"}
    (asked,) = cloud.received
    assert "assertion" in asked.form


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("foo.azurecr.io", "login.microsoftonline.com"),
        ("foo.azurecr.cn", "login.chinacloudapi.cn"),
        ("foo.azurecr.us", "login.microsoftonline.us"),
    ],
)
async def test_each_azure_cloud_has_a_directory_of_its_own(
    host: str,
    place: str,
    authority: certificates.Authority,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """A sovereign cloud's assertion is shown to nobody outside of it."""
    answers = {
        **acr.directory(place),
        acr.EXCHANGE: clouds.Said({"refresh_token": acr.REFRESH}),
    }
    async with names.named(answers, [place, host], authority, tmp_path, monkeypatch) as cloud:
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in (place, host)}
        async with clouds.forward(routes) as forward:
            trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
            route = identity.Route(proxy=forward.proxy, tls=trusted)
            keychain = cloud_logins.keychain("azure", route=route, account=test_azure.Account())
            found = await keychain.credential(reference.Repository(host, "app"))
    assert found is not None
    assert found.password == acr.REFRESH
    assert set(forward.targets) == {f"{place}:443", f"{host}:443"}
