"""What the artifact server answers."""

import asyncio
import errno
import os
import pathlib
import random
from typing import Any

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import filecache, fileserver, store
from tests.storage import conftest, shelf, wire

_SMALL = random.Random(1).randbytes(10_000)  # from memory
_LARGE = random.Random(2).randbytes(1_000_000)  # by sendfile
_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # shelf.START


@pytest.fixture(params=[_SMALL, _LARGE], ids=["small", "large"])
def content(request: pytest.FixtureRequest, local: store.LocalStore) -> bytes:
    """The bytes stored under shelf.PATH."""
    data: bytes = request.param
    shelf.put(local, data)
    local.point_latest(shelf.FOLDER, shelf.PATH)
    return data


async def test_a_probe_gets_an_empty_ok(address: tuple[str, int]) -> None:
    """``GET /`` is 200 and nothing else; there is no listing."""
    for method in ("GET", "HEAD"):
        answer = await wire.ask(address, "/", method=method)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


async def test_an_artifact_comes_with_all_that_identifies_it(
    address: tuple[str, int], content: bytes
) -> None:
    """Bytes, length, type, digest as entity tag, the time it was stored."""
    answer = await wire.ask(address, f"/{shelf.PATH}")
    assert answer.body == content
    del answer.headers["date"]  # type: ignore[attr-defined]
    assert answer.headers == {
        "content-length": str(len(content)),
        "content-type": "application/gzip",
        "accept-ranges": "bytes",
        "etag": f'"{digests.Digest.of(content)}"',
        "last-modified": _DATE,
        "x-content-type-options": "nosniff",
    }


async def test_head_is_get_without_the_body(address: tuple[str, int], content: bytes) -> None:
    """The same headers, the connection stays usable, a range is not looked at."""
    async with wire.connected(address) as client:
        got = await client.ask(f"/{shelf.PATH}")
        head = await client.ask(f"/{shelf.PATH}", method="HEAD", range="bytes=0-9")
        assert (head.status, head.body) == (200, b"")
        assert {**head.headers, "date": ""} == {**got.headers, "date": ""}
        assert (await client.ask(f"/{shelf.PATH}")).body == content


async def test_latest_leads_to_the_artifact(address: tuple[str, int], content: bytes) -> None:
    """The link is followed, with the artifact's own tag."""
    answer = await wire.ask(address, f"/{shelf.FOLDER}/latest.tar.gz")
    assert answer.body == content
    assert answer.headers["etag"] == f'"{digests.Digest.of(content)}"'


@pytest.mark.parametrize("is_named_by_link", [False, True])
async def test_latest_may_be_an_absolute_link_into_the_store(
    tmp_path: pathlib.Path, *, is_named_by_link: bool
) -> None:
    """The link a Flux wrote works, also where the root was given as a link."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "mount").symlink_to(real)
    local = shelf.create(tmp_path / "mount")
    shelf.put(local, _SMALL)
    root = local.root if is_named_by_link else real
    (real / shelf.FOLDER / "latest.tar.gz").symlink_to(root / shelf.PATH)
    server = fileserver.FileServer(local)
    address = await server.start("127.0.0.1", 0)
    assert (await wire.ask(address, f"/{shelf.FOLDER}/latest.tar.gz")).body == _SMALL
    await server.stop()
    local.close()


@pytest.mark.parametrize(
    "target",
    [
        "/ocirepository",
        "/ocirepository/",
        "/ocirepository/apps/podinfo",
        "/ocirepository/apps/podinfo/",
        f"/{shelf.PATH}/",
        f"/{shelf.PATH}/x",
        f"//{shelf.PATH}",
        "/ocirepository/apps/podinfo/none.tar.gz",
        "/none",
    ],
)
async def test_everything_that_is_no_file_is_not_found(
    address: tuple[str, int], content: bytes, target: str
) -> None:
    """Folders, with and without slash, and unknown names: 404, nothing is listed."""
    answer = await wire.ask(address, target)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_are_not_allowed(
    address: tuple[str, int], content: bytes, method: str
) -> None:
    """405, saying what is allowed."""
    answer = await wire.ask(address, f"/{shelf.PATH}", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_body_is_not_read_as_a_request(address: tuple[str, int], content: bytes) -> None:
    """What follows a POST as its body is swallowed, not obeyed."""
    async with wire.connected(address) as client:
        body = f"GET /{shelf.PATH} HTTP/1.1\r\nhost: x\r\n\r\n"
        client.send("/", method="POST", content_length=str(len(body)))
        client.writer.write(body.encode())
        assert (await client.read()).status == 405
        assert (await client.ask("/")).body == b""


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [("0-9", 0, 10), ("100-", 100, None), ("-100", -100, None), ("500-499999999", 500, None)],
)
async def test_a_range_is_a_part_of_the_file(
    address: tuple[str, int], content: bytes, value: str, start: int, end: int | None
) -> None:
    """206 with the part and where it lies."""
    answer = await wire.ask(address, f"/{shelf.PATH}", range=f"bytes={value}")
    part = content[start:end]
    offset = content.index(part) if start >= 0 else len(content) + start
    assert (answer.status, answer.body) == (206, part)
    last = offset + len(part) - 1
    assert answer.headers["content-range"] == f"bytes {offset}-{last}/{len(content)}"
    assert answer.headers["content-type"] == "application/gzip"


async def test_several_ranges_come_as_a_multipart(address: tuple[str, int], content: bytes) -> None:
    """Each part says where it lies; the whole is as long as announced."""
    async with wire.connected(address) as client:
        answer = await client.ask(f"/{shelf.PATH}", range="bytes=0-9,20-29,-5")
        assert (await client.ask("/")).status == 200
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert (answer.status, kind) == (206, "multipart/byteranges")
    first, *parts, end = answer.body.split(f"\r\n--{boundary}".encode())
    assert (first, end) == (b"", b"--\r\n")
    size = len(content)
    where = [(0, 9), (20, 29), (size - 5, size - 1)]
    for part, (start, last) in zip(parts, where, strict=True):
        head, _, body = part.partition(b"\r\n\r\n")
        assert f"content-range: bytes {start}-{last}/{size}" in head.decode().lower()
        assert b"Content-Type: application/gzip" in head
        assert body == content[start : last + 1]


async def test_a_range_outside_the_file_is_not_satisfiable(
    address: tuple[str, int], content: bytes
) -> None:
    """416 tells how long the file is."""
    answer = await wire.ask(address, f"/{shelf.PATH}", range="bytes=99999999-")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


async def test_a_download_can_be_resumed_while_the_file_is_the_same(
    address: tuple[str, int], local: store.LocalStore, content: bytes
) -> None:
    """If-Range: the rest of the same file, or all of another."""
    first = await wire.ask(address, f"/{shelf.PATH}", range="bytes=0-99")
    tag = first.headers["etag"]
    rest = await wire.ask(address, f"/{shelf.PATH}", range="bytes=100-", if_range=tag)
    assert first.body + rest.body == content
    shelf.put(local, content + b"more")
    again = await wire.ask(address, f"/{shelf.PATH}", range="bytes=100-", if_range=tag)
    assert (again.status, again.body) == (200, content + b"more")


async def test_what_a_client_has_already_is_not_sent_again(
    address: tuple[str, int], content: bytes
) -> None:
    """304 for the tag or the date of the file, with its validators; 412 for a wrong demand."""
    async with wire.connected(address) as client:
        tag = (await client.ask(f"/{shelf.PATH}")).headers["etag"]
        for headers in ({"if_none_match": tag}, {"if_modified_since": _DATE}):
            answer = await client.ask(f"/{shelf.PATH}", **headers)
            assert (answer.status, answer.headers["etag"]) == (304, tag)
            assert "content-length" not in answer.headers
        assert (await client.ask(f"/{shelf.PATH}", if_match='"x"')).status == 412
        assert (await client.ask(f"/{shelf.PATH}", if_none_match='"x"')).body == content


async def test_new_content_is_served_at_once(
    address: tuple[str, int], local: store.LocalStore, content: bytes
) -> None:
    """Nothing old is served from memory after the file was replaced or the link moved."""
    latest = f"/{shelf.FOLDER}/latest.tar.gz"
    async with wire.connected(address) as client:
        for number in range(10):
            new = content[:-1] + bytes([number])
            shelf.put(local, new)
            answer = await client.ask(f"/{shelf.PATH}")
            assert (answer.body, answer.headers["etag"]) == (new, f'"{digests.Digest.of(new)}"')
            assert (await client.ask(latest)).body == new
        other = f"{shelf.FOLDER}/other.tar.gz"
        shelf.put(local, b"other", other)
        local.point_latest(shelf.FOLDER, other)
        assert (await client.ask(latest)).body == b"other"


async def test_a_removed_file_is_gone_at_once(
    address: tuple[str, int], local: store.LocalStore, content: bytes
) -> None:
    """Nothing is served from memory that the store has no more."""
    async with wire.connected(address) as client:
        assert (await client.ask(f"/{shelf.PATH}")).status == 200
        local.remove_all(shelf.FOLDER)
        assert (await client.ask(f"/{shelf.PATH}")).status == 404
        assert (await client.ask(f"/{shelf.FOLDER}/latest.tar.gz")).status == 404


async def test_an_altered_file_is_not_served(
    address: tuple[str, int], local: store.LocalStore, content: bytes
) -> None:
    """Bytes that are not those of the record are 404 until they are rebuilt."""
    async with wire.connected(address) as client:
        assert (await client.ask(f"/{shelf.PATH}")).status == 200
        (local.root / shelf.PATH).write_bytes(content[::-1])
        assert (await client.ask(f"/{shelf.PATH}")).status == 404
        assert (await client.ask(f"/{shelf.FOLDER}/latest.tar.gz")).status == 404
        shelf.put(local, content)
        assert (await client.ask(f"/{shelf.PATH}")).body == content


async def test_files_without_a_record_are_served(
    address: tuple[str, int], local: store.LocalStore
) -> None:
    """After a lost index, what status names is there until the first run records it again."""
    (local.root / "o").mkdir()
    (local.root / "o" / "stray.txt").write_bytes(b"stray")
    answer = await wire.ask(address, "/o/stray.txt")
    assert (answer.status, answer.body) == (200, b"stray")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("mtime", "date"),
    [(10**12, _DATE), (-(10**11), "Thu, 01 Jan 1970 00:00:00 GMT")],
    ids=["future", "past"],
)
async def test_no_file_is_said_to_be_younger_than_the_answer(
    serve: conftest.Serve, local: store.LocalStore, mtime: int, date: str
) -> None:
    """A clock that went back, or a time no calendar has, makes no date a client cannot use."""
    (local.root / "o").mkdir()
    (local.root / "o" / "stray.txt").write_bytes(b"stray")
    os.utime(local.root / "o" / "stray.txt", (mtime, mtime))
    answer = await wire.ask(await serve(clock=shelf.Clock()), "/o/stray.txt")
    assert (answer.status, answer.headers["last-modified"]) == (200, date)


async def test_an_empty_file_is_served(address: tuple[str, int], local: store.LocalStore) -> None:
    """No bytes are a content too."""
    shelf.put(local, b"")
    for headers in ({}, {"range": "bytes=0-9"}):
        answer = await wire.ask(address, f"/{shelf.PATH}", **headers)
        assert (answer.status, answer.body) == (200, b"")


async def test_a_connection_serves_many_requests(address: tuple[str, int], content: bytes) -> None:
    """Also when they are sent before the first is answered."""
    async with wire.connected(address) as client:
        for _ in range(5):
            client.send(f"/{shelf.PATH}")
            client.send("/")
            client.send("/none")
        for _ in range(5):
            assert (await client.read()).body == content
            assert (await client.read()).status == 200
            assert (await client.read()).status == 404


async def test_the_connection_ends_where_the_client_says_so(
    address: tuple[str, int], content: bytes
) -> None:
    """HTTP/1.0 closes unless asked to keep, HTTP/1.1 keeps unless asked to close."""
    for version, wish, is_kept in [
        ("1.0", {}, False),
        ("1.0", {"connection": "keep-alive"}, True),
        ("1.1", {}, True),
        ("1.1", {"connection": "close"}, False),
    ]:
        async with wire.connected(address) as client:
            answer = await client.ask(f"/{shelf.PATH}", version=version, **wish)
            assert answer.body == content
            if is_kept:
                assert answer.headers.get("connection") == wish.get("connection")
                assert (await client.ask("/")).status == 200
            else:
                assert answer.headers.get("connection") == wish.get("connection")
                assert await client.is_closed()


async def test_names_may_be_percent_encoded_and_queries_are_ignored(
    address: tuple[str, int], content: bytes
) -> None:
    """All spellings of a name are the same file."""
    encoded = shelf.PATH.replace("o", "%6f").replace("/", "%2F")
    for target in (f"/{encoded}", f"/{shelf.PATH}?archive=tar.gz", f"http://any/{shelf.PATH}"):
        assert (await wire.ask(address, target)).body == content


async def test_a_small_file_is_read_once(
    local: store.LocalStore, serve: conftest.Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later requests, of whatever spelling, are answered from memory."""
    shelf.put(local, _SMALL)
    address = await serve()
    assert (await wire.ask(address, f"/{shelf.PATH}")).body == _SMALL
    monkeypatch.setattr(local.reader, "open", None)
    for _ in range(3):
        assert (await wire.ask(address, f"/{shelf.PATH}?x")).body == _SMALL
        answer = await wire.ask(address, f"/{shelf.PATH}", range="bytes=1-2,4-5")
        assert answer.status == 206


async def test_memory_is_bounded(local: store.LocalStore, serve: conftest.Serve) -> None:
    """With room for three files all hundred are served."""
    address = await serve(cache_bytes=3 * (len(_SMALL) + 1024))
    for number in range(100):
        shelf.put(local, _SMALL + bytes([number]), f"o/n/{number}.tar.gz")
    async with wire.connected(address) as client:
        for number in (*range(100), 0, 99):
            answer = await client.ask(f"/o/n/{number}.tar.gz")
            assert answer.body == _SMALL + bytes([number])


async def test_many_clients_at_once_get_whole_files(
    address: tuple[str, int], content: bytes
) -> None:
    """A herd for one fresh file: everybody gets all of it."""
    answers = await asyncio.gather(*(wire.ask(address, f"/{shelf.PATH}") for _ in range(50)))
    assert all(answer.body == content for answer in answers)


async def test_a_file_replaced_while_it_is_sent_arrives_whole(
    local: store.LocalStore, address: tuple[str, int]
) -> None:
    """A download goes on with the bytes it began with."""
    data = _LARGE * 20
    shelf.put(local, data)
    async with wire.connected(address) as client:
        client.send(f"/{shelf.PATH}")
        begun = await client.reader.readuntil(b"\r\n\r\n")
        shelf.put(local, b"other")
        local.check(shelf.PATH, digests.Digest.of(b"other"))
        assert f"Content-Length: {len(data)}".encode() in begun
        assert await client.reader.readexactly(len(data)) == data


async def test_a_file_cut_short_while_it_is_sent_ends_the_connection(
    local: store.LocalStore, address: tuple[str, int]
) -> None:
    """A client can tell a part from the whole."""
    data = _LARGE * 20
    shelf.put(local, data)
    async with wire.connected(address) as client:
        client.send(f"/{shelf.PATH}")
        await client.reader.readuntil(b"\r\n\r\n")
        (local.root / shelf.PATH).write_bytes(b"")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readexactly(len(data))


@pytest.mark.parametrize(
    ("number", "status"), [(errno.EACCES, 403), (errno.EIO, 500), (errno.EMFILE, 500)]
)
async def test_what_the_system_refuses_is_answered_in_http(
    address: tuple[str, int],
    local: store.LocalStore,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
) -> None:
    """403 without permission, 500 otherwise; the connection lives on."""
    shelf.put(local, _SMALL)

    def refuse(_path: str) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(local.reader, "open", refuse)
    async with wire.connected(address) as client:
        assert (await client.ask(f"/{shelf.PATH}")).status == status
        assert (await client.ask("/")).status == 200


async def test_descriptors_are_closed(local: store.LocalStore, address: tuple[str, int]) -> None:
    """Whatever is asked for and however it ends, nothing stays open."""
    shelf.put(local, _LARGE)
    await wire.ask(address, f"/{shelf.PATH}")
    before = shelf.open_files()
    for _ in range(5):
        await wire.ask(address, f"/{shelf.PATH}", range="bytes=0-1,5-6")
        await wire.ask(address, f"/{shelf.PATH}", if_none_match="*")
        await wire.ask(address, f"/{shelf.PATH}", method="HEAD")
        await wire.ask(address, f"/{shelf.FOLDER}")
        async with wire.connected(address) as client:
            client.send(f"/{shelf.PATH}")
            await client.reader.read(10)
    assert (await wire.ask(address, "/")).status == 200
    for _ in range(200):
        if shelf.open_files() == before:
            break
        await asyncio.sleep(0.01)
    assert shelf.open_files() == before


async def test_an_address_in_use_is_told_with_its_flag(
    local: store.LocalStore, address: tuple[str, int]
) -> None:
    """A wrong flag, as for every other listener."""
    server = fileserver.FileServer(local)
    told = rf"cannot listen on 127\.0\.0\.1:{address[1]} \(--storage-addr\): address already in use"
    with pytest.raises(errors.UsageError, match=told):
        await server.start(*address)
    await server.stop()


async def test_a_server_can_be_started_again(local: store.LocalStore) -> None:
    """A stopped server has left its address."""
    server = fileserver.FileServer(local)
    host, port = await server.start("127.0.0.1", 0)
    await server.stop()
    assert await server.start(host, port) == (host, port)
    assert (await wire.ask((host, port), "/")).status == 200
    await server.stop()


async def test_a_file_replaced_between_two_looks_is_served(
    address: tuple[str, int], local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication in the middle of a reading is no alteration."""
    shelf.put(local, b"old")
    real = local._place.ledger.digest_of
    pending = [b"new"]

    def late(descriptor: int) -> digests.Digest:
        found = real(descriptor)
        if pending:
            shelf.put(local, pending.pop())
        return found

    monkeypatch.setattr(local._place.ledger, "digest_of", late)
    assert (await wire.ask(address, f"/{shelf.PATH}")).body == b"new"


async def test_a_large_file_replaced_after_it_was_found_is_opened_again(
    address: tuple[str, int], local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptor that is sent belongs to the headers that were sent."""
    shelf.put(local, _LARGE)
    async with wire.connected(address) as client:
        assert (await client.ask(f"/{shelf.PATH}")).body == _LARGE
        for act in (lambda: shelf.put(local, _LARGE[::-1]), lambda: local.remove(shelf.PATH)):
            with monkeypatch.context() as patch:
                # As if the file changed just after it was looked at.
                patch.setattr(filecache.Entry, "is_current", lambda _entry: True)
                act()
                answer = await client.ask(f"/{shelf.PATH}")
            assert answer.body in {_LARGE[::-1], b"404 page not found\n"}
        assert answer.status == 404


async def test_a_fault_of_ours_ends_the_connection_and_is_logged(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client never takes half an answer for a whole one, whatever went wrong."""

    def fail(_status: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("ocisource.storage.answers.short", fail)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.ask(address, "/")
    assert [record.getMessage() for record in caplog.records] == ["failed to answer GET /"]
    assert (await wire.ask(address, "/")).status == 200


async def test_a_machine_without_ipv6_is_served_on_ipv4(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All interfaces are those there are."""
    loop = asyncio.get_running_loop()
    real = loop.create_server

    async def create(factory: Any, host: str | None, port: int, **options: Any) -> asyncio.Server:
        if host is None:
            raise OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")
        return await real(factory, host, port, **options)

    monkeypatch.setattr(loop, "create_server", create)
    server = fileserver.FileServer(local)
    host, port = await server.start("", 0)
    assert host == "0.0.0.0"  # noqa: S104
    assert (await wire.ask(("127.0.0.1", port), "/")).status == 200
    await server.stop()
