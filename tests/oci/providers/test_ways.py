"""The ways to the clouds: their own names for each partition, and the environment's proxies.

Nothing here tells a library where its cloud is: it asks for the name it knows, and a proxy of ours
leads there.
"""

import base64
import contextlib
import json
import pathlib
import ssl
from collections.abc import AsyncIterator, Mapping

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.net import tls
from ocisource.oci import reference, registry
from ocisource.oci.providers import gcp, identity, logins
from tests.oci.providers import acr, clouds, test_aws, test_azure, test_gcp
from tests.oci.providers.conftest import NewClouds, Start
from tests.parts import certificates

NUMBER = "123456789012"
GAR = "europe-docker.pkg.dev"
STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId>
<SecretAccessKey>key</SecretAccessKey><SessionToken>session</SessionToken>
<Expiration>2096-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"""


def through(monkeypatch: pytest.MonkeyPatch, forward: clouds.Forward) -> None:
    """Have the environment name this proxy."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, forward.proxy.address)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextlib.asynccontextmanager
async def named(
    answers: Mapping[str, clouds.Answer],
    names: list[str],
    authority: certificates.Authority,
    folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[clouds.Cloud]:
    """A cloud with a certificate for these names, whose authority the libraries trust."""
    files = authority.server(*names).write(folder / "cloud")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    bundle = str(authority.write(folder))
    for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, bundle)
    async with clouds.serve(answers, tls=context) as cloud:
        yield cloud


def directory(place: str) -> dict[str, clouds.Answer]:
    """Entra ID under this name, for one tenant."""
    base = f"https://{place}/{acr.TENANT}"
    return {
        f"GET /{acr.TENANT}/v2.0/.well-known/openid-configuration": clouds.Said(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        ),
        f"POST /{acr.TENANT}/oauth2/v2.0/token": clouds.Said(acr.ENTRA),
    }


def aws_answer(got: clouds.Received) -> clouds.Said:
    """STS's answer, or ECR's."""
    if "X-Amz-Target" not in got.headers:
        return clouds.Said(STS)
    entry = {
        "authorizationToken": base64.b64encode(b"AWS:ecr-password").decode(),
        "expiresAt": 4_000_000_000,
    }
    return clouds.Said({"authorizationData": [entry]})


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
    names = [f"sts.{suffix}", f"api.ecr.{suffix}"]
    async with named({"POST /": aws_answer}, names, authority, tmp_path, monkeypatch) as cloud:
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in names}
        async with clouds.forward(routes) as forward:
            keychain = cloud_logins.keychain(
                "aws", route=identity.Route(proxy=forward.proxy), account=test_aws.Account()
            )
            found = await keychain.credential(reference.Repository(f"{NUMBER}.{host}", "app"))
    assert found is not None
    assert found.password == "ecr-password"
    assert forward.targets == [f"{name}:443" for name in names]


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
    names = ["sts.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com"]
    forward, trusted = await named_registry(host, "AWS", "ecr-password")
    async with named({"POST /": aws_answer}, names, authority, tmp_path, monkeypatch) as cloud:
        forward.routes |= {f"{name}:443": ("127.0.0.1", cloud.port) for name in names}
        through(monkeypatch, forward)
        access = registry.Access(keychain=cloud_logins.keychain("aws"), tls=trusted)
        assert await clouds.pull(host, access) == clouds.CONTENT
    assert forward.targets[:2] == [f"{name}:443" for name in names]
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
        **directory(entra),
        acr.EXCHANGE: clouds.Said({"refresh_token": acr.REFRESH}),
    }
    async with named(answers, [entra, acr.HOST], authority, tmp_path, monkeypatch) as cloud:
        cloud.upstream = upstream
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in (entra, acr.HOST)}
        async with clouds.forward(routes) as forward:
            through(monkeypatch, forward)
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
    async with named(
        {"POST /token": clouds.Said(granted)}, [place], authority, tmp_path, monkeypatch
    ) as cloud:
        forward.routes[f"{place}:443"] = ("127.0.0.1", cloud.port)
        through(monkeypatch, forward)
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
        **directory(place),
        acr.EXCHANGE: clouds.Said({"refresh_token": acr.REFRESH}),
    }
    async with named(answers, [place, host], authority, tmp_path, monkeypatch) as cloud:
        routes = {f"{name}:443": ("127.0.0.1", cloud.port) for name in (place, host)}
        async with clouds.forward(routes) as forward:
            trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
            route = identity.Route(proxy=forward.proxy, tls=trusted)
            keychain = cloud_logins.keychain("azure", route=route, account=test_azure.Account())
            found = await keychain.credential(reference.Repository(host, "app"))
    assert found is not None
    assert found.password == acr.REFRESH
    assert set(forward.targets) == {f"{place}:443", f"{host}:443"}


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
            **directory("localhost"),
            f"POST /{acr.TENANT}/oauth2/v2.0/token": away,
            "POST /v1/token": away,
            "POST /": away,
        }
        async with named(answers, ["localhost"], authority, tmp_path, monkeypatch) as cloud:
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
