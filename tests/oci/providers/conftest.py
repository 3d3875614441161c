"""What the cloud tests share: no metadata service but ours, and a real registry under its name."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import azure, gcp, logins, tokens
from tests.oci.providers import acr, clouds
from tests.parts import certificates


@pytest.fixture(autouse=True)
def _no_clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Let no library look beyond loopback."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    metadata(monkeypatch, "127.0.0.1:9")


def metadata(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Have Google's library find its metadata server there."""
    from google.auth.compute_engine import _metadata

    monkeypatch.setenv("GCE_METADATA_HOST", host)
    monkeypatch.setenv("GCE_METADATA_IP", host)
    # The library reads the variable when it is imported, which was before.
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)


@pytest.fixture
async def cloud_logins() -> AsyncIterator[logins.Clouds]:
    """The clouds of one process."""
    found = logins.Clouds()
    yield found
    await found.close()


NewClouds = Callable[..., logins.Clouds]


@pytest.fixture
async def new_clouds() -> AsyncIterator[NewClouds]:
    """``new_clouds(deadline=…, google=…)``: clouds with other bounds or places."""
    async with contextlib.AsyncExitStack() as stack:

        def new(
            *,
            deadline: float = 10.0,
            google: gcp.Endpoints | None = None,
            cache: tokens.TokenCache | None = None,
        ) -> logins.Clouds:
            found = logins.Clouds(deadline=deadline, google=google, cache=cache)
            stack.push_async_callback(found.close)
            return found

        yield new


Start = Callable[[str, str, str], Awaitable[tuple[clouds.Forward, tls.TLSIdentity]]]


@pytest.fixture
async def named_registry(
    start_registry: Callable[..., object], authority: certificates.Authority
) -> AsyncIterator[Start]:
    """``named_registry(host, user, password)``: a proxy to a real registry under this name.

    It holds ``app:latest`` and accepts that credential alone.
    """
    async with contextlib.AsyncExitStack() as stack:
        trusted = tls.TLSIdentity(authority.certificate_pem, None, None)

        async def start(
            host: str, user: str, password: str
        ) -> tuple[clouds.Forward, tls.TLSIdentity]:
            part: object = start_registry(
                users={user: password}, tls=authority.server(host, "127.0.0.1")
            )
            port: int = part.port  # type: ignore[attr-defined]
            await clouds.push(
                f"127.0.0.1:{port}",
                credentials.Credential(username=user, password=password),
                registry.Access(tls=trusted),
            )
            routes = {f"{host}:443": ("127.0.0.1", port)}
            return await stack.enter_async_context(clouds.forward(routes)), trusted

        yield start


@pytest.fixture
def server_context(
    authority: certificates.Authority, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """A certificate for the registry and for Entra ID, which the libraries trust."""
    files = authority.server(acr.HOST, "localhost", "127.0.0.1").write(tmp_path / "front")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.write(tmp_path)))
    return context


@pytest.fixture
async def upstream(start_registry: Callable[..., object]) -> str:
    """A real registry that accepts the refresh token alone."""
    part = start_registry(users={azure.USERNAME: acr.REFRESH})
    url: str = part.url  # type: ignore[attr-defined]
    credential = credentials.Credential(username=azure.USERNAME, password=acr.REFRESH)
    await clouds.push(url.removeprefix("http://"), credential, registry.Access())
    return url


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """The port of moto's server: STS and ECR."""
    from moto import server as moto

    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()
