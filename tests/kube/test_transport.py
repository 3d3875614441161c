"""TLS, certificates that rotate, and proxies on the way to the API server."""

import asyncio
import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from ocisource import errors
from ocisource.kube import client, config, exchange, logins
from tests.parts import certificates, ports, proxy
from tests.simulators import proxies


@contextlib.asynccontextmanager
async def serving(
    pair: certificates.Pair,
    folder: pathlib.Path,
    *,
    client_authority: certificates.Authority | None = None,
    port: int = 0,
) -> AsyncIterator[int]:
    """A TLS server that answers who it thinks the client is; yields its port."""

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert") or {}
        subject = dict(part[0] for part in shown.get("subject", ()))
        return web.json_response({"user": subject.get("commonName", "")})

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        await asyncio.Event().wait()
        return response

    files = pair.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority.certificate_pem.decode())
    app = web.Application()
    app.router.add_get("/who", answer)
    app.router.add_get("/drip", drip)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def who(port: int, **fields: object) -> str:
    """Ask once with a client of these settings."""
    async with connected(port, **fields) as api:
        return str((await api.document("/who"))["user"])


def connected(port: int, **fields: object) -> client.Client:
    """A client of the server on that port."""
    options: dict[str, object] = {"login_source": logins.MaterialLogin()} | fields
    cluster = config.ClusterConfig(
        server=f"https://127.0.0.1:{port}",
        **options,  # type: ignore[arg-type]
    )
    return client.Client(cluster, settings=exchange.ClientSettings(retries=0), environ={})


def shown(files: certificates.Files, now: list[float]) -> logins.MaterialLogin:
    """A client certificate in files, which are looked at again as the time in ``now`` goes on."""
    return logins.MaterialLogin(
        certificate=logins.Material(path=files.certificate, clock=lambda: now[0]),
        key=logins.Material(path=files.key, clock=lambda: now[0]),
    )


def trust(authority: certificates.Authority) -> logins.Material:
    """The authority as configuration data."""
    return logins.Material(data=authority.certificate_pem)


async def test_the_clusters_authority_is_trusted_and_no_other(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """A certificate of another authority is refused with a text that says so."""
    other = certificates.Authority.create("another")
    async with serving(authority.server(), tmp_path) as port:
        assert await who(port, certificate_authority=trust(authority)) == ""
        for material in (trust(other), logins.Material()):
            with pytest.raises(errors.TLSError, match="certificate of the API server 127"):
                await who(port, certificate_authority=material)
        assert await who(port, is_insecure=True) == ""


async def test_the_expected_name_can_be_another_than_the_address(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """``tls-server-name``."""
    async with serving(authority.server("kubernetes"), tmp_path) as port:
        material = trust(authority)
        with pytest.raises(errors.TLSError):
            await who(port, certificate_authority=material)
        name = "kubernetes"
        assert await who(port, certificate_authority=material, tls_server_name=name) == ""


async def test_a_client_certificate_is_shown_and_renewed(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """Files that change are read again, and the pool follows."""
    now = [0.0]
    source = shown(authority.client("first").write(tmp_path / "client"), now)
    server = serving(authority.server(), tmp_path / "server", client_authority=authority)
    async with (
        server as port,
        connected(port, login_source=source, certificate_authority=trust(authority)) as api,
    ):
        assert await api.document("/who") == {"user": "first"}
        authority.client("second").write(tmp_path / "client")
        assert await api.document("/who") == {"user": "first"}
        now[0] += 60
        assert await api.document("/who") == {"user": "second"}


async def test_a_closed_client_makes_no_new_connection(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """What comes too late is told so; a pool made then would be closed by nobody."""
    async with serving(authority.server(), tmp_path) as port:
        api = connected(port, certificate_authority=trust(authority))
        assert await api.document("/who") == {"user": ""}
        await api.close()
        with pytest.raises(errors.AbandonedError, match=f"127.0.0.1:{port} was closed"):
            await api.document("/who")


async def test_closing_also_ends_connections_of_an_older_certificate(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """A request that is still read on the old pool ends with the client, not with the process."""
    now = [0.0]
    source = shown(authority.client("first").write(tmp_path / "client"), now)
    server = serving(authority.server(), tmp_path / "server", client_authority=authority)
    async with (
        server as port,
        connected(port, login_source=source, certificate_authority=trust(authority)) as api,
    ):
        following = api.text_lines("/drip")
        assert await anext(following) == b"first"
        authority.client("second").write(tmp_path / "client")
        now[0] += 60
        assert await api.document("/who") == {"user": "second"}
        await api.close()
        with pytest.raises(errors.AbandonedError, match="was closed"):
            await anext(following)


async def test_an_authority_that_was_replaced_is_read_again(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """A server with a new CA is trusted as soon as the file holds it, without a restart."""
    new = certificates.Authority.create("new")
    path = authority.write(tmp_path)
    material = logins.Material(path=path, clock=lambda: 0.0)
    async with serving(authority.server(), tmp_path / "old") as port:
        api = connected(port, certificate_authority=material)
        await api.document("/who")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(api.close)
        await stack.enter_async_context(serving(new.server(), tmp_path / "new", port=port))
        new.write(tmp_path)
        with pytest.raises(errors.TLSError):
            await api.document("/who")
        assert await api.document("/who") == {"user": ""}


@pytest.mark.parametrize("has_password", [False, True])
async def test_a_proxy_is_used_when_the_kubeconfig_names_one(
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
    start_proxy: Callable[..., proxy.Proxy],
    has_password: bool,
) -> None:
    """``proxy-url``, with a user and password or without."""
    part = start_proxy(user="u", password="pw") if has_password else start_proxy()
    address = part.url.replace("://", "://u:pw@") if has_password else part.url
    async with serving(authority.server(), tmp_path) as port:
        assert await who(port, certificate_authority=trust(authority), proxy_url=address) == ""
        if has_password:
            with pytest.raises(errors.TransportError) as caught:
                await who(port, certificate_authority=trust(authority), proxy_url=part.url)
            told = f"the proxy for the API server 127.0.0.1:{port} answered with HTTP status 407"
            assert str(caught.value) == told
    assert len(part.requests()) >= 1


async def test_a_proxy_that_is_not_there_is_told_from_the_server() -> None:
    """Whoever reads it looks at the right machine, and sees no password."""
    (nobody,) = ports.free()
    with pytest.raises(errors.NotSentError) as caught:
        await who(6443, proxy_url=f"http://u:s3cret@127.0.0.1:{nobody}")
    assert str(caught.value) == (
        f"cannot connect to the proxy 127.0.0.1:{nobody} for the API server 127.0.0.1:6443: "
        "connection refused"
    )


def test_a_proxy_of_an_unknown_kind_is_refused() -> None:
    """Before the first request, and without its password."""
    with pytest.raises(errors.UsageError) as caught:
        connected(1, proxy_url="gopher://u:s3cret@127.0.0.1")
    assert "s3cret" not in str(caught.value)


async def test_a_socks5_proxy_is_used_when_the_kubeconfig_names_one(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """How clusters behind a bastion are reached (``ssh -D``); the certificate is still checked."""
    async with (
        serving(authority.server("kubernetes"), tmp_path) as port,
        proxies.socks5(username="u", password="s3cret") as part,
    ):
        options = {
            "certificate_authority": trust(authority),
            "tls_server_name": "kubernetes",
            "proxy_url": f"socks5://u:s3cret@127.0.0.1:{part.port}",
        }
        assert await who(port, **options) == ""
        assert part.targets == [f"127.0.0.1:{port}"]
        with pytest.raises(errors.TLSError):
            await who(port, **options | {"tls_server_name": "another"})
        wrong = f"socks5://u:wrong@127.0.0.1:{part.port}"
        with pytest.raises(errors.NotSentError) as caught:
            await who(port, **options | {"proxy_url": wrong})
        assert "wrong" not in str(caught.value)
