"""Putting entries into the order of a walk without sorting them all at once.

Entries are gathered in runs, each sorted when it is full: a run is short, because sorting holds
the interpreter's lock. In the end runs are chained, if they came in order, or merged. Beyond a
bound they go to an unlinked temporary file, so that memory does not grow with the layer.

Of several files with one name the last counts. A name that is both a file and a directory is
refused: nobody could unpack it.
"""

import heapq
import itertools
import marshal
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

from ocisource import errors
from ocisource.archive import limits as bounds
from ocisource.archive import spool, untar

_RUN = 4096  # entries; about two milliseconds of sorting
_WATCH = 4096  # repeated entries between two looks at the cancel token
_HELD_RUNS = 16  # in memory; then they are merged into one in the file
_HELD_BYTES = 8 << 20  # bytes of names in memory
_SLICE = 256  # entries read back at a time
_SLICE_BYTES = 64 << 10  # bytes of names in them
_LENGTH = struct.Struct("<I")


class Entries:
    """Gathers entries in any order; ordered() gives them in the order of a walk, each once."""

    __slots__ = ("_bytes", "_directory", "_end", "_file", "_held", "_open", "_starts", "repeated")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: list[untar.Entry] = []
        self._held: list[list[untar.Entry]] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._starts: list[tuple[int, int]] = []  # of runs in the file, with their ends
        self._end = 0
        self.repeated = 0  # files that a later one of the same name replaced

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, entries: list[untar.Entry]) -> None:
        """Take in entries; keys grow with the stream if the layer is in order."""
        self._open += entries
        self._bytes += sum([len(entry[0]) for entry in entries])
        if len(self._open) >= _RUN:
            self._close_run()
        if len(self._held) >= _HELD_RUNS or self._bytes >= _HELD_BYTES:
            self._close_run()
            self._store(iter(_merged(self._held)))
            self._held = []
            self._bytes = 0

    def ordered(
        self, *, is_ordered: bool, is_cancelled: Callable[[], bool]
    ) -> Iterator[untar.Entry]:
        """All entries in order; ``is_ordered`` says that they came so, each once.

        The token is asked while entries are passed over: of a million with one name one is given.

        Raises UnsafeEntryError for a name that is a file and a directory, AbandonedError.
        """
        self._close_run()
        stored = [self._stored(start, end) for start, end in self._starts]
        if is_ordered:
            return itertools.chain(*stored, *self._held)
        held = _merged(self._held)
        merged = heapq.merge(*stored, held) if stored else iter(held)
        return self._last_of_each(merged, is_cancelled)

    def _close_run(self) -> None:
        if self._open:
            self._open.sort()
            self._held.append(self._open)
            self._open = []

    def _last_of_each(
        self, entries: Iterator[untar.Entry], is_cancelled: Callable[[], bool]
    ) -> Iterator[untar.Entry]:
        # Entries of one name come in the order of their offsets, which is the stream's.
        held: untar.Entry | None = None
        for entry in entries:
            if held is not None:
                if entry[0] != held[0]:
                    yield held
                elif (entry[2] == untar.DIRECTORY) is not (held[2] == untar.DIRECTORY):
                    raise conflict(entry[0])
                elif entry[2] != untar.DIRECTORY:
                    self.repeated += 1
                    if not self.repeated % _WATCH and is_cancelled():
                        raise errors.AbandonedError("packing the layer was called off")
            held = entry
        if held is not None:
            yield held

    def _store(self, entries: Iterator[untar.Entry]) -> None:
        """Write a run to the file: slices, each after its length."""
        if self._file is None:
            self._file = spool.temporary_file(self._directory)
        start = self._end
        while piece := _slice(entries):
            body = marshal.dumps(piece)
            spool.write(self._file, _LENGTH.pack(len(body)) + body)
            self._end += _LENGTH.size + len(body)
        self._starts.append((start, self._end))

    def _stored(self, start: int, end: int) -> Iterator[untar.Entry]:
        assert self._file is not None
        descriptor = self._file.fileno()
        while start < end:
            (length,) = _LENGTH.unpack(os.pread(descriptor, _LENGTH.size, start))
            body = os.pread(descriptor, length, start + _LENGTH.size)
            start += _LENGTH.size + length
            # The file is this process's own and has no name: nobody else can write it.
            yield from cast("list[untar.Entry]", marshal.loads(body))  # noqa: S302


def _merged(runs: list[list[untar.Entry]]) -> list[untar.Entry]:
    """One sorted run of several, two by two.

    Sorting finds the two runs in each pair and merges them in one pass, at a tenth of the price
    of heapq.merge; it is done in steps because each step holds the interpreter's lock.
    """
    while len(runs) > 1:
        pairs = [runs[start] + runs[start + 1] for start in range(0, len(runs) - 1, 2)]
        for pair in pairs:
            pair.sort()
        runs = pairs + runs[2 * len(pairs) :]
    return runs[0] if runs else []


def _slice(entries: Iterator[untar.Entry]) -> list[untar.Entry]:
    piece: list[untar.Entry] = []
    names = 0
    for entry in itertools.islice(entries, _SLICE):
        piece.append(entry)
        names += len(entry[0])
        if names >= _SLICE_BYTES:
            break
    return piece


def conflict(key: bytes) -> errors.UnsafeEntryError:
    """The error for a name that is a file and a directory, be it as somebody's parent."""
    name = bounds.quote(key.replace(b"\0", b"/"))
    return errors.UnsafeEntryError(f"tar contains {name} both as a file and as a directory")
