"""A client that sends exactly the bytes it is told to."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping

_LIMIT = 1 << 24  # bytes; a header longer than that is a failure anyway


@dataclasses.dataclass(frozen=True)
class Answer:
    """A parsed answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(
        self, target: str | bytes, *, method: str = "GET", version: str = "1.1", **headers: str
    ) -> Answer:
        """Send one request and read its answer; ``if_range=…`` sends If-Range."""
        self.send(target, method=method, version=version, **headers)
        return await self.read(has_body=method != "HEAD")

    def send(
        self, target: str | bytes, *, method: str = "GET", version: str = "1.1", **headers: str
    ) -> None:
        """Send one request."""
        raw = target if isinstance(target, bytes) else target.encode()
        fields = {"host": "artifacts", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.writer.write(
            b"%b %b HTTP/%b\r\n%b\r\n" % (method.encode(), raw, version.encode(), lines.encode())
        )

    async def read(self, *, has_body: bool = True) -> Answer:
        """Read one answer; raises asyncio.IncompleteReadError when the connection ends early."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")[:-2]
        headers = {
            name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)
        }
        assert len(headers) == len(lines), f"a header field came twice: {head}"
        status = int(first.split()[1])
        has_body = has_body and status != 304
        length = int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length) if has_body else b""
        return Answer(status, headers, body)

    async def is_closed(self) -> bool:
        """Wait for the peer to end the connection; False if it sends something instead."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Client]:
    """A connection, closed at the end."""
    reader, writer = await asyncio.open_connection(*address, limit=_LIMIT)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(
    address: tuple[str, int], target: str | bytes, *, method: str = "GET", **headers: str
) -> Answer:
    """One request on a connection of its own."""
    async with connected(address) as client:
        return await client.ask(target, method=method, **headers)
