"""Whatever bytes a registry sends: a result, or one of our errors, with a clean text."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci import limits, registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import manifest, reference
from tests.simulators import faketime

SECRET = "hunter2-hunter2"
DIGEST = digests.Digest.of(b"fuzz")
_STATUSES = (200, 200, 200, 201, 206, 301, 307, 400, 401, 403, 404, 416, 429, 500, 503, 999)
_HEADERS = (
    "Content-Length: {n}",
    "Content-Type: text/html",
    "Content-Type: {r}",
    "Transfer-Encoding: chunked",
    "Docker-Content-Digest: {d}",
    "Docker-Content-Digest: {r}",
    'WWW-Authenticate: Bearer realm="http://{h}/token",service="{r}",scope="{r}"',
    "WWW-Authenticate: Basic realm={r}",
    "WWW-Authenticate: {r}",
    "Link: <{r}>; rel=next",
    "Link: </v2/org/app/tags/list?last={n}>; rel=next",
    "Location: {r}",
    "Location: http://{h}/v2/{n}",
    "Location: /v2/{n}",
    "Retry-After: {r}",
    "Retry-After: {n}",
    "ratelimit-remaining: 0;w={n}",
    "ratelimit-remaining: {r}",
    "Content-Range: bytes {n}-{n}/{n}",
    "Connection: close",
    "Set-Cookie: a=b",
    "{r}",
)
_BODIES = (
    b"",
    b"{}",
    b'{"token":"t"}',
    b'{"token":"t","expires_in":"x","issued_at":"y"}',
    b'{"tags":["1.0"]}',
    b'{"errors":[{"code":"DENIED","message":"no","detail":[1]}]}',
    b'{"errors":[{}]}',
    b"<html>",
    b"fuzz",
    b"[" * 5000,
)


class Babbler:
    """A server that answers at random."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.port = 0

    def _rubbish(self) -> str:
        alphabet = 'ab=,"\\ <>;:/?%&{}[]\x00\x7f\r\té0'
        return "".join(self._rng.choices(alphabet, k=self._rng.randrange(12)))

    def answer(self) -> bytes:
        """An answer that may well be none."""
        rng = self._rng
        body = rng.choice(_BODIES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(99))
        lines = [f"HTTP/1.1 {rng.choice(_STATUSES)} {self._rubbish()}".strip()]
        lines += [
            header.format(
                n=rng.choice((0, 1, len(body), 10**6, -1)),
                r=self._rubbish(),
                d=DIGEST,
                h=f"127.0.0.1:{self.port}",
            )
            for header in rng.choices(_HEADERS, k=rng.randrange(6))
        ]
        if rng.random() < 0.7:
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        if rng.random() < 0.1:
            data = data[: rng.randrange(len(data))]
        return data

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request head until the answer cannot be followed by another."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                if await reader.read(1) in {b"", b"\x16"}:
                    break  # the end, or somebody who wants to speak TLS
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer())
                await writer.drain()
                if self._rng.random() < 0.5:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def babbling(rng: random.Random) -> AsyncIterator[Babbler]:
    """A running babbler."""
    babbler = Babbler(rng)
    server = await asyncio.start_server(babbler.serve, "127.0.0.1", 0)
    babbler.port = server.sockets[0].getsockname()[1]
    try:
        yield babbler
    finally:
        server.close()
        await server.wait_closed()
        await faketime.settle()


async def everything(app: registry.RemoteRepository) -> list[errors.OcisourceError]:
    """Each operation once; the errors that came."""
    wanted = manifest.Descriptor(manifest.FLUX_CONTENT, 4, DIGEST)
    found = []

    async def blob() -> None:
        async with contextlib.aclosing(app.blob(wanted)) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"fuzz"

    for operation in (
        lambda: app.resolve("1.0"),
        lambda: app.head(DIGEST),
        app.tags,
        lambda: app.manifest(DIGEST),
        blob,
        lambda: app.has_blob(wanted),
        lambda: app.upload_blob(wanted, b"fuzz"),
        lambda: app.put_manifest(b"{}", media_type=manifest.OCI_MANIFEST, reference="1.0"),
    ):
        try:
            await operation()
        except errors.OcisourceError as error:
            found.append(error)
    return found


@pytest.mark.parametrize("with_credential", [True, False])
async def test_no_answer_brings_anything_but_our_errors(
    counts: Callable[[int, int], int], with_credential: bool
) -> None:
    """Random answers to every operation; no text holds the password or a control character."""
    rng = random.Random(with_credential)
    time = faketime.FakeTime()
    credential = credentials.Credential("alice", SECRET) if with_credential else None
    access = registry.Access(keychain=credentials.StaticKeychain(credential))
    texts = set()
    for _ in range(counts(2000, 60)):
        async with babbling(rng) as babbler:
            registries = registry.Registries(
                settings=limits.RegistrySettings(read_timeout=0.05, pages=20, resumes=3),
                clock=time.clock,
                sleep=time.skip,
            )
            host = f"127.0.0.1:{babbler.port}"
            app = registries.repository(reference.Repository(host, "org/app"), access)
            found = await everything(app)
            texts |= {str(each) for each in found}
            await registries.close()
        time.now += 1000
    assert len(texts) > 20
    for text in texts:
        assert SECRET not in text
        assert text.isprintable(), text
        assert len(text) < 1500
