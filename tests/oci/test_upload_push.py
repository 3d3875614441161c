"""The push side: existence, one piece, chunks, manifests."""

from collections.abc import AsyncIterator

import pytest

from ocisource import errors
from ocisource.oci import limits, registry
from ocisource.oci.grammar import manifest, reference
from tests.oci.conftest import Remote
from tests.oci.test_blob_stream import CONTENT, descriptor
from tests.simulators import faketime, faults
from tests.simulators.registry import Fault, Simulator, Tokens

USERS = {"alice": "s3cret"}
CHUNK = 256 * 1024


@pytest.fixture
async def app(
    simulator: Simulator, time: faketime.FakeTime
) -> AsyncIterator[registry.RemoteRepository]:
    """A repository to push to, in small chunks."""
    registries = registry.Registries(
        settings=limits.RegistrySettings(upload_chunk=CHUNK), clock=time.clock, sleep=time.skip
    )
    yield registries.repository(reference.Repository(simulator.host, "org/app"))
    await registries.close()


async def pieces(content: bytes = CONTENT, size: int = 100_000) -> AsyncIterator[bytes]:
    """A content as a stream."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def stored(simulator: Simulator) -> bytes | None:
    """What the registry holds under the content's digest."""
    return simulator.repository("org/app").blobs.get(str(descriptor().digest))


def methods(simulator: Simulator) -> list[str]:
    """Methods of the requests, without the search for the scheme."""
    return [each.method for each in simulator.seen if each.path != "/v2/"]


async def test_a_blob_that_is_there_is_known(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """One HEAD tells."""
    assert not await app.has_blob(descriptor())
    simulator.add_blob("org/app", CONTENT)
    assert await app.has_blob(descriptor())
    assert methods(simulator) == ["HEAD", "HEAD"]


async def test_bytes_go_in_one_piece(simulator: Simulator, app: registry.RemoteRepository) -> None:
    """POST, then PUT with everything."""
    await app.upload_blob(descriptor(), CONTENT)
    assert stored(simulator) == CONTENT
    assert methods(simulator) == ["POST", "PUT"]


async def test_a_stream_goes_in_chunks(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """POST, PATCH with its `Content-Range` each, PUT."""
    await app.upload_blob(descriptor(), pieces())
    assert stored(simulator) == CONTENT
    assert methods(simulator) == ["POST", *["PATCH"] * 4, "PUT"]
    ranges = [e.headers["Content-Range"] for e in simulator.seen if e.method == "PATCH"]
    assert ranges[:2] == ["0-262143", "262144-524287"]


async def test_a_registry_may_want_bigger_chunks(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """`OCI-Chunk-Min-Length`."""
    wish = faults.with_headers({"OCI-Chunk-Min-Length": str(3 * CHUNK)})
    simulator.on("POST", "/uploads/", wish)
    await app.upload_blob(descriptor(), pieces())
    assert methods(simulator) == ["POST", "PATCH", "PATCH", "PUT"]
    assert stored(simulator) == CONTENT


async def test_too_big_a_piece_goes_in_chunks(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """Quay answers 413 to big bodies."""
    simulator.on("PUT", "/uploads/", faults.status(413), times=1)
    await app.upload_blob(descriptor(), CONTENT)
    assert stored(simulator) == CONTENT
    assert methods(simulator) == ["POST", "PUT", "POST", *["PATCH"] * 4, "PUT"]


@pytest.mark.parametrize("fault", [faults.status(502), faults.reset(), faults.status(416)])
async def test_a_chunk_that_was_cut_is_continued(
    simulator: Simulator, app: registry.RemoteRepository, fault: Fault
) -> None:
    """The registry is asked how far it got."""
    simulator.on("PATCH", "/uploads/", fault, times=1)
    await app.upload_blob(descriptor(), pieces())
    assert stored(simulator) == CONTENT
    assert methods(simulator)[:4] == ["POST", "PATCH", "GET", "PATCH"]


async def test_a_chunk_whose_answer_was_lost_is_not_sent_twice(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """The registry took it: the next chunk follows."""
    simulator.on("PATCH", "/uploads/", faults.lost_answer(), times=1)
    await app.upload_blob(descriptor(), pieces())
    assert stored(simulator) == CONTENT
    assert methods(simulator) == ["POST", "PATCH", "GET", *["PATCH"] * 3, "PUT"]


async def test_a_commit_whose_answer_was_lost_counts(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """Sent again it meets no upload; the blob is there."""
    simulator.on("PUT", "/uploads/", faults.lost_answer(), times=1)
    await app.upload_blob(descriptor(), CONTENT)
    assert stored(simulator) == CONTENT


async def test_a_chunk_that_never_arrives_is_given_up(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """Three tries; then the upload is called off at the registry too."""
    simulator.on("PATCH", "/uploads/", faults.status(500))
    with pytest.raises(errors.RegistryError, match="500"):
        await app.upload_blob(descriptor(), pieces())
    assert methods(simulator).count("PATCH") == 3
    assert methods(simulator)[-1] == "DELETE"
    assert simulator.repository("org/app").uploads == {}


@pytest.mark.parametrize("is_stream", [True, False])
async def test_other_bytes_than_described_are_not_committed(
    simulator: Simulator, app: registry.RemoteRepository, is_stream: bool
) -> None:
    """What is sent is hashed here, before the registry is told to keep it."""
    wrong = CONTENT[:-1] + b"\0"
    with pytest.raises(errors.ContentError, match="sha256"):
        await app.upload_blob(descriptor(), pieces(wrong) if is_stream else wrong)
    assert "PUT" not in methods(simulator)
    assert simulator.repository("org/app").uploads == {}


async def test_a_manifest_is_put_and_found(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """Under a tag, with its own media type."""
    body = b'{"schemaVersion":2,"layers":[]}'
    put = await app.put_manifest(body, media_type=manifest.OCI_MANIFEST, reference="1.0")
    found = await app.resolve("1.0")
    assert (found.digest, found.media_type) == (put.digest, manifest.OCI_MANIFEST)
    assert await app.tags() == ("1.0",)


async def test_a_registry_that_stores_something_else_is_caught(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """Its digest must be ours."""
    other = faults.with_headers({"Docker-Content-Digest": "sha256:" + "1" * 64})
    simulator.on("PUT", "/manifests/", other)
    with pytest.raises(errors.ContentError, match="stored the manifest under"):
        await app.put_manifest(b"{}", media_type=manifest.OCI_MANIFEST, reference="1.0")


async def test_what_a_registry_calls_a_digest_is_shown_printable(
    simulator: Simulator, app: registry.RemoteRepository
) -> None:
    """A character that turns the writing round does not reach a terminal."""
    simulator.on("PUT", "/manifests/", faults.with_headers({"Docker-Content-Digest": "x\u202ey"}))
    with pytest.raises(errors.ContentError) as caught:
        await app.put_manifest(b"{}", media_type=manifest.OCI_MANIFEST, reference="1.0")
    assert str(caught.value).isprintable()


async def test_pushing_asks_for_the_right_to_push(remote: Remote) -> None:
    """A token for pulling alone is not used for it, nor the other way round."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.upload_blob(descriptor(), CONTENT)
        await app.put_manifest(b"{}", media_type=manifest.OCI_MANIFEST, reference="1.0")
        await app.resolve("1.0")
        asked = [each.query for each in simulator.seen if each.path == "/token"]
    assert ["pull%2Cpush" in each for each in asked] == [True, False]


async def test_an_upload_elsewhere_goes_without_credential(remote: Remote) -> None:
    """GHSA-jxpm-75mh-9fp7: a `Location` on another host gets the bytes, not the password."""
    async with Simulator(users=USERS) as front, Simulator() as storage:
        storage.repository("org/app").uploads["0-1"] = bytearray()
        away = {"Location": f"{storage.url}/v2/org/app/blobs/uploads/0-1"}
        front.on("POST", "/uploads/", faults.with_headers(away))
        app = remote(front.host, user="alice", password="s3cret")
        await app.upload_blob(descriptor(), CONTENT)
        assert stored(storage) == CONTENT
    assert {each.authorization for each in storage.seen} == {""}


@pytest.mark.parametrize(
    "location", ["ftp://x/y", "http://169.254.169.254/upload", "http://u:p@127.0.0.1:9/x"]
)
async def test_a_hostile_location_gets_nothing(
    simulator: Simulator, app: registry.RemoteRepository, location: str
) -> None:
    """Metadata services, other schemes, users."""
    simulator.on("POST", "/uploads/", faults.with_headers({"Location": location}))
    with pytest.raises(errors.ForbiddenAddressError) as caught:
        await app.upload_blob(descriptor(), CONTENT)
    assert "u:p" not in str(caught.value)


async def test_a_refused_push_is_explained(remote: Remote) -> None:
    """Who may pull may not always push."""
    async with Simulator(users=USERS) as simulator:
        with pytest.raises(errors.UnauthorizedError, match="no credential for"):
            await remote(simulator.host).upload_blob(descriptor(), CONTENT)
