"""TLS, certificates that rotate, and proxies on the way to the API server."""

import asyncio
import contextlib
import pathlib
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web

from ocisource import errors
from ocisource.kube import client, config, exchange, failures, logins
from tests.parts import certificates, ports, proxy
from tests.simulators import kubeapi, proxies


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
            told = r"certificate of the API server 127.*: .*; certificate-authority in the kubeco"
            with pytest.raises(errors.TLSError, match=told):
                await who(port, certificate_authority=material)
        assert await who(port, is_insecure=True) == ""


async def test_the_expected_name_can_be_another_than_the_address(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """``tls-server-name``."""
    async with serving(authority.server("kubernetes"), tmp_path) as port:
        material = trust(authority)
        with pytest.raises(errors.TLSError, match="; --tls-server-name says which name"):
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


async def test_a_certificate_that_is_over_is_told(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """The server's: with what to look at."""
    over = authority.server(is_expired=True)
    async with serving(over, tmp_path) as port:
        told = "certificate has expired; renew it on the server, or set this machine's clock"
        with pytest.raises(errors.TLSError, match=told):
            await who(port, certificate_authority=trust(authority))


@contextlib.contextmanager
def refusing(
    pair: certificates.Pair,
    folder: pathlib.Path,
    *,
    client_authority: certificates.Authority,
    newest: ssl.TLSVersion,
) -> Iterator[int]:
    """A server that takes certificates of one authority and says so in time; yields its port."""
    files = pair.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_authority.certificate_pem.decode())
    with socket.create_server((ports.LOOPBACK, 0)) as listener:

        def refuse() -> None:
            # A request that is lost is sent once more.
            with contextlib.suppress(OSError):  # the end of the listener
                while True:
                    _refuse(listener.accept()[0], context)

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _refuse(plain: socket.socket, context: ssl.SSLContext) -> None:
    """End a handshake with an alert that certainly arrives."""
    with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as served:
        with contextlib.suppress(ssl.SSLError):
            served.do_handshake()
        # Whoever closes with something left unread takes back what was sent.
        served.shutdown(socket.SHUT_WR)
        while socket.socket.recv(served, 1 << 16):
            pass


@pytest.mark.parametrize(
    ("shows", "newest"),
    [
        ("none", ssl.TLSVersion.TLSv1_3),  # of old it is an alert of no particular reason
        ("expired", ssl.TLSVersion.TLSv1_2),
        ("expired", ssl.TLSVersion.TLSv1_3),
        ("another authority's", ssl.TLSVersion.TLSv1_2),
        ("another authority's", ssl.TLSVersion.TLSv1_3),
    ],
)
async def test_a_server_that_refuses_our_certificate_is_told(
    shows: str,
    newest: ssl.TLSVersion,
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
) -> None:
    """In words of ours rather than of OpenSSL's source, during the handshake and after it."""
    pair = {
        "none": None,
        "expired": authority.client("bot", is_expired=True),
        "another authority's": certificates.Authority.create("another").client("bot"),
    }[shows]
    login = logins.MaterialLogin()
    if pair is not None:
        login = shown(pair.write(tmp_path / "client"), [0.0])
    server = refusing(
        authority.server(), tmp_path / "server", client_authority=authority, newest=newest
    )
    with server as port, pytest.raises(errors.TLSError) as caught:
        await who(port, certificate_authority=trust(authority), login_source=login)
    assert re.fullmatch(
        rf"the API server 127\.0\.0\.1:{port} does not take the client certificate: [a-z ]+",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "does not take the client certificate: certificate"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "the client certificate: certificate expired"),
        ("SSLV3_ALERT_BAD_RECORD_MAC", "connection to the API server here: a broken record"),
    ],
)
def test_a_refusal_that_comes_late_is_told_apart(reason: str, told: str) -> None:
    """TLS 1.3 has the server look at our certificate after the handshake."""
    alert = ssl.SSLError(1, "a broken record")
    alert.reason = reason
    late = aiohttp.ClientOSError(1, "a broken record")
    late.__cause__ = alert
    with pytest.raises(errors.TransportError, match=told), failures.translated("here"):
        raise late


async def test_a_server_without_tls_is_told(server: kubeapi.KubeAPI) -> None:
    """With what to look at."""
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(errors.TLSError, match="no TLS is spoken there; is it the right port, or"):
        await who(port)
