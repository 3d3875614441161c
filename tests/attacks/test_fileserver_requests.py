"""Requests that are broken, ambiguous or excessive."""

import asyncio
import logging
import pathlib
from collections.abc import AsyncIterator

import pytest

from ocisource.storage import fileserver
from tests.storage import shelf, wire

_CONTENT = bytes(range(256)) * 4096  # 1 MB


@pytest.fixture
async def address(tmp_path: pathlib.Path) -> AsyncIterator[tuple[str, int]]:
    """A server with one large artifact."""
    local = shelf.create(tmp_path / "store")
    shelf.put(local, _CONTENT)
    server = fileserver.FileServer(local)
    yield await server.start("127.0.0.1", 0)
    await server.stop()
    local.close()


async def _answers(address: tuple[str, int], request: bytes) -> list[int]:
    """Statuses of all answers to raw bytes, until the server closes the connection."""
    async with wire.connected(address) as client:
        client.writer.write(request)
        statuses = []
        try:
            while True:
                statuses.append((await client.read()).status)
        except (asyncio.IncompleteReadError, ConnectionError):
            return statuses


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad\x00name: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"many: x\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_broken_request_is_refused_and_the_connection_closed(
    address: tuple[str, int], request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """At most one 400, without a word of the request; nobody can fill the log with them."""
    with caplog.at_level(logging.INFO):
        statuses = await _answers(address, request_bytes)
    assert statuses == [400]
    assert caplog.records == []


async def test_a_smuggled_request_is_not_obeyed(address: tuple[str, int]) -> None:
    """Content-Length against Transfer-Encoding: refused, and what follows is not a request."""
    inner = f"GET /{shelf.PATH} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    request = (
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"
        b"0\r\n\r\n" + inner
    )
    assert await _answers(address, request) == [400]


async def test_an_endless_body_is_not_read_to_its_end(address: tuple[str, int]) -> None:
    """A request with a body of gigabytes is answered and its connection closed."""
    async with wire.connected(address) as client:
        client.send("/", method="PUT", content_length=str(1 << 40))
        assert (await client.read()).status == 405
        for _ in range(10_000):
            try:
                client.writer.write(bytes(65536))
                await client.writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(0.001)
        else:
            pytest.fail("the body was read on and on")


@pytest.mark.parametrize(
    "value",
    [
        "bytes=" + ",".join(f"{n}-" for n in range(1300)),
        "bytes=" + ",".join(["0-"] * 1300),
        "bytes=" + ",".join(["0-1048575"] * 16),
        "bytes=" + ",".join("0-0" for _ in range(1300)),
    ],
)
async def test_many_overlapping_ranges_do_not_multiply_the_work(
    address: tuple[str, int], value: str
) -> None:
    """The file is sent once, whole, instead of a thousand times."""
    answer = await wire.ask(address, f"/{shelf.PATH}", range=value)
    assert (answer.status, len(answer.body)) == (200, len(_CONTENT))


@pytest.mark.parametrize(
    "value", ["bytes=0-" + "9" * 4000, "bytes=" + "9" * 7000 + "-", "=" * 7000]
)
async def test_huge_numbers_in_a_range_are_harmless(address: tuple[str, int], value: str) -> None:
    """Digits beyond any file size are no reason to fail."""
    assert (await wire.ask(address, f"/{shelf.PATH}", range=value)).status in {200, 416}


async def test_an_upgrade_is_not_granted(address: tuple[str, int]) -> None:
    """Asking for another protocol changes nothing."""
    answer = await wire.ask(
        address, f"/{shelf.PATH}", connection="upgrade", upgrade="websocket",
        sec_websocket_key="AAAA", sec_websocket_version="13",
    )  # fmt: skip
    assert (answer.status, answer.body) == (200, _CONTENT)


async def test_header_lines_cannot_be_injected(address: tuple[str, int]) -> None:
    """Nothing of a request is echoed into an answer."""
    for target in (f"/{shelf.PATH}?x=%0d%0aset-cookie:%20a=b", "/%0d%0aset-cookie:%20a=b"):
        answer = await wire.ask(address, target)
        assert "set-cookie" not in answer.headers
        assert b"set-cookie" not in answer.body


async def test_a_refusal_does_not_tell_which_software_answers(address: tuple[str, int]) -> None:
    """No versions of interpreter or libraries, for whoever looks for known holes."""
    async with wire.connected(address) as client:
        client.writer.write(b"nonsense\r\n\r\n")
        answer = await client.read()
    assert (answer.status, answer.headers["server"]) == (400, "ocisource")
