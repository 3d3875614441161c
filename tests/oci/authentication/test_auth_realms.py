"""Where credentials are sent: realms are checked, hosts and tenants kept apart."""

import ssl
from collections.abc import AsyncIterator

import pytest

from ocisource import errors
from ocisource.net.tls import TLSIdentity
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from tests.oci.conftest import Remote
from tests.parts import certificates
from tests.simulators import faults
from tests.simulators.registry import Simulator, Tokens

USERS = {"alice": "s3cret"}


@pytest.fixture
def server_context(authority: certificates.Authority, tmp_path: object) -> ssl.SSLContext:
    """A TLS server on loopback, signed by the test authority."""
    import pathlib

    assert isinstance(tmp_path, pathlib.Path)
    files = authority.server().write(tmp_path / "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture
async def secure(server_context: ssl.SSLContext) -> AsyncIterator[Simulator]:
    """A token-protected registry behind TLS."""
    async with Simulator(tls=server_context, tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        yield simulator


def access(authority: certificates.Authority, *, is_insecure: bool = False) -> registry.Access:
    """Alice, who trusts the test authority."""
    return registry.Access(
        keychain=credentials.StaticKeychain(credentials.Credential("alice", "s3cret")),
        tls=TLSIdentity(ca_pem=authority.certificate_pem),
        is_insecure=is_insecure,
    )


async def test_a_realm_on_the_registry_itself_is_asked(
    secure: Simulator, remote: Remote, authority: certificates.Authority
) -> None:
    """The control for the refusals below: over TLS, on loopback, all is well."""
    await remote(secure.host, access=access(authority)).resolve("1.0")


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "http://127.0.0.1:1/token",
        "ftp://auth.example.com/token",
        "//auth.example.com/token",
        "/token",
        "https:///token",
        "https://user:pw@auth.example.com/token",
        "https://169.254.169.254/token",
        "https://[fe80::1]/token",
        "https://metadata.google.internal/token",
        "https://[::ffff:169.254.169.254]/token",
        "not a url",
        "https://[half/token",
    ],
)
async def test_a_hostile_realm_gets_nothing(
    secure: Simulator, remote: Remote, authority: certificates.Authority, realm: str
) -> None:
    """GHSA-28r5-37g7-p6mp: a realm is https, has no user, and is no metadata service."""
    secure.realm = realm
    with pytest.raises((errors.ForbiddenAddressError, errors.TransportError)) as caught:
        await remote(secure.host, access=access(authority)).resolve("1.0")
    assert "s3cret" not in str(caught.value)
    assert "pw" not in str(caught.value)
    assert not [each for each in secure.seen if each.authorization]


async def test_a_realm_over_http_is_for_registries_over_http(
    secure: Simulator, remote: Remote, authority: certificates.Authority
) -> None:
    """An https registry cannot have the password sent in the clear, not even to itself."""
    async with Simulator(tokens=Tokens(users=USERS)) as listener:
        secure.realm = f"{listener.url}/token"
        with pytest.raises(errors.ForbiddenAddressError, match="realm that is not https"):
            await remote(secure.host, access=access(authority)).resolve("1.0")
        assert listener.seen == []


async def test_a_realm_on_another_port_is_asked_over_tls(
    secure: Simulator,
    server_context: ssl.SSLContext,
    remote: Remote,
    authority: certificates.Authority,
) -> None:
    """A token service of its own, on loopback as the registry is."""
    async with Simulator(tls=server_context, tokens=secure.tokens) as service:
        secure.realm = f"{service.url}/token"
        await remote(secure.host, access=access(authority)).resolve("1.0")
        assert [each.path for each in service.seen] == ["/token"]


async def test_a_token_service_does_not_redirect_the_password(
    secure: Simulator, remote: Remote, authority: certificates.Authority
) -> None:
    """A redirect of the token request is an error: the credential is on board."""
    secure.on("GET", "/token", faults.redirect("https://evil.example/token"))
    with pytest.raises(errors.RegistryError, match="307 Temporary Redirect"):
        await remote(secure.host, access=access(authority)).resolve("1.0")


async def test_tenants_do_not_share_tokens(remote: Remote) -> None:
    """A repository that one credential may read stays closed to another, token or not."""
    async with Simulator(tokens=Tokens(users=USERS, is_anonymous_allowed=False)) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host, user="alice", password="s3cret").resolve("1.0")
        for user in ("", "alice", "bob"):
            with pytest.raises(errors.UnauthorizedError):
                await remote(simulator.host, user=user, password="wrong").resolve("1.0")
        shown = [each for each in simulator.seen if "manifests" in each.path]
        assert {each.authorization for each in shown} == {"Bearer token-1"}
        assert len(shown) == 1
