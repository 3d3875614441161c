"""ECR through botocore: moto's STS and ECR, then a pull from a real registry under ECR's name."""

import base64
import pathlib
import sys

import pytest

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.grammar import reference
from ocisource.oci.providers import aws, identity, logins
from tests.oci.providers import clouds
from tests.oci.providers.conftest import NewClouds, Start

ACCOUNT = "123456789012"  # moto's own
HOST = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
REPOSITORY = reference.Repository(HOST, "app")
ROLE = "arn:aws:iam::111122223333:role/reader"
TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


@pytest.fixture
def moto(moto_port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have botocore find AWS at moto's server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{moto_port}")
    return moto_port


def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ambient credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class Account:
    """A ServiceAccount that may act as a role; an identity.AccountSource."""

    def __init__(self, role: str = ROLE) -> None:
        self.role = role
        self.audiences: list[str] = []

    async def read(self) -> identity.Account:
        """As of AccountSource."""
        return identity.Account(
            namespace="apps",
            name="reader",
            annotations={aws.ROLE_ANNOTATION: self.role},
            token=self.token,
        )

    async def token(self, audience: str) -> str:
        """A token for an audience."""
        self.audiences.append(audience)
        return "kubernetes-token"


async def test_ambient_credentials_pull_from_ecr(
    moto: int,
    named_registry: Start,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables → GetAuthorizationToken → a pull with what it gave, all through the proxy."""
    keys(monkeypatch)
    forward, trusted = await named_registry(HOST, "AWS", f"{ACCOUNT}-auth-token")
    route = identity.Route(proxy=forward.proxy)
    keychain = cloud_logins.keychain("aws", route=route)
    access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
    assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert forward.targets[0] == f"127.0.0.1:{moto}"
    assert f"{HOST}:443" in forward.targets


async def test_irsa_assumes_the_controllers_role(
    moto: int,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """The variables and the file that EKS gives a Pod are enough."""
    file = tmp_path / "token"
    file.write_text("web-identity")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    found = await cloud_logins.keychain("aws").credential(REPOSITORY)
    assert found is not None
    assert (found.username, found.password) == ("AWS", "111122223333-auth-token")


async def test_an_objects_serviceaccount_assumes_its_role(
    moto: int, named_registry: Start, cloud_logins: logins.Clouds
) -> None:
    """TokenRequest → AssumeRoleWithWebIdentity → ECR, without any ambient credential."""
    forward, trusted = await named_registry(HOST, "AWS", "111122223333-auth-token")
    account = Account()
    keychain = cloud_logins.keychain("aws", account=account)
    access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
    assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert account.audiences == ["sts.amazonaws.com"]


async def test_the_request_names_session_role_and_token(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of STS is shown in its words, without the token it quotes."""
    message = "Not authorized to perform sts:AssumeRoleWithWebIdentity with kubernetes-token"
    refusal = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        "<RequestId>1</RequestId></ErrorResponse>"
    )
    async with clouds.serve({"POST /": clouds.Said(refusal, 403)}) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{sts.port}")
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("aws", account=Account()).credential(REPOSITORY)
    assert caught.value.text == (
        "failed to get access token for artifact registry: failed to create provider access token "
        "for service account 'apps/reader': An error occurred (AccessDenied) when calling the "
        "AssumeRoleWithWebIdentity operation: Not authorized to perform "
        "sts:AssumeRoleWithWebIdentity with redacted"
    )
    (got,) = sts.received
    assert got.form["RoleArn"] == ROLE
    assert got.form["RoleSessionName"] == "reader.apps.us-east-1.fluxcd.io"
    assert got.form["WebIdentityToken"] == "kubernetes-token"
    assert "Authorization" not in got.headers


async def test_a_role_that_is_none_is_refused(cloud_logins: logins.Clouds) -> None:
    """Before anything is asked of AWS."""
    with pytest.raises(errors.CredentialError) as caught:
        await cloud_logins.keychain("aws", account=Account("reader")).credential(REPOSITORY)
    assert caught.value.text == (
        "failed to get access token for artifact registry: failed to get provider identity from "
        "service account 'apps/reader' annotations: invalid eks.amazonaws.com/role-arn annotation: "
        rf"'reader'. must match {aws.ROLE_PATTERN}"
    )


def answer(*tokens: str) -> clouds.Said:
    """ECR's answer with these tokens, good for an hour."""
    data = [{"authorizationToken": each, "expiresAt": 4_000_000_000} for each in tokens]
    return clouds.Said({"authorizationData": data})


CALLING = "when calling the GetAuthorizationToken operation:"
GOOD = base64.b64encode(b"AWS:secret").decode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            clouds.Said({"__type": "AccessDeniedException", "message": "no right to"}, 400),
            f"An error occurred (AccessDeniedException) {CALLING} no right to",
        ),
        (
            clouds.Said({"__type": "ExpiredTokenException", "message": "token expired"}, 400),
            f"An error occurred (ExpiredTokenException) {CALLING} token expired",
        ),
        (answer(), "no authorization data in ECR's answer"),
        (answer("AWS:secret"), "ECR's authorization token is not base64"),
        (answer(base64.b64encode(b"a:b:c").decode()), "ECR's authorization token is not user:pass"),
        (
            answer(base64.b64encode(b"secret").decode()),
            "ECR's authorization token is not user:pass",
        ),
        (clouds.Said("<html>secret</html>"), "no authorization data in ECR's answer"),
    ],
)
async def test_what_ecr_says_is_what_is_shown(
    said: clouds.Said, words: str, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Denied, expired and malformed answers, with ECR's words."""
    keys(monkeypatch)
    async with clouds.serve({"POST /": said}) as ecr:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ecr.port}")
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("aws").credential(REPOSITORY)
    assert caught.value.text.startswith("failed to create artifact registry credentials: " + words)
    assert ecr.received[0].headers["X-Amz-Target"] == TARGET


async def test_credentials_are_kept_for_other_objects(
    new_clouds: NewClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second object asks ECR no more; the public gallery is asked apart."""
    keys(monkeypatch)
    public = clouds.Said(
        {"authorizationData": {"authorizationToken": GOOD, "expiresAt": 4_000_000_000}}
    )

    def choose(got: clouds.Received) -> clouds.Said:
        is_public = got.headers["X-Amz-Target"].startswith("SpencerFrontendService")
        return public if is_public else answer(GOOD)

    async with clouds.serve({"POST /": choose}) as ecr:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ecr.port}")
        found = new_clouds()
        for _ in range(2):
            for host in (HOST, "public.ecr.aws"):
                credential = await found.keychain("aws").credential(
                    reference.Repository(host, "app")
                )
                assert credential is not None
                assert credential.password == "secret"
    assert len(ecr.received) == 2


async def test_nobody_there_says_so(cloud_logins: logins.Clouds) -> None:
    """No AWS environment at all."""
    with pytest.raises(errors.CredentialError) as caught:
        await cloud_logins.keychain("aws").credential(REPOSITORY)
    assert caught.value.text.startswith(
        "failed to get access token for artifact registry: failed to create provider access token "
        "for the controller: no AWS credentials found"
    )


async def test_a_silent_cloud_is_left_alone_in_time(
    new_clouds: NewClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline ends the wait, not the library."""
    keys(monkeypatch)
    async with clouds.serve() as ecr:
        ecr.is_silent = True
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ecr.port}")
        with pytest.raises(errors.CredentialError, match=r"the cloud did not answer within 0\.5s"):
            await new_clouds(deadline=0.5).keychain("aws").credential(REPOSITORY)


async def test_a_provider_that_does_not_fit_the_host_says_so(cloud_logins: logins.Clouds) -> None:
    """Nothing is asked of any cloud."""
    with pytest.raises(errors.CredentialError, match=r"^invalid AWS registry: 'ghcr\.io'"):
        await cloud_logins.keychain("aws").credential(reference.Repository("ghcr.io", "app"))


@pytest.mark.parametrize(
    ("provider", "host", "module"),
    [
        ("aws", HOST, "botocore"),
        ("azure", "foo.azurecr.io", "azure.identity"),
        ("gcp", "gcr.io", "google.auth"),
    ],
)
async def test_a_missing_library_says_what_to_install(
    provider: str,
    host: str,
    module: str,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extras are optional."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.CredentialError, match=rf"pip install ocisource\[{provider}\]$"):
        await cloud_logins.keychain(provider).credential(reference.Repository(host, "app"))


async def test_no_secret_is_in_any_repr(
    moto: int, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keychains and credentials may be logged."""
    keys(monkeypatch)
    keychain = cloud_logins.keychain("aws")
    found = await keychain.credential(REPOSITORY)
    assert "auth-token" not in repr((keychain, found, cloud_logins.cache))
    assert isinstance(keychain, registry.RenewableKeychain)
    assert keychain == cloud_logins.keychain("aws")
    assert keychain != cloud_logins.keychain("gcp")
