"""Forward proxies: http, https and socks5, of an object or of the environment."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource import errors
from ocisource.net.proxy import Proxy
from ocisource.net.tls import TLSIdentity
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from tests.oci.conftest import Remote
from tests.parts import certificates
from tests.parts import proxy as parts
from tests.simulators import faults, proxies
from tests.simulators.registry import Simulator, Tokens

USERS = {"alice": "s3cret"}


def server_context(
    authority: certificates.Authority, folder: pathlib.Path, *names: str
) -> ssl.SSLContext:
    """A TLS server on loopback, signed by the test authority."""
    files = authority.server(*names).write(folder / "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture
async def secure(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> AsyncIterator[Simulator]:
    """A token-protected registry behind TLS."""
    context = server_context(authority, tmp_path)
    async with Simulator(tls=context, tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        yield simulator


@pytest.fixture
def access(authority: certificates.Authority) -> Callable[..., registry.Access]:
    """``access(scheme, port, user="", password="")``: Alice through a proxy."""

    def make(scheme: str, port: int, user: str = "", password: str = "") -> registry.Access:
        return registry.Access(
            keychain=credentials.StaticKeychain(credentials.Credential("alice", "s3cret")),
            tls=TLSIdentity(ca_pem=authority.certificate_pem),
            proxy=Proxy.parse(f"{scheme}://127.0.0.1:{port}", user, password),
        )

    return make


Access = Callable[..., registry.Access]


async def test_a_real_proxy_tunnels_tls(
    secure: Simulator, remote: Remote, access: Access, start_proxy: Callable[..., parts.Proxy]
) -> None:
    """Tinyproxy sees CONNECT and nothing of what goes on inside, tokens included."""
    part = start_proxy()
    app = remote(secure.host, access=access("http", part.port))
    await app.resolve("1.0")
    await app.resolve("1.0")
    assert set(part.requests()) == {f"CONNECT {secure.host}"}
    assert len(part.requests()) == 1


async def test_a_real_proxy_wants_its_password(
    secure: Simulator, remote: Remote, access: Access, start_proxy: Callable[..., parts.Proxy]
) -> None:
    """With the right one it works, without it the text names the proxy."""
    part = start_proxy(user="carol", password="pr0xy")
    await remote(secure.host, access=access("http", part.port, "carol", "pr0xy")).resolve("1.0")
    with pytest.raises(errors.TransportError, match=r"proxy: 40[17]"):
        await remote(secure.host, access=access("http", part.port)).resolve("1.0")


@pytest.mark.parametrize("user", ["", "carol"])
async def test_a_real_proxy_passes_plain_http_on(
    simulator: Simulator,
    remote: Remote,
    start_proxy: Callable[..., parts.Proxy],
    user: str,
) -> None:
    """Plain HTTP goes to it as an absolute URL; its password does not reach the registry."""
    simulator.add_image("org/app", "1.0")
    part = start_proxy(user=user or None, password="pr0xy" if user else "")
    proxy = Proxy.parse(part.url, user, "pr0xy" if user else "")
    await remote(simulator.host, access=registry.Access(proxy=proxy)).resolve("1.0")
    assert f"HEAD http://{simulator.host}/v2/org/app/manifests/1.0" in part.requests()
    assert not [each for each in simulator.seen if "Proxy-Authorization" in each.headers]


async def test_the_environment_names_a_proxy(
    simulator: Simulator,
    remote: Remote,
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loopback is exempt, as in Go; other hosts go through it, unless NO_PROXY names them."""
    context = server_context(authority, tmp_path, "registry.test")
    access = registry.Access(tls=TLSIdentity(ca_pem=authority.certificate_pem))
    async with proxies.connect() as proxy, Simulator(tls=context) as named:
        proxy.routes["registry.test:443"] = ("127.0.0.1", named.port)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
        for each in (simulator, named):
            each.add_image("org/app", "1.0")
        await remote(simulator.host).resolve("1.0")
        assert proxy.targets == []
        await remote("registry.test", access=access).resolve("1.0")
        assert proxy.targets == ["registry.test:443"]


async def test_docker_hub_is_reached_by_its_other_name(
    remote: Remote, authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """References say index.docker.io, credentials are kept under it; the API is elsewhere."""
    context = server_context(authority, tmp_path, "registry-1.docker.io")
    async with proxies.connect() as proxy, Simulator(tls=context) as hub:
        hub.add_image("library/nginx", "latest")
        proxy.routes["registry-1.docker.io:443"] = ("127.0.0.1", hub.port)
        access = registry.Access(
            tls=TLSIdentity(ca_pem=authority.certificate_pem),
            proxy=Proxy.parse(f"http://127.0.0.1:{proxy.port}"),
        )
        await remote("index.docker.io", "library/nginx", access=access).resolve("latest")
        assert proxy.targets == ["registry-1.docker.io:443"]
        assert hub.seen[-1].headers["Host"] == "registry-1.docker.io"


@pytest.mark.parametrize("is_locked", [True, False])
async def test_socks5_carries_tls_and_looks_names_up(
    secure: Simulator, remote: Remote, access: Access, is_locked: bool
) -> None:
    """The proxy gets the name, not an address; one tunnel serves many requests."""
    user = {"username": "carol", "password": "pr0xy"} if is_locked else {}
    async with proxies.socks5(**user) as proxy:
        app = remote(
            f"localhost:{secure.port}",
            access=access("socks5", proxy.port, *user.values()),
        )
        await app.resolve("1.0")
        await app.resolve("1.0")
        # The simulator calls itself by its address: its realm is a place of its own.
        assert proxy.targets == [f"localhost:{secure.port}", secure.host]


async def test_socks5_carries_plain_http(simulator: Simulator, remote: Remote) -> None:
    """Without TLS as well."""
    simulator.add_image("org/app", "1.0")
    async with proxies.socks5() as proxy:
        through = registry.Access(proxy=Proxy.parse(f"socks5://127.0.0.1:{proxy.port}"))
        await remote(simulator.host, access=through).resolve("1.0")
        assert set(proxy.targets) == {simulator.host}


async def test_a_socks5_proxy_may_refuse(secure: Simulator, remote: Remote, access: Access) -> None:
    """A wrong password, and a target that is not there."""
    async with proxies.socks5(username="carol", password="pr0xy") as proxy:
        for user in ((), ("carol", "wrong")):
            with pytest.raises(errors.TransportError, match="proxy: ") as caught:
                await remote(secure.host, access=access("socks5", proxy.port, *user)).resolve("1.0")
            assert "wrong" not in str(caught.value)
        right = access("socks5", proxy.port, "carol", "pr0xy")
        with pytest.raises(errors.TransportError, match="proxy: "):
            await remote("127.0.0.1:1", access=right).resolve("1.0")


async def test_an_https_proxy_tunnels_tls_in_tls(
    secure: Simulator,
    remote: Remote,
    access: Access,
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
) -> None:
    """TLS to the proxy, and TLS through it."""
    context = server_context(authority, tmp_path / "proxy")
    async with proxies.connect(tls=context, username="carol", password="pr0xy") as proxy:
        app = remote(secure.host, access=access("https", proxy.port, "carol", "pr0xy"))
        await app.resolve("1.0")
        assert proxy.targets == [secure.host]


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_a_dead_proxy_is_named_as_such(
    secure: Simulator, remote: Remote, access: Access, scheme: str
) -> None:
    """Acceptance C.18: the object stays not ready, and the text says that the proxy is it."""
    with pytest.raises(errors.TransportError, match="proxy: connection refused"):
        await remote(secure.host, access=access(scheme, 1)).resolve("1.0")
    assert secure.seen == []


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]"])
async def test_a_proxy_is_no_way_to_a_metadata_service(
    remote: Remote, scheme: str, host: str
) -> None:
    """A Secret cannot name one as its proxy, and a registry behind a proxy cannot be one."""
    proxy = registry.Access(proxy=Proxy.parse(f"{scheme}://{host}:80"))
    with pytest.raises(errors.ForbiddenAddressError):
        await remote("registry.example.com", access=proxy).resolve("1.0")
    async with contextlib.AsyncExitStack() as stack:
        alive = await stack.enter_async_context(proxies.socks5())
        through = registry.Access(proxy=Proxy.parse(f"socks5://127.0.0.1:{alive.port}"))
        with pytest.raises(errors.ForbiddenAddressError):
            await remote(host, access=through).resolve("1.0")
        assert alive.targets == []


async def test_redirects_go_through_the_proxy_too(
    secure: Simulator, simulator: Simulator, remote: Remote, access: Access
) -> None:
    """No request of an object goes round its proxy."""
    digest = secure.add_image("org/app", "2.0")
    secure.on("*", "/manifests/2.0", faults.redirect(f"{secure.url}/v2/other"), times=1)
    secure.on("*", "/v2/other", faults.redirect(f"https://localhost:{secure.port}/x"), times=1)
    body = secure.repository("org/app").manifests[digest][1]
    secure.on("*", "/x", faults.status(200, body=body))
    async with proxies.socks5() as proxy:
        found = await remote(secure.host, access=access("socks5", proxy.port)).resolve("2.0")
        assert str(found.digest) == digest
        assert f"localhost:{secure.port}" in proxy.targets
