"""Redirects to storage hosts: followed by hand, empty-handed, and not everywhere."""

from collections.abc import AsyncIterator

import pytest

from ocisource import errors
from ocisource.oci import registry
from tests.oci.conftest import Remote
from tests.oci.test_blob_stream import CONTENT, descriptor, read
from tests.simulators import faults
from tests.simulators.registry import Simulator

USERS = {"alice": "s3cret"}


@pytest.fixture
async def storage() -> AsyncIterator[Simulator]:
    """A storage host that holds the content."""
    async with Simulator() as found:
        found.add_blob("org/app", CONTENT)
        yield found


@pytest.fixture
async def front() -> AsyncIterator[Simulator]:
    """A registry that wants Basic."""
    async with Simulator(users=USERS) as found:
        found.add_image("org/app", "1.0")
        yield found


@pytest.fixture
async def app(front: Simulator, remote: Remote) -> registry.RemoteRepository:
    """Alice's view, already known to the registry."""
    found = remote(front.host, user="alice", password="s3cret")
    await found.resolve("1.0")
    return found


async def test_a_storage_host_sees_no_credential(
    front: Simulator, storage: Simulator, app: registry.RemoteRepository
) -> None:
    """GHSA-vh4v-2xq2-g5cg: no Authorization, no cookie; and the signature stays as it is."""
    path = f"/v2/org/app/blobs/{descriptor().digest}"
    signed = f"{storage.url}{path}?X-Sig=a%2Fb%3D&c=%7E+d"
    cookie = faults.status(307, headers={"Location": signed, "Set-Cookie": "session=1"})
    front.on("GET", "/blobs/", cookie)
    assert await read(app) == CONTENT
    (seen,) = storage.seen
    assert seen.authorization == ""
    assert "Cookie" not in seen.headers
    assert seen.query == "X-Sig=a%2Fb%3D&c=%7E+d"
    await app.resolve("1.0")
    assert "Cookie" not in front.seen[-1].headers


async def test_a_cut_at_the_storage_host_goes_through_the_registry_again(
    front: Simulator, storage: Simulator, app: registry.RemoteRepository
) -> None:
    """A signed URL may have run out meanwhile."""
    path = f"/v2/org/app/blobs/{descriptor().digest}"
    front.on("GET", "/blobs/", faults.redirect(f"{storage.url}{path}"))
    storage.on("GET", "/blobs/", faults.cut(1000), times=1)
    with front.watched() as seen:
        assert await read(app) == CONTENT
    assert len(seen) == 2
    assert storage.seen[-1].headers["Range"] == "bytes=1000-"


async def test_a_refusal_at_the_storage_host_renews_no_token(
    front: Simulator, storage: Simulator, app: registry.RemoteRepository
) -> None:
    """A 403 of somebody else's says nothing about our credential; signatures are not shown."""
    front.on("GET", "/blobs/", faults.redirect(f"{storage.url}/b?sig=TOPSECRET"))
    storage.on("GET", "/b", faults.status(403, body=b"<Error>Expired</Error>"))
    with front.watched() as seen, pytest.raises(errors.UnauthorizedError) as caught:
        await read(app)
    assert len(seen) == 1
    assert "Expired" in str(caught.value)
    assert "TOPSECRET" not in str(caught.value)
    assert "TOPSECRET" not in caught.value.url
    assert "credential given" not in str(caught.value)


async def test_a_redirect_on_the_registry_keeps_the_credential(
    front: Simulator, app: registry.RemoteRepository
) -> None:
    """Same scheme, host and port: a mirror's path, for example."""
    front.add_blob("org/app", CONTENT)
    path = f"/v2/org/app/blobs/{descriptor().digest}"
    front.on("GET", "/blobs/", faults.redirect(f"{path}?again"), times=1)
    assert await read(app) == CONTENT
    assert front.seen[-1].authorization


async def test_who_was_sent_away_comes_back_as_a_stranger(
    front: Simulator, storage: Simulator, app: registry.RemoteRepository
) -> None:
    """A storage host cannot send our credential to a path of its choice."""
    front.on("GET", "/blobs/", faults.redirect(f"{storage.url}/away"))
    storage.on("GET", "/away", faults.redirect(f"{front.url}/v2/org/app/manifests/1.0"))
    with pytest.raises(errors.RegistryError):
        await read(app)
    assert front.seen[-1].path.endswith("/manifests/1.0")
    assert front.seen[-1].authorization == ""


async def test_redirects_end(front: Simulator, app: registry.RemoteRepository) -> None:
    """Five hops are plenty."""
    front.on("GET", "/blobs/", faults.redirect(lambda request: f"{request.path_qs}x"))
    with front.watched() as seen, pytest.raises(errors.TransportError, match="after 5 redirects"):
        await read(app)
    assert len(seen) == 6


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/x",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://2852039166/latest/",
        "http://[::ffff:a9fe:a9fe]/x",
        "file:///etc/passwd",
        "https://u:p@127.0.0.1/x",
        "http://127.0.0.1:99999/",
        "http://[",
        "",
    ],
)
async def test_hostile_redirects_lead_nowhere(
    front: Simulator, app: registry.RemoteRepository, target: str
) -> None:
    """Metadata services, other schemes, users and rubbish."""
    front.on("GET", "/blobs/", faults.redirect(target))
    with pytest.raises((errors.TransportError, errors.RegistryError)) as caught:
        await read(app)
    assert "u:p" not in str(caught.value)


async def test_a_manifest_may_be_elsewhere_too(
    front: Simulator, storage: Simulator, app: registry.RemoteRepository
) -> None:
    """As at registry.k8s.io, which sends manifests to a registry nearby."""
    digest = storage.add_image("org/app", "1.0")
    front.on("*", "/manifests/", faults.redirect(lambda request: storage.url + request.path))
    assert str((await app.resolve("1.0")).digest) == digest
    assert not [each for each in storage.seen if each.authorization]
