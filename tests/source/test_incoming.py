"""A layer on its way in: small ones in memory, large ones in a file that threads write."""

import asyncio
import concurrent.futures
import io
import os
import pathlib
import tempfile
import threading
import typing
from collections.abc import AsyncGenerator, Iterator

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import limits
from ocisource.oci.grammar import manifest as manifests
from ocisource.source import incoming, pull
from tests.simulators import faketime

CHUNK = bytes(range(256)) * 1024  # 256 KiB
LARGE = CHUNK * 24 + b"and a rest"  # beyond memory, and no whole number of batches


@pytest.fixture
def thread() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """The only thread for blocking calls."""
    with concurrent.futures.ThreadPoolExecutor(1) as made:
        yield made


class Stalled(io.FileIO):
    """A file on a disk that does not answer before it is told to."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path, "w+")
        self.is_asked = threading.Event()
        self.answer = threading.Event()

    def write(self, data: typing.Any, /) -> int:
        """Wait, then write a part, as disks may."""
        self.is_asked.set()
        self.answer.wait()
        return super().write(memoryview(data)[: len(data) // 2 + 1])


@pytest.fixture
def stalled(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stalled]:
    """The temporary file of the test."""
    file = Stalled(tmp_path / "stalled")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: file)
    yield file
    file.answer.set()
    file.close()


async def _taken(layer: incoming.Incoming, content: bytes) -> typing.BinaryIO:
    with layer:
        for start in range(0, len(content), len(CHUNK)):
            await layer.write(content[start : start + len(CHUNK)])
        return await layer.finish()


async def _asked(file: Stalled) -> None:
    """Wait until a thread is in the middle of writing; meanwhile the loop goes on."""
    await faketime.until(file.is_asked.is_set)


async def test_a_small_layer_touches_no_disk(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path
) -> None:
    """The folder need not even be there."""
    content = LARGE[: incoming.MEMORY_BYTES]
    layer = incoming.Incoming(tmp_path / "none", thread.submit)
    with await _taken(layer, content) as file:
        assert file.read() == content


async def test_a_large_layer_comes_back_whole_and_leaves_nothing(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path
) -> None:
    """From its start, whatever the chunks were."""
    with await _taken(incoming.Incoming(tmp_path, thread.submit), LARGE) as file:
        assert file.read() == LARGE
        assert file.seek(1000) == 1000
        assert file.read(10) == LARGE[1000:1010]
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_no_more_than_a_batch_of_a_large_layer_is_held(tmp_path: pathlib.Path) -> None:
    """And no more than one is on its way: what is held does not grow with the layer."""
    held = []

    def submit(call: typing.Callable[[], incoming.T]) -> "concurrent.futures.Future[incoming.T]":
        held.append(len(layer._held))
        future: concurrent.futures.Future[incoming.T] = concurrent.futures.Future()
        future.set_result(call())
        return future

    layer = incoming.Incoming(tmp_path, submit)
    (await _taken(layer, LARGE)).close()
    assert set(held) == {0}  # given away whole, before the next chunk is taken
    assert len(held) == 3


async def test_a_layer_that_drips_in_costs_no_more_memory_than_its_bytes(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path
) -> None:
    """However small its chunks are, few of them are held."""
    layer = incoming.Incoming(tmp_path, thread.submit)
    with layer:
        for _ in range(2 * incoming.BATCH_CHUNKS):
            await layer.write(b"x")
            assert len(layer._held) < incoming.BATCH_CHUNKS
        with await layer.finish() as file:
            assert file.read() == b"x" * 2 * incoming.BATCH_CHUNKS


async def test_a_disk_that_does_not_answer_stalls_its_layer_alone(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path, stalled: Stalled
) -> None:
    """The loop goes on, and the layer does when the disk answers."""
    work = asyncio.create_task(_taken(incoming.Incoming(tmp_path, thread.submit), LARGE))
    await _asked(stalled)
    await faketime.settle()
    assert not work.done()
    stalled.answer.set()
    with await work as file:
        assert file.read() == LARGE


async def test_a_layer_that_is_called_off_waits_for_no_disk(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path, stalled: Stalled
) -> None:
    """The thread closes the file when it has let go of it."""
    work = asyncio.create_task(_taken(incoming.Incoming(tmp_path, thread.submit), LARGE))
    await _asked(stalled)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not stalled.closed
    stalled.answer.set()
    await asyncio.wrap_future(thread.submit(lambda: None))
    assert stalled.closed


async def test_what_waits_for_a_thread_when_it_is_called_off_is_not_written(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path, stalled: Stalled
) -> None:
    """Another layer's disk does not answer, and there is no other thread."""
    first = asyncio.create_task(_taken(incoming.Incoming(tmp_path, thread.submit), LARGE))
    await _asked(stalled)
    waiting = incoming.Incoming(tmp_path, thread.submit)
    second = asyncio.create_task(_taken(waiting, LARGE))
    await faketime.settle()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    stalled.answer.set()
    (await first).close()
    assert waiting._file is None


class Source:
    """A repository with one blob, that notes when nobody reads it any more."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.is_left = False
        self.layer = manifests.Descriptor(
            "application/octet-stream", len(content), digests.Digest.of(content)
        )

    async def manifest(
        self, digest: digests.Digest
    ) -> tuple[manifests.Descriptor, bytes]:  # pragma: no cover
        """Not asked for here."""
        raise NotImplementedError(digest)

    async def blob(self, _: manifests.Descriptor) -> AsyncGenerator[bytes, None]:
        """The content, in chunks."""
        try:
            for start in range(0, len(self.content), len(CHUNK)):
                yield self.content[start : start + len(CHUNK)]
        finally:
            self.is_left = True


async def test_a_full_disk_is_told_and_ends_the_download(
    thread: concurrent.futures.ThreadPoolExecutor,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the folder and what to do; the connection is not left to the collector."""
    full = io.FileIO("/dev/full", "r+")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    source = Source(LARGE)
    with pytest.raises(errors.StorageError) as caught:
        await pull.blob(
            source,
            source.layer,
            spool_dir=tmp_path,
            submit=thread.submit,
            limits=limits.Limits(),
        )
    assert str(caught.value) == (
        f"failed to spool the layer in {tmp_path}: No space left on device; make room there, or "
        "name another folder in TMPDIR"
    )
    assert source.is_left
    assert full.closed


async def test_a_folder_that_is_not_there_is_told(
    thread: concurrent.futures.ThreadPoolExecutor, tmp_path: pathlib.Path
) -> None:
    """As a failure of storage, too."""
    layer = incoming.Incoming(tmp_path / "none", thread.submit)
    with pytest.raises(errors.StorageError, match="No such file or directory; make room there"):
        await _taken(layer, LARGE)
