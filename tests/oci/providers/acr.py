"""Azure on loopback: Entra ID, a managed identity's endpoint, and an ACR before a real registry.

The front of ACR answers ``/oauth2/exchange`` and ``/oauth2/token`` itself and passes ``/v2/`` on to
docker-registry, which accepts the refresh token alone, or the tokens that the front signs for it.
"""

import base64
import contextlib
import dataclasses
import json
import ssl
import time
from collections.abc import AsyncIterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from ocisource.net import tls
from ocisource.oci.providers import azure, identity
from tests.oci.providers import clouds
from tests.parts import certificates

HOST = "foo.azurecr.io"
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
ENTRA = {"access_token": "entra-token", "expires_in": 3600, "token_type": "Bearer"}
REFRESH = clouds.jwt(time.time() + 3 * 3600)
EXCHANGE = "POST /oauth2/exchange"
TOKEN = "GET /oauth2/token"
ISSUER = "Azure Container Registry"


@contextlib.asynccontextmanager
async def managed_identity(
    monkeypatch: pytest.MonkeyPatch, said: clouds.Answer | None = None
) -> AsyncIterator[clouds.Cloud]:
    """The endpoint that Azure gives a process for its managed identity."""
    granted = clouds.Said({**ENTRA, "expires_on": str(int(time.time()) + 3600), "resource": "r"})
    async with clouds.serve({"GET /msi": said or granted}) as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{endpoint.port}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", "identity-header")
        yield endpoint


def directory(place: str, said: clouds.Answer | None = None) -> dict[str, clouds.Answer]:
    """Entra ID under this name, for one tenant; a token, or what is said instead."""
    base = f"https://{place}/{TENANT}"
    return {
        f"GET /{TENANT}/v2.0/.well-known/openid-configuration": clouds.Said(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        ),
        f"POST /{TENANT}/oauth2/v2.0/token": said or clouds.Said(ENTRA),
    }


@contextlib.asynccontextmanager
async def entra(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, said: clouds.Answer
) -> AsyncIterator[clouds.Cloud]:
    """Entra ID for one tenant."""
    async with clouds.serve(tls=context) as found:
        home = f"https://localhost:{found.port}"
        found.answers |= directory(f"localhost:{found.port}", said)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", home)
        yield found


@contextlib.asynccontextmanager
async def front(
    context: ssl.SSLContext,
    authority: certificates.Authority,
    said: clouds.Answer,
    *,
    upstream: str = "",
    token: clouds.Answer | None = None,
) -> AsyncIterator[tuple[clouds.Cloud, identity.Route]]:
    """The registry under its name, and the way to it; ``token`` answers at its token service."""
    answers = {EXCHANGE: said, **({} if token is None else {TOKEN: token})}
    async with (
        clouds.serve(answers, tls=context, upstream=upstream) as found,
        clouds.forward({f"{HOST}:443": ("127.0.0.1", found.port)}) as forward,
    ):
        trusted = tls.TLSIdentity(authority.certificate_pem, None, None)
        yield found, identity.Route(proxy=forward.proxy, tls=trusted)


@dataclasses.dataclass(frozen=True, slots=True)
class TokenService:
    """ACR's token service: signs what docker-registry accepts, for who shows the refresh token."""

    pair: certificates.Pair

    def configuration(self, root: str) -> dict[str, object]:
        """What docker-registry must be told; ``root`` is the authority's file."""
        return {
            "auth": {
                "token": {
                    "realm": f"https://{HOST}/oauth2/token",
                    "service": HOST,
                    "issuer": ISSUER,
                    "rootcertbundle": root,
                }
            }
        }

    def __call__(self, got: clouds.Received) -> clouds.Said:
        """As clouds.Answer."""
        shown = base64.b64encode(f"{azure.USERNAME}:{REFRESH}".encode()).decode()
        if got.headers.get("Authorization") != f"Basic {shown}" or got.query["service"] != HOST:
            return clouds.Said({"errors": [{"code": "UNAUTHORIZED"}]}, 401)
        return clouds.Said({"access_token": self.signed(got.query["scope"])})

    def signed(self, scope: str) -> str:
        """A token for ``repository:{name}:{actions}``."""
        kind, name, actions = scope.split(":")
        certificate = x509.load_pem_x509_certificate(self.pair.certificate_pem)
        key = serialization.load_pem_private_key(self.pair.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "reader",
            "aud": HOST,
            "nbf": now - 60,
            "iat": now,
            "exp": now + 600,
            "jti": "1",
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": [chain]}
        content = f"{_part(header)}.{_part(claims)}"
        r, s = utils.decode_dss_signature(key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{content}.{_text(r.to_bytes(32) + s.to_bytes(32))}"


def _part(value: object) -> str:
    return _text(json.dumps(value).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
