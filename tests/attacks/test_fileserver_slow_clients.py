"""Clients that take their time, to keep others out."""

import asyncio
import contextlib
import pathlib
import socket
from collections.abc import AsyncIterator

import pytest

from ocisource.storage import fileserver, store
from tests.storage import shelf, wire

_SHORT = 0.1  # s; a limit to run into, never to measure
_LARGE = bytes(32 << 20)


@pytest.fixture
async def local(tmp_path: pathlib.Path) -> AsyncIterator[store.LocalStore]:
    """A store with an artifact larger than socket buffers."""
    local = shelf.create(tmp_path / "store")
    shelf.put(local, _LARGE)
    shelf.put(local, b"small", shelf.OTHER)
    yield local
    local.close()


@contextlib.asynccontextmanager
async def _greedy(address: tuple[str, int]) -> AsyncIterator[wire.Client]:
    """A connection whose reader holds next to nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    yield wire.Client(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_header_that_never_ends_is_cut_off(local: store.LocalStore) -> None:
    """One byte after the other does not keep a connection (slowloris)."""
    server = fileserver.FileServer(local, idle_timeout=_SHORT)
    address = await server.start("127.0.0.1", 0)
    async with wire.connected(address) as client:
        client.writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(10_000):
                if client.reader.at_eof():
                    break
                client.writer.write(f"x-{number}: y\r\n".encode()[:1] if number % 2 else b"\t")
                await client.writer.drain()
                await asyncio.sleep(0.005)
            else:
                pytest.fail("the connection was kept for ever")
    assert (await wire.ask(address, "/")).status == 200
    await server.stop()


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-9,100-30000000"}])
async def test_a_client_that_does_not_read_is_cut_off(
    local: store.LocalStore, headers: dict[str, str]
) -> None:
    """A download that does not move ends; its descriptor and its connection are free again."""
    server = fileserver.FileServer(local, stall_timeout=_SHORT)
    address = await server.start("127.0.0.1", 0)
    before = shelf.open_files()
    async with _greedy(address) as client:
        client.send(f"/{shelf.PATH}", **headers)
        await client.reader.read(1)
        for _ in range(1000):
            if shelf.open_files() == before:
                break
            await asyncio.sleep(0.01)
        assert shelf.open_files() == before
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readexactly(len(_LARGE))
    assert (await wire.ask(address, f"/{shelf.OTHER}")).body == b"small"
    await server.stop()


async def test_requests_without_end_and_without_reading_are_cut_off(
    local: store.LocalStore,
) -> None:
    """Small answers pile up nowhere: a client that only asks is stopped."""
    server = fileserver.FileServer(local, stall_timeout=_SHORT)
    address = await server.start("127.0.0.1", 0)
    async with _greedy(address) as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000):
                for _ in range(50):
                    client.send(f"/{shelf.OTHER}")
                await asyncio.wait_for(client.writer.drain(), 60)
                if client.writer.is_closing():
                    break
            else:
                pytest.fail("a million requests were taken")
    await server.stop()


async def test_a_slow_but_steady_client_is_not_cut_off(
    local: store.LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is about standing still, not about the whole download."""
    monkeypatch.setattr("ocisource.storage.transmission._FIRST_SLICE", 1 << 16)
    monkeypatch.setattr("ocisource.storage.transmission._QUICK", -1.0)
    server = fileserver.FileServer(local, stall_timeout=5.0)
    address = await server.start("127.0.0.1", 0)
    async with _greedy(address) as client:
        client.send(f"/{shelf.PATH}")
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(len(_LARGE)) == _LARGE
    await server.stop()


async def test_a_flood_of_connections_leaves_the_server_answering(
    local: store.LocalStore,
) -> None:
    """Silent connections in any number keep nobody else out."""
    server = fileserver.FileServer(local, max_connections=20)
    address = await server.start("127.0.0.1", 0)
    async with contextlib.AsyncExitStack() as silent:
        for _ in range(200):
            await silent.enter_async_context(wire.connected(address))
        assert (await wire.ask(address, f"/{shelf.OTHER}")).body == b"small"
    await server.stop()
