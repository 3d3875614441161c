"""One suite over two subjects: our simulator, and Debian's docker-registry.

What holds for the client against the real one holds against the simulator, so that the tests that
use the simulator's faults stand on solid ground.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci import limits, registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import manifest, reference
from tests.parts import registry as parts
from tests.simulators.registry import Simulator, Tokens

USERS = {"alice": "s3cret"}
LAYER = hashlib.sha512(b"seed").digest() * 10_000

# docker-registry keeps its content on disk under names of its own; each test has a fresh one.
SUBJECTS = ["simulator", "docker-registry"]


@pytest.fixture(params=SUBJECTS)
async def host(
    request: pytest.FixtureRequest, start_registry: Callable[..., parts.Registry]
) -> AsyncIterator[str]:
    """An empty registry that lets everybody in."""
    if request.param == "docker-registry":
        yield start_registry().host
        return
    async with Simulator() as simulator:
        yield simulator.host


@pytest.fixture(params=[*SUBJECTS, "simulator with tokens"])
async def locked_host(
    request: pytest.FixtureRequest, start_registry: Callable[..., parts.Registry]
) -> AsyncIterator[str]:
    """An empty registry that lets Alice in, and nobody else."""
    if request.param == "docker-registry":
        yield start_registry(users=USERS).host
        return
    tokens = Tokens(users=USERS, is_anonymous_allowed=False)
    is_basic = request.param == "simulator"
    async with Simulator(
        users=USERS if is_basic else None, tokens=None if is_basic else tokens
    ) as simulator:
        yield simulator.host


View = Callable[..., registry.RemoteRepository]


@pytest.fixture
async def view() -> AsyncIterator[View]:
    """``view(host, password="")``: the repository org/app there, as Alice or as nobody."""
    registries = registry.Registries(settings=limits.RegistrySettings(upload_chunk=256 * 1024))

    def make(host: str, password: str = "") -> registry.RemoteRepository:
        keychain = credentials.StaticKeychain(
            credentials.Credential("alice", password) if password else None
        )
        repository = reference.Repository(host, "org/app")
        return registries.repository(repository, registry.Access(keychain=keychain))

    yield make
    await registries.close()


def described(content: bytes, media_type: str = manifest.FLUX_CONTENT) -> manifest.Descriptor:
    """The descriptor of a content."""
    return manifest.Descriptor(media_type, len(content), digests.Digest.of(content))


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """A content as a stream of uneven pieces."""
    for start in range(0, len(content), 70_001):
        yield content[start : start + 70_001]


def body_of(layer: bytes) -> bytes:
    """A manifest with one layer."""
    config = b"{}"
    entries = [
        {"mediaType": each.media_type, "digest": str(each.digest), "size": each.size}
        for each in (described(config, manifest.FLUX_CONFIG), described(layer))
    ]
    content = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": entries[0],
        "layers": entries[1:],
    }
    return json.dumps(content).encode()


async def push(app: registry.RemoteRepository, *tags: str) -> manifest.Descriptor:
    """Push the image under tags."""
    await app.upload_blob(described(b"{}", manifest.FLUX_CONFIG), b"{}")
    await app.upload_blob(described(LAYER), LAYER)
    for tag in tags:
        found = await app.put_manifest(
            body_of(LAYER), media_type=manifest.OCI_MANIFEST, reference=tag
        )
    return found


async def test_what_is_pushed_is_pulled(host: str, view: View) -> None:
    """Resolve, manifest, blob: the same bytes under the same digest."""
    app = view(host)
    pushed = await push(app, "1.0")
    found = await app.resolve("1.0")
    assert (found.digest, found.media_type, found.size) == (
        pushed.digest,
        manifest.OCI_MANIFEST,
        pushed.size,
    )
    same, body = await app.manifest(found.digest)
    assert body == body_of(LAYER)
    assert same.digest == found.digest
    assert await app.head(found.digest) == found
    assert b"".join([chunk async for chunk in app.blob(described(LAYER))]) == LAYER


async def test_blobs_are_known_once_uploaded(host: str, view: View) -> None:
    """In one piece and in chunks; each is there afterwards, and was not before."""
    app = view(host)
    for number, content in enumerate((LAYER, LAYER[1:], b"x")):
        wanted = described(content)
        assert not await app.has_blob(wanted)
        await app.upload_blob(wanted, pieces(content) if number else content)
        assert await app.has_blob(wanted)
        assert b"".join([chunk async for chunk in app.blob(wanted)]) == content


async def test_a_wrong_upload_leaves_nothing(host: str, view: View) -> None:
    """The content is hashed on its way out."""
    app = view(host)
    wanted = described(LAYER)
    with pytest.raises(errors.ContentError):
        await app.upload_blob(wanted, pieces(LAYER[:-1] + b"!"))
    assert not await app.has_blob(wanted)


async def test_tags_are_listed(host: str, view: View) -> None:
    """Every tag, once."""
    app = view(host)
    names = {f"1.0.{number}" for number in range(12)}
    await push(app, *sorted(names))
    assert set(await app.tags()) == names
    assert len(await app.tags()) == len(names)


async def test_a_tag_moves(host: str, view: View) -> None:
    """The next check sees where it points now."""
    app = view(host)
    first = await push(app, "latest")
    body = body_of(LAYER[2:])
    await app.upload_blob(described(LAYER[2:]), LAYER[2:])
    second = await app.put_manifest(body, media_type=manifest.OCI_MANIFEST, reference="latest")
    assert first.digest != second.digest
    assert (await app.resolve("latest")).digest == second.digest
    assert (await app.head(first.digest)).digest == first.digest


async def test_what_is_not_there_is_not_found(host: str, view: View) -> None:
    """Unknown repository, tag, digest and blob, each with the registry's code."""
    app = view(host)
    with pytest.raises(errors.NotFoundError) as no_repository:
        await app.tags()
    assert no_repository.value.codes == ("NAME_UNKNOWN",)
    await push(app, "1.0")
    nowhere = digests.Digest.of(b"nowhere")
    for missing in (app.resolve("2.0"), app.head(nowhere), app.manifest(nowhere)):
        with pytest.raises(errors.NotFoundError) as no_manifest:
            await missing
        assert no_manifest.value.codes == ("MANIFEST_UNKNOWN",)
    with pytest.raises(errors.NotFoundError) as no_blob:
        [chunk async for chunk in app.blob(described(b"nowhere"))]
    assert no_blob.value.codes == ("BLOB_UNKNOWN",)


async def test_many_at_once(host: str, view: View) -> None:
    """Checks of many tags side by side, on kept connections."""
    app = view(host)
    names = [f"t{number}" for number in range(10)]
    pushed = await push(app, *names)
    found = await asyncio.gather(*(app.resolve(name) for name in names * 5))
    assert {each.digest for each in found} == {pushed.digest}


async def test_who_may_come_in_may_pull_and_push(locked_host: str, view: View) -> None:
    """Basic and Bearer, for reading and for writing."""
    alice = view(locked_host, "s3cret")
    pushed = await push(alice, "1.0")
    assert (await alice.resolve("1.0")).digest == pushed.digest
    assert await alice.tags() == ("1.0",)


@pytest.mark.parametrize("password", ["", "wr0ng"])
async def test_who_may_not_come_in_is_refused(locked_host: str, view: View, password: str) -> None:
    """Reading, listing and writing; the text never holds the password."""
    await push(view(locked_host, "s3cret"), "1.0")
    stranger = view(locked_host, password)
    for forbidden in (
        stranger.resolve("1.0"),
        stranger.tags(),
        stranger.upload_blob(described(b"x"), b"x"),
    ):
        with pytest.raises(errors.UnauthorizedError) as caught:
            await forbidden
        assert not password or password not in str(caught.value)
