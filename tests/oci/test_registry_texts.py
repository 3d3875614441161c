"""Texts: each names host, repository and reference; and no repr shows a credential."""

import json

import multidict
import pytest
import yarl

from ocisource import digest as digests
from ocisource import errors
from ocisource.net.proxy import Proxy
from ocisource.net.tls import TLSIdentity
from ocisource.oci import registry
from ocisource.oci.authentication import auth, credentials, docker_config, tokenservice
from ocisource.oci.grammar import manifest
from ocisource.oci.hosts import answers, connections
from ocisource.oci.transport import exchange, pools
from tests.oci.conftest import Remote
from tests.simulators import faults
from tests.simulators.registry import Simulator, Tokens

SECRET = "very-secret"
DIGEST = digests.Digest.of(b"content")
LAYER = manifest.Descriptor(manifest.FLUX_CONTENT, 7, DIGEST)


async def read(app: registry.RemoteRepository) -> bytes:
    """The layer."""
    return b"".join([chunk async for chunk in app.blob(LAYER)])


async def test_a_host_that_is_left_alone_is_named_with_what_was_wanted(
    simulator: Simulator, remote: Remote
) -> None:
    """Each object learns which of its references waits, not only on whom."""
    spent = faults.status(429, headers={"Retry-After": "60"})
    simulator.on("*", "/manifests/", spent, times=1)
    app = remote(simulator.host)
    with pytest.raises(errors.TooManyRequestsError) as first:
        await app.resolve("1.0")
    assert f"//{simulator.host}/v2/org/app/manifests/1.0: " in str(first.value)
    for attempt, named in (
        (app.resolve("1.0"), "org/app:1.0"),
        (app.head(DIGEST), f"org/app@{DIGEST}"),
        (app.tags(), "org/app"),
        (app.manifest(DIGEST), f"org/app@{DIGEST}"),
        (read(app), f"org/app@{DIGEST}"),
    ):
        with pytest.raises(errors.TooManyRequestsError) as caught:
            await attempt
        assert str(caught.value) == (
            f"{simulator.host}/{named}: {simulator.host} asked to be left alone; "
            "trying again in 60 s"
        )
        assert caught.value.retry_after == pytest.approx(60)


async def test_a_token_service_is_named_with_what_the_token_was_for(remote: Remote) -> None:
    """A realm has a host of its own, which most users have never heard of."""
    async with Simulator(
        tokens=Tokens(), realm="https://metadata.google.internal/token"
    ) as simulator:
        with pytest.raises(errors.ForbiddenAddressError) as caught:
            await remote(simulator.host).resolve("1.0")
        assert str(caught.value).startswith(f"{simulator.host}/org/app:1.0: refused to contact ")
        simulator.realm = f"{simulator.url}/gone"
        with pytest.raises(errors.RegistryError) as missing:
            await remote(simulator.host, user="alice").resolve("1.0")
        assert str(missing.value).startswith(f"{simulator.host}/org/app:1.0: GET http://")


async def test_a_storage_host_is_named_with_what_was_wanted(
    simulator: Simulator, remote: Remote
) -> None:
    """Its own URL holds no repository, and its signature is not shown."""
    async with Simulator() as storage:
        storage.on("*", "/store", faults.status(403, body=b"<Error>expired</Error>"))
        simulator.on("*", "/blobs/", faults.redirect(f"{storage.url}/store?X-Sig={SECRET}"))
        with pytest.raises(errors.UnauthorizedError) as caught:
            await read(remote(simulator.host))
        assert str(caught.value) == (
            f"{simulator.host}/org/app@{DIGEST}: GET {storage.url}/store?X-Sig=redacted: "
            "unexpected status code 403 Forbidden: <Error>expired</Error>"
        )


async def test_all_who_wait_for_one_probe_read_the_same_text(
    simulator: Simulator, remote: Remote
) -> None:
    """The error is shared; naming it for one caller does not name it twice for the next."""
    simulator.on("*", "/manifests/", faults.redirect("http://metadata.google.internal/"))
    app = remote(simulator.host)
    texts = set()
    for _ in range(2):
        with pytest.raises(errors.ForbiddenAddressError) as caught:
            await app.resolve("1.0")
        texts.add(str(caught.value))
    (text,) = texts
    assert text.count("org/app:1.0") == 1


async def test_an_error_that_names_the_place_is_left_as_it_is(
    simulator: Simulator, remote: Remote
) -> None:
    """Nothing is said twice."""
    with pytest.raises(errors.NotFoundError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert str(caught.value).startswith(f"GET http://{simulator.host}/v2/org/app/manifests/1.0: ")


async def test_a_strange_tag_is_named_printable(simulator: Simulator, remote: Remote) -> None:
    """The user's text may hold anything; a condition shows one clean line."""
    simulator.on("*", "/manifests/", faults.redirect("http://metadata.google.internal/"))
    with pytest.raises(errors.ForbiddenAddressError) as caught:
        await remote(simulator.host).resolve("1\u202e\x1b[31m" + "x" * 500)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def _answer() -> answers.Answer:
    headers = multidict.CIMultiDictProxy(multidict.CIMultiDict({"Location": f"/?sig={SECRET}"}))
    return answers.Answer(
        method="GET",
        address=yarl.URL("https://registry.test/token"),
        status=200,
        headers=headers,
        body=json.dumps({"token": SECRET}).encode(),
    )


CREDENTIAL = credentials.Credential("alice", SECRET, SECRET, SECRET)
WAY = connections.Way(
    host="registry.test",
    tls=TLSIdentity(ca_pem=b"x", certificate_pem=b"x", key_pem=SECRET.encode()),
    proxy=Proxy("http://proxy.test:80", "bob", SECRET),
)


@pytest.mark.parametrize(
    "value",
    [
        CREDENTIAL,
        WAY,
        pools.PoolKey(WAY, CREDENTIAL),
        registry.Access(
            keychain=credentials.StaticKeychain(CREDENTIAL), tls=WAY.tls, proxy=WAY.proxy
        ),
        credentials.PullSecrets(((credentials.Key("registry.test", ""), CREDENTIAL),)),
        credentials.Entry(password=SECRET, auth=SECRET, identitytoken=SECRET, registrytoken=SECRET),
        exchange.Request(
            method="POST",
            path=f"https://registry.test/token?sig={SECRET}",
            headers={"Authorization": f"Basic {SECRET}"},
            body=f"refresh_token={SECRET}".encode(),
        ),
        _answer(),
        auth.Grant(f"Bearer {SECRET}"),
        auth._Token(auth.Grant(f"Bearer {SECRET}"), 0.0),
        tokenservice._TokenJSON(token=SECRET, access_token=SECRET),
        docker_config._HelperAnswerJSON(secret=SECRET),
        docker_config._EnvironmentEntryJSON(auth=SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_repr_shows_a_credential(value: object) -> None:
    """Whatever a debugger, a log line or a failing assertion prints."""
    assert SECRET not in repr(value)
    assert SECRET not in str(value)
