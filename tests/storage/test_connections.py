"""How many connections there may be, and how the server stops."""

import asyncio
import socket

import pytest

from ocisource.storage import fileserver, store
from tests.storage import conftest, shelf, wire

_SHORT = 0.05  # s; a limit to run into, never to measure
_LARGE = bytes(64 << 20)  # more than socket buffers hold


async def _begun(address: tuple[str, int]) -> wire.Client:
    """A client in the middle of a download that it does not go on reading."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    client = wire.Client(reader, writer)
    client.send(f"/{shelf.PATH}")
    await reader.readuntil(b"\r\n\r\n")
    return client


async def _rest(client: wire.Client) -> int:
    """How many bytes still come until the connection ends."""
    count = 0
    try:
        while block := await client.reader.read(1 << 20):
            count += len(block)
    except ConnectionError:
        pass
    client.writer.close()
    return count


async def test_at_the_limit_the_longest_idle_connection_makes_room(
    serve: conftest.Serve, local: store.LocalStore
) -> None:
    """A new client is served; the one that has been idle longest is closed."""
    shelf.put(local, b"hello")
    address = await serve(max_connections=2)
    async with wire.connected(address) as first, wire.connected(address) as second:
        assert (await second.ask("/")).status == 200
        assert (await first.ask("/")).status == 200
        async with wire.connected(address) as third:
            assert (await third.ask(f"/{shelf.PATH}")).body == b"hello"
            assert await second.is_closed()
            assert (await first.ask(f"/{shelf.PATH}")).body == b"hello"


async def test_when_all_connections_are_busy_a_new_one_is_refused(
    serve: conftest.Serve, local: store.LocalStore
) -> None:
    """503 and a hint when to come back, without disturbing downloads; later there is room again."""
    shelf.put(local, _LARGE)
    address = await serve(max_connections=2)
    busy = [await _begun(address) for _ in range(2)]
    async with wire.connected(address) as refused:
        answer = await refused.read()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert await refused.is_closed()
    assert await asyncio.gather(*(_read_exactly(client, len(_LARGE)) for client in busy))
    assert (await wire.ask(address, "/")).status == 200
    for client in busy:
        client.writer.close()


async def _read_exactly(client: wire.Client, count: int) -> bool:
    return await client.reader.readexactly(count) == _LARGE


async def test_a_connection_without_a_request_is_closed(serve: conftest.Serve) -> None:
    """Idle from the start, or after an answer: the limit ends both."""
    address = await serve(idle_timeout=_SHORT)
    async with wire.connected(address) as client:
        assert await client.is_closed()
    async with wire.connected(address) as client:
        assert (await client.ask("/")).status == 200
        assert await client.is_closed()


async def test_a_stop_lets_downloads_finish(local: store.LocalStore) -> None:
    """A download under way gets all its bytes; nobody else gets in meanwhile."""
    shelf.put(local, _LARGE)
    server = fileserver.FileServer(local)
    address = await server.start("127.0.0.1", 0)
    client = await _begun(address)
    stopping = asyncio.create_task(server.stop(grace=60))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        await wire.ask(address, "/")
    assert await _rest(client) == len(_LARGE)
    await stopping


async def test_a_stop_closes_idle_connections_at_once(local: store.LocalStore) -> None:
    """Kept connections do not delay the end."""
    server = fileserver.FileServer(local)
    address = await server.start("127.0.0.1", 0)
    async with wire.connected(address) as kept, wire.connected(address) as silent:
        assert (await kept.ask("/")).status == 200
        await server.stop(grace=3600)
        assert await kept.is_closed()
        assert await silent.is_closed()


async def test_a_stop_cuts_off_what_takes_longer_than_its_grace(local: store.LocalStore) -> None:
    """A client that does not read cannot hold the process."""
    shelf.put(local, _LARGE)
    server = fileserver.FileServer(local)
    client = await _begun(await server.start("127.0.0.1", 0))
    await server.stop(grace=_SHORT)
    assert await _rest(client) < len(_LARGE)


async def test_a_stop_ends_a_connection_that_asks_on_and_on(local: store.LocalStore) -> None:
    """Requests sent ahead do not prolong the end beyond the answer under way."""
    shelf.put(local, _LARGE)
    server = fileserver.FileServer(local)
    client = await _begun(await server.start("127.0.0.1", 0))
    for _ in range(20):
        client.send(f"/{shelf.PATH}")
    stopping = asyncio.create_task(server.stop(grace=60))
    assert len(_LARGE) <= await _rest(client) < 3 * len(_LARGE)
    await stopping


async def test_stopping_twice_is_stopping_once(local: store.LocalStore) -> None:
    """Nothing happens to a server that is not running."""
    server = fileserver.FileServer(local)
    await server.stop()
    await server.start("127.0.0.1", 0)
    await server.stop()
    await server.stop()
