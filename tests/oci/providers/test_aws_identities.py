"""Where AWS identities come from: Pod Identity's agent, the instance's metadata, and ECR Public.

botocore asks each at its place on loopback; ECR answers whoever signs with the key that was issued,
and a real registry accepts the token that it gave.
"""

import base64
import json
import pathlib
import ssl
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from ocisource.oci.providers import identity, logins, tokens
from tests.oci.providers import clouds
from tests.oci.providers.conftest import NewClouds, Start
from tests.parts import certificates

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PUBLIC = "public.ecr.aws"
ROLE = "arn:aws:iam::111122223333:role/reader"
KEY, SECRET, SESSION = "ASIAISSUEDEXAMPLE", "issued-secret-key", "issued-session/token+x=="
FAR = "2096-01-01T00:00:00Z"
ROLES = "/latest/meta-data/iam/security-credentials/"
CONTROLLER = (
    "failed to get access token for artifact registry: failed to create provider access token for "
    "the controller: "
)
CREDENTIALS = "failed to create artifact registry credentials: "


def ecr(password: str, *, is_public: bool = False) -> clouds.Answer:
    """ECR, or ECR Public, for whoever signs with the issued key and shows the issued session."""
    entry = {
        "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
        "expiresAt": 4_000_000_000,
    }
    service = "SpencerFrontendService" if is_public else "AmazonEC2ContainerRegistry_V20150921"

    def answer(got: clouds.Received) -> clouds.Said:
        if (
            f"Credential={KEY}/" not in got.headers["Authorization"]
            or got.headers["X-Amz-Security-Token"] != SESSION
            or got.headers["X-Amz-Target"] != f"{service}.GetAuthorizationToken"
        ):
            refusal = {"__type": "UnrecognizedClientException", "message": "who is that"}
            return clouds.Said(refusal, 400)
        return clouds.Said({"authorizationData": entry if is_public else [entry]})

    return answer


def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The issued key as the environment's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)


def places(monkeypatch: pytest.MonkeyPatch, cloud: clouds.Cloud) -> str:
    """Have botocore find ECR and STS there."""
    url = f"http://127.0.0.1:{cloud.port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return url


def agent(monkeypatch: pytest.MonkeyPatch, cloud: clouds.Cloud, token: pathlib.Path) -> None:
    """What EKS gives a Pod whose ServiceAccount has a Pod Identity association."""
    token.write_text("pod-token")
    url = f"http://127.0.0.1:{cloud.port}/v1/credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))


async def test_pod_identity_pulls_from_ecr(
    named_registry: Start,
    cloud_logins: logins.Clouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """The agent is shown the Pod's token, and asked directly whatever the object's proxy."""
    forward, trusted = await named_registry(HOST, "AWS", "pod-password")
    issued = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION, "Expiration": FAR}
    answers = {"GET /v1/credentials": clouds.Said(issued), "POST /": ecr("pod-password")}
    async with clouds.serve(answers) as cloud:
        agent(monkeypatch, cloud, tmp_path / "token")
        places(monkeypatch, cloud)
        route = identity.Route(proxy=forward.proxy)
        keychain = cloud_logins.keychain("aws", route=route)
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    asked, signed = cloud.received
    assert asked.headers["Authorization"] == "pod-token"
    assert signed.method == "POST"
    assert forward.targets.count(f"127.0.0.1:{cloud.port}") == 1  # ECR, not the agent


async def test_what_pod_identitys_agent_refuses_is_shown(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """In its words, without the token it was shown."""
    from botocore import utils

    monkeypatch.setattr(utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
    refusal = clouds.Said("(AccessDeniedException): no association for pod-token", 400)
    async with clouds.serve({"GET /v1/credentials": refusal}) as cloud:
        agent(monkeypatch, cloud, tmp_path / "token")
        monkeypatch.delenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("aws").credential(reference.Repository(HOST, "app"))
    assert caught.value.text.startswith(CONTROLLER)
    assert "(AccessDeniedException): no association for redacted" in caught.value.text


async def test_the_instances_role_pulls_from_ecr(
    named_registry: Start, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IMDSv2: a session token, the role's name, its keys."""
    forward, trusted = await named_registry(HOST, "AWS", "node-password")
    issued = {
        "Code": "Success",
        "AccessKeyId": KEY,
        "SecretAccessKey": SECRET,
        "Token": SESSION,
        "Expiration": FAR,
    }
    answers = {
        "PUT /latest/api/token": clouds.Said("imds-token"),
        f"GET {ROLES}": clouds.Said("node-role"),
        f"GET {ROLES}node-role": clouds.Said(json.dumps(issued)),
        "POST /": ecr("node-password"),
    }
    async with clouds.serve(answers) as cloud:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        url = places(monkeypatch, cloud)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        keychain = cloud_logins.keychain("aws")
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    named = [got for got in cloud.received if got.path.startswith(ROLES)]
    assert {got.headers["x-aws-ec2-metadata-token"] for got in named} == {"imds-token"}


async def test_ecr_publics_login_pulls_from_the_gallery(
    named_registry: Start, cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its API is another one, asked in us-east-1 whatever the controller's region."""
    keys(monkeypatch)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    forward, trusted = await named_registry(PUBLIC, "AWS", "gallery-password")
    async with clouds.serve({"POST /": ecr("gallery-password", is_public=True)}) as cloud:
        places(monkeypatch, cloud)
        keychain = cloud_logins.keychain("aws")
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(PUBLIC, access) == clouds.CONTENT
    (signed,) = cloud.received
    assert "/us-east-1/ecr-public/aws4_request" in signed.headers["Authorization"]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_token_that_ecr_no_longer_takes_is_replaced_in_the_same_pull(
    status: int,
    start_registry: Callable[..., object],
    authority: certificates.Authority,
    new_clouds: NewClouds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Kept, then revoked: ECR says so by 400 or 403, and another login follows."""
    keys(monkeypatch)
    now = 0.0
    issued = iter(("old", "new"))
    part = start_registry(users={"AWS": "new"})
    url: str = part.url  # type: ignore[attr-defined]
    pusher = credentials.Credential(username="AWS", password="new")
    await clouds.push(url.removeprefix("http://"), pusher, registry.Access())
    files = authority.server(HOST).write(tmp_path / "front")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def answer(got: clouds.Received) -> clouds.Said:
        said = ecr(next(issued))
        assert callable(said)
        return said(got)

    async with (
        clouds.serve({"POST /": answer}) as cloud,
        clouds.serve(tls=context, upstream=url) as front,
        clouds.forward({f"{HOST}:443": ("127.0.0.1", front.port)}) as forward,
    ):
        places(monkeypatch, cloud)
        old = base64.b64encode(b"AWS:old").decode()
        front.refused[f"Basic {old}"] = status
        cache = tokens.TokenCache(clock=lambda: now, wall=lambda: now)
        keychain = new_clouds(cache=cache).keychain("aws")
        kept = await keychain.credential(reference.Repository(HOST, "app"))
        assert kept == credentials.Credential(username="AWS", password="old")
        now = tokens.FRESH
        trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
        access = registry.Access(keychain=keychain, tls=trusted, proxy=forward.proxy)
        assert await clouds.pull(HOST, access) == clouds.CONTENT
    assert next(issued, None) is None


async def test_a_signature_that_is_refused_is_quoted_without_the_session(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS shows what it thinks should have been signed, the session's token in it."""
    keys(monkeypatch)
    text = (
        "The request signature we calculated does not match the signature you provided.\n\nThe "
        f"Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:"
        f"{SESSION}\nhost:ecr'"
    )
    refusal = clouds.Said({"__type": "InvalidSignatureException", "message": text}, 400)
    async with clouds.serve({"POST /": refusal}) as cloud:
        places(monkeypatch, cloud)
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("aws").credential(reference.Repository(HOST, "app"))
    assert caught.value.text.startswith(
        f"{CREDENTIALS}An error occurred (InvalidSignatureException) when calling the "
        "GetAuthorizationToken operation: The request signature we calculated does not match"
    )
    assert "x-amz-security-token:redacted" in caught.value.text
    assert SESSION not in caught.value.text


async def test_an_answer_that_was_cut_off_is_quoted_without_its_keys(
    cloud_logins: logins.Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """The library shows what it could not read of STS, the keys it issued in it."""
    (tmp_path / "token").write_text("web-identity")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    cut = (
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        f"<AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
        f"<SessionToken>{SESSION}"
    )
    async with clouds.serve({"POST /": clouds.Said(cut)}) as cloud:
        places(monkeypatch, cloud)
        with pytest.raises(errors.CredentialError) as caught:
            await cloud_logins.keychain("aws").credential(reference.Repository(HOST, "app"))
    assert caught.value.text.startswith(f"{CONTROLLER}Unable to parse response")
    assert SECRET not in caught.value.text
    assert SESSION not in caught.value.text
