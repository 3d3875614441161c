"""Incoming: a layer on its way in, in memory while it is small, beyond that in a temporary file.

The file is written by threads, a batch at a time: a disk that does not answer holds up one fetch
and never the event loop. It has no name, so that nothing is left behind by a crash.

Example::

    layer = incoming.Incoming(folder, workers.submit)
    with layer:
        async for chunk in chunks:
            await layer.write(chunk)
        file = await layer.finish()   # the caller's to close
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import io
import pathlib
import tempfile
import typing
from collections.abc import Callable, Sequence

from ocisource import errors

MEMORY_BYTES = 4 << 20  # a layer up to this size stays in memory
BATCH_BYTES = 1 << 20  # of a larger one are handed to a thread at once
BATCH_CHUNKS = 1024  # at most, however small: each costs memory beside its bytes

T = typing.TypeVar("T")


class Submit(typing.Protocol):
    """Has a blocking call made by a thread."""

    def __call__(self, call: Callable[[], T], /) -> "concurrent.futures.Future[T]":
        """The result to come."""
        ...


class Incoming:
    """Takes chunks; a context manager that gives up what is not finished."""

    __slots__ = ("_file", "_folder", "_held", "_size", "_submit", "_writing")

    def __init__(self, folder: pathlib.Path, submit: Submit) -> None:
        self._folder = folder
        self._submit = submit
        self._held: list[bytes] = []
        self._size = 0  # bytes held
        self._file: io.FileIO | None = None
        self._writing: concurrent.futures.Future[None] | None = None

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writing is not None:
            # When the thread has let go of the file, however long its disk takes.
            self._writing.add_done_callback(lambda _: self._close())

    async def write(self, chunk: bytes) -> None:
        """Add a chunk; raises StorageError."""
        self._held.append(chunk)
        self._size += len(chunk)
        bound = MEMORY_BYTES if self._file is None else BATCH_BYTES
        if self._size > bound or len(self._held) >= BATCH_CHUNKS:
            await self._flush()

    async def finish(self) -> typing.BinaryIO:
        """All that was written, from its start, for the caller to close; raises StorageError."""
        if self._file is None:
            return io.BytesIO(b"".join(self._held))
        await self._flush()
        whole, self._file = self._file, None
        whole.seek(0)
        return io.BufferedReader(whole)

    async def _flush(self) -> None:
        """Have a thread write what is held, and wait for it; cancelled, leave it to the thread."""
        held, self._held, self._size = self._held, [], 0
        self._writing = self._submit(functools.partial(self._put, held))
        try:
            await asyncio.wrap_future(self._writing)
        except OSError as error:
            raise errors.StorageError(
                f"failed to spool the layer in {self._folder}: {error.strerror}; make room there, "
                "or name another folder in TMPDIR"
            ) from error

    def _put(self, chunks: Sequence[bytes]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        for chunk in chunks:
            left = memoryview(chunk)
            while left:
                left = left[self._file.write(left) :]

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # it is given up in any case
                self._file.close()
