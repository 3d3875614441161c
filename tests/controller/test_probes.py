"""The endpoints by which others look at a process."""

import asyncio

from ocisource.controller import probes


async def test_connections_that_say_nothing_make_room_for_others() -> None:
    """Thousands of them would leave the process without a file to open."""
    endpoints = probes.health_endpoints(lambda: "")
    host, port = await endpoints.start("127.0.0.1", 0, flag="--health-addr")
    try:
        silent = [
            await asyncio.open_connection(host, port) for _ in range(2 * probes.MAX_CONNECTIONS)
        ]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nok")
        # The oldest are gone: their streams end.
        for old, _ in silent[: probes.MAX_CONNECTIONS]:
            assert await old.read() == b""
        assert not silent[-1][0].at_eof()
        for _, each in [*silent, (reader, writer)]:
            each.close()
    finally:
        await endpoints.stop()
