"""The main road: a layer's blob in, a reproducible ``.tar.gz`` out, nothing unpacked to disk.

In order: decompress, read the headers, collect ``.sourceignore`` files, put the entries into the
order of a walk, leave out what the rules say, write a normalised tar stream, compress it.

Three ways, one output:

* the tar fits in memory: it is held there;
* it does not, but comes in the order of a walk and without ``.sourceignore`` files: it streams
  through. Should that turn out wrong later, ``rewind`` is called and the third way is taken;
* else it is held in an unlinked file in ``spool_dir``.

Everything here blocks; it is for a worker thread.
"""

import dataclasses
import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ocisource import errors
from ocisource.archive import (
    arrange,
    compression,
    compressors,
    normalise,
    packer,
    sourceignore,
    spool,
    stream,
    untar,
)
from ocisource.archive.compression import Compression
from ocisource.archive.limits import Limits

__all__ = ["MEMORY_BOUND", "Compression", "Limits", "Packed", "repack"]

MEMORY_BOUND = 32 << 20  # bytes of tar held in memory
_AHEAD = 2 << 20  # bytes of tar looked at before streaming begins
_MAX_IGNORE_FILE = 1 << 20  # bytes of one .sourceignore, and of all of them together


@dataclasses.dataclass(frozen=True, slots=True)
class Packed:
    """What was packed: the tar stream's size in bytes, its entries, what it lacks.

    ``skipped`` counts by kind: ``symlink``, ``hard link``, ``global header`` (they leave no
    entry), ``ignored`` (by the rules), ``repeated`` (replaced by a later entry of that name).
    """

    tar_size: int
    entries: int
    skipped: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    blob: BinaryIO
    compression: Compression | None
    ignore: str | None
    limits: Limits
    write: Callable[[bytes], object]
    rewind: Callable[[], object] | None
    is_cancelled: Callable[[], bool]
    spool_dir: Path
    memory_bound: int

    def windows(self) -> Iterator[bytes]:
        for window in compression.windows(
            self.blob, compression=self.compression, limits=self.limits
        ):
            if self.is_cancelled():
                raise errors.AbandonedError("reading the layer was called off")
            yield window

    def packer(self) -> packer.Packer:
        return packer.Packer(
            self.write,
            compressor=compressors.fast(),
            limits=self.limits,
            is_cancelled=self.is_cancelled,
        )


def repack(
    blob: BinaryIO,
    *,
    ignore: str | None,
    limits: Limits,
    write: Callable[[bytes], object],
    is_cancelled: Callable[[], bool],
    spool_dir: Path,
    compression: Compression | None = None,
    memory_bound: int = MEMORY_BOUND,
    rewind: Callable[[], object] | None = None,
) -> Packed:
    """Pack what a layer holds anew; ``write`` receives the gzip stream, piece by piece.

    ``blob`` is seekable and already verified. ``compression`` None means: look at its first bytes.
    ``ignore`` is ``spec.ignore``. ``rewind``, if given, makes the receiver forget all it was
    written so far; with it a large layer can stream through.

    Raises CorruptArchiveError, UnsafeEntryError, LimitExceededError, IgnoreRulesError,
    StorageError (no room to spool) and AbandonedError (``is_cancelled`` said so).
    """
    job = _Job(
        blob=blob,
        compression=compression,
        ignore=ignore,
        limits=limits,
        write=write,
        rewind=rewind,
        is_cancelled=is_cancelled,
        spool_dir=spool_dir,
        memory_bound=memory_bound,
    )
    if rewind is not None:
        try:
            return _held(job, may_stream=True)
        except stream.NotStreamableError:
            rewind()
    return _held(job, may_stream=False)


def _held(job: _Job, *, may_stream: bool) -> Packed:
    """Hold the tar in memory, then in a file; or go over to streaming when memory is full."""
    index = untar.Index(job.limits)
    ahead = min(_AHEAD, job.memory_bound)
    held = spool.Spool(job.spool_dir, memory_bound=job.memory_bound)
    with held, arrange.Entries(job.spool_dir) as entries:
        windows = job.windows()
        for window in windows:
            if may_stream and index.length >= ahead and index.is_streamable:
                ordered = entries.ordered(is_ordered=True, is_cancelled=job.is_cancelled)
                rest = itertools.chain([window], windows)
                tape = stream.Tape(rest, index, is_order_needed=True, held=held.taken())
                arriving = itertools.chain(ordered, tape.entries())
                return _written(job, index, arriving, tape, files=())
            held.add(window)
            entries.add(index.feed(window))
        index.finish()
        ordered = entries.ordered(is_ordered=index.is_ordered, is_cancelled=job.is_cancelled)
        packed = _written(job, index, ordered, held, files=_ignore_files(index, held))
        if entries.repeated:
            skipped = {**packed.skipped, "repeated": entries.repeated}
            return dataclasses.replace(packed, skipped=types.MappingProxyType(skipped))
        return packed


def _written(
    job: _Job,
    index: untar.Index,
    entries: Iterator[untar.Entry],
    source: normalise.Data,
    *,
    files: tuple[tuple[bytes, bytes], ...],
) -> Packed:
    out = job.packer()
    rules = sourceignore.effective(job.ignore, files)
    tree = normalise.Tree(out, rules=rules, limits=job.limits)
    tree.write(entries, source)
    out.finish()
    skipped = dict(index.skipped)
    if tree.ignored:
        skipped["ignored"] = tree.ignored
    return Packed(out.tar_size, tree.entries, types.MappingProxyType(skipped))


def _ignore_files(index: untar.Index, held: spool.Spool) -> tuple[tuple[bytes, bytes], ...]:
    """Directory and content of each ``.sourceignore``, the last of one name."""
    files: dict[bytes, bytes] = {}
    total = 0
    for key, offset, _, size in index.ignore_files:
        total += size
        if total > _MAX_IGNORE_FILE:
            raise errors.IgnoreRulesError(
                f".sourceignore files hold more than {_MAX_IGNORE_FILE} bytes; shorten them"
            )
        files[key.rpartition(b"\0")[0]] = b"".join(held.pieces(offset, size))
    return tuple(files.items())
