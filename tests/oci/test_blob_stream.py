"""Blobs: streamed, verified, resumed; wherever they are."""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci import limits, registry
from ocisource.oci.grammar import manifest
from tests.oci.conftest import Remote
from tests.simulators import faults
from tests.simulators.registry import Simulator

CONTENT = random.Random(7).randbytes(1 << 20)


def descriptor(content: bytes = CONTENT, **fields: object) -> manifest.Descriptor:
    """The descriptor of a content."""
    found = manifest.Descriptor(manifest.FLUX_CONTENT, len(content), digests.Digest.of(content))
    return dataclasses.replace(found, **fields)  # type: ignore[arg-type]


async def read(
    remote: registry.RemoteRepository, wanted: manifest.Descriptor | None = None
) -> bytes:
    """The whole blob."""
    return b"".join([chunk async for chunk in remote.blob(wanted or descriptor())])


@pytest.fixture
async def holder() -> AsyncIterator[Simulator]:
    """A registry that holds the content."""
    async with Simulator() as found:
        found.add_blob("org/app", CONTENT)
        yield found


async def test_a_blob_comes_as_it_is(holder: Simulator, remote: Remote) -> None:
    """One GET, all bytes."""
    app = remote(holder.host)
    assert await read(app) == CONTENT
    with holder.watched() as seen:
        await read(app)
    assert [(each.method, each.path) for each in seen] == [
        ("GET", f"/v2/org/app/blobs/{descriptor().digest}")
    ]


@pytest.mark.parametrize("is_range_supported", [True, False])
async def test_a_cut_blob_is_taken_up_again(remote: Remote, is_range_supported: bool) -> None:
    """With `Range`, or, where the registry knows none, by reading over what is there already."""
    async with Simulator(is_range_supported=is_range_supported) as holder:
        holder.add_blob("org/app", CONTENT)
        for after in (100_000, 300_001, 1):
            holder.on("GET", "/blobs/", faults.cut(after), times=1)
        assert await read(remote(holder.host)) == CONTENT
        ranges = [each.headers.get("Range") for each in holder.seen if "blobs" in each.path]
    if is_range_supported:
        assert ranges == [None, "bytes=100000-", "bytes=400001-", "bytes=400002-"]
    else:
        # Cuts at 100 000, then 300 001, then before anything new came.
        assert ranges == [None, "bytes=100000-", "bytes=300001-", "bytes=300001-"]


async def test_a_blob_that_is_cut_forever_is_given_up(holder: Simulator, remote: Remote) -> None:
    """However many pieces it comes in, they are counted."""
    holder.on("GET", "/blobs/", faults.cut(10))
    with pytest.raises(errors.ConnectionLostError):
        await read(remote(holder.host))
    assert len([each for each in holder.seen if "blobs" in each.path]) <= 20


async def test_a_blob_that_brings_nothing_is_given_up(holder: Simulator, remote: Remote) -> None:
    """Cut before the first byte, each time."""
    holder.on("GET", "/blobs/", faults.cut(0))
    with pytest.raises(errors.ConnectionLostError):
        await read(remote(holder.host))


@pytest.mark.parametrize("declared", [len(CONTENT) - 1000, len(CONTENT) + 1000, 1])
async def test_a_wrong_content_length_does_not_matter(
    holder: Simulator, remote: Remote, declared: int
) -> None:
    """Harbor: the descriptor's size and digest count, not the header."""
    holder.on("GET", "/blobs/", faults.length(declared), times=1)
    assert await read(remote(holder.host)) == CONTENT


async def test_a_blob_shorter_than_described_is_refused(holder: Simulator, remote: Remote) -> None:
    """Nothing may be used: the iterator ends with the error."""
    wanted = descriptor(size=len(CONTENT) + 5)
    with pytest.raises(errors.ContentError) as caught:
        await read(remote(holder.host), wanted)
    assert str(caught.value) == (
        f"{holder.host}/org/app@{wanted.digest}: "
        f"error verifying size; got {len(CONTENT)}, want {len(CONTENT) + 5}"
    )


async def test_a_blob_longer_than_described_is_stopped(holder: Simulator, remote: Remote) -> None:
    """Reading ends as soon as there is too much."""
    with pytest.raises(errors.ContentError, match="got more than 1000 bytes"):
        await read(remote(holder.host), descriptor(size=1000))


async def test_other_bytes_than_described_are_refused(holder: Simulator, remote: Remote) -> None:
    """One bit is enough."""
    holder.on("GET", "/blobs/", faults.altered(lambda body: body[:-1] + b"\0"))
    with pytest.raises(errors.ContentError, match="error verifying sha256 checksum after reading"):
        await read(remote(holder.host))


async def test_a_dripping_blob_arrives(remote: Remote) -> None:
    """Slow is not wrong: the caller's deadline alone ends it."""
    async with Simulator() as holder:
        content = CONTENT[:3000]
        holder.add_blob("org/app", content)
        holder.on("GET", "/blobs/", faults.drip(7))
        assert await read(remote(holder.host), descriptor(content)) == content


async def test_the_callers_deadline_ends_a_silent_blob(holder: Simulator, remote: Remote) -> None:
    """Cancelled in the middle of a read, nothing is left behind."""
    app = remote(holder.host)
    await read(app)
    go = asyncio.Event()
    holder.on("GET", "/blobs/", faults.silence(go))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await read(app)
    go.set()


async def test_a_reader_may_stop_early(holder: Simulator, remote: Remote) -> None:
    """Closing the iterator frees the connection."""
    app = remote(holder.host)
    async with contextlib.aclosing(app.blob(descriptor())) as chunks:
        async for chunk in chunks:
            assert CONTENT.startswith(chunk)
            break
    assert await read(app) == CONTENT


async def test_inline_data_needs_no_request(holder: Simulator, remote: Remote) -> None:
    """The descriptor's own `data`, checked like any other."""
    wanted = descriptor(b"abc", data=b"abc")
    assert await read(remote(holder.host), wanted) == b"abc"
    assert holder.seen == []


async def test_inline_data_that_lies_is_refused(holder: Simulator, remote: Remote) -> None:
    """The digest is the judge."""
    with pytest.raises(errors.ContentError):
        await read(remote(holder.host), descriptor(b"abc", data=b"abd"))


async def test_a_missing_blob_is_named(holder: Simulator, remote: Remote) -> None:
    """The registry's own code and words."""
    with pytest.raises(errors.NotFoundError, match="BLOB_UNKNOWN: blob unknown to registry"):
        await read(remote(holder.host), descriptor(b"other"))


async def test_a_descriptors_urls_are_tried_in_order(holder: Simulator, remote: Remote) -> None:
    """If the registry refuses, and without anybody's credential."""
    async with Simulator(users={"alice": "s3cret"}) as front:
        front.add_image("org/app", "1.0")
        urls = tuple(
            f"{holder.url}/v2/org/{repo}/blobs/{descriptor().digest}" for repo in ("no", "app")
        )
        app = remote(front.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        assert await read(app, descriptor(urls=urls)) == CONTENT
        assert front.seen[-1].authorization
    assert [each.authorization for each in holder.seen] == ["", ""]


async def test_attack_urls_without_end_are_not_all_tried(holder: Simulator, remote: Remote) -> None:
    """A manifest cannot have this machine knock at thousands of doors."""
    urls = tuple(f"{holder.url}/door/{number}" for number in range(1000))
    with pytest.raises(errors.NotFoundError, match="BLOB_UNKNOWN"):
        await read(remote(holder.host), descriptor(b"other", urls=urls))
    knocks = [each.path for each in holder.seen if each.path.startswith("/door/")]
    assert knocks == [f"/door/{number}" for number in range(limits.DEFAULT.blob_urls)]


async def test_the_registrys_refusal_is_told_if_the_urls_fail_too(
    holder: Simulator, remote: Remote
) -> None:
    """What stands elsewhere is a second chance, not the story."""
    wanted = descriptor(b"other", urls=(f"{holder.url}/nowhere", "gopher://x/y"))
    with pytest.raises(errors.NotFoundError, match="BLOB_UNKNOWN"):
        await read(remote(holder.host), wanted)


async def test_a_page_for_humans_is_no_blob(holder: Simulator, remote: Remote) -> None:
    """HTML with status 200."""
    holder.on("GET", "/blobs/", faults.html())
    with pytest.raises(errors.RegistryError, match="expected a blob, got an HTML page"):
        await read(remote(holder.host))


async def test_another_range_than_asked_for_is_refused(holder: Simulator, remote: Remote) -> None:
    """A gap would be found out by the hash only after everything was read."""
    holder.on("GET", "/blobs/", faults.cut(1000), times=1)
    headers = {"Content-Range": "bytes 5000-9999/10000"}
    holder.on("GET", "/blobs/", faults.status(206, headers=headers, body=b"x"))
    with pytest.raises(errors.RegistryError, match="asked for bytes from 1000 on"):
        await read(remote(holder.host))


@pytest.mark.parametrize("is_range_supported", [True, False])
async def test_content_that_changes_between_two_pieces_is_refused(
    remote: Remote, is_range_supported: bool
) -> None:
    """Another ETag, other bytes of the same length: the digest of the whole is the judge."""
    async with Simulator(is_range_supported=is_range_supported) as holder:
        digest = holder.add_blob("org/app", CONTENT)
        holder.on("GET", "/blobs/", faults.cut(100_000), times=1)
        app = remote(holder.host)
        async with contextlib.aclosing(app.blob(descriptor())) as chunks:
            await anext(chunks)
            other = random.Random(8).randbytes(len(CONTENT))
            holder.repository("org/app").blobs[digest] = other
            holder.on("GET", "/blobs/", faults.with_headers({"ETag": '"other"'}))
            with pytest.raises(errors.ContentError, match="error verifying sha256 checksum"):
                async for _ in chunks:
                    pass


@pytest.mark.parametrize("size", [1, len(CONTENT) + 1, 10**18])
async def test_a_range_of_another_whole_is_judged_by_its_bytes(
    holder: Simulator, remote: Remote, size: int
) -> None:
    """Proxies get the size behind the slash wrong, as they do with `Content-Length`."""
    holder.on("GET", "/blobs/", faults.cut(1000), times=1)
    wrong = {"Content-Range": f"bytes 1000-{len(CONTENT) - 1}/{size}"}
    holder.on("GET", "/blobs/", faults.with_headers(wrong))
    assert await read(remote(holder.host)) == CONTENT


async def test_a_blob_that_shrank_between_two_pieces_is_refused(
    holder: Simulator, remote: Remote
) -> None:
    """Nothing is left behind what has come: 416, and too few bytes."""
    holder.on("GET", "/blobs/", faults.cut(300_000), times=1)
    gone = faults.status(416, headers={"Content-Range": "bytes */1000"})
    holder.on("GET", "/blobs/", gone)
    with pytest.raises(errors.ContentError, match="error verifying size; got 300000, want 1048576"):
        await read(remote(holder.host))
