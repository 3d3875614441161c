"""Clouds under their own names: certificates the libraries trust, and proxies to them."""

import base64
import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.oci.providers import clouds
from tests.parts import certificates

STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId>
<SecretAccessKey>key</SecretAccessKey><SessionToken>session</SessionToken>
<Expiration>2096-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"""


def aws(password: str) -> clouds.Answer:
    """STS, which grants whatever it is asked for, and ECR, whose token holds this password."""
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    data = [{"authorizationToken": token, "expiresAt": 4_000_000_000}]

    def answer(got: clouds.Received) -> clouds.Said:
        is_ecr = "X-Amz-Target" in got.headers
        return clouds.Said({"authorizationData": data}) if is_ecr else clouds.Said(STS)

    return answer


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
