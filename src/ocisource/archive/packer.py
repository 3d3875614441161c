"""The last stage: a tar stream, compressed with gzip and written.

A compressor's output depends on where its input is cut. So the stream is cut here, anew, into
blocks of one fixed size: the same tar gives the same file whatever it came from and however it
arrived.

The gzip header is ``1f 8b 08 00 00000000 00 ff``: no name, no time, operating system unknown.
"""

from collections.abc import Callable
from typing import Final

from ocisource import digest, errors
from ocisource.archive import compressors
from ocisource.archive import limits as bounds

BLOCK: Final = 256 << 10  # bytes; part of the format: another value makes other files


class Packer:
    """Takes a tar stream in pieces of any length; ``write`` gets the gzip stream.

    Pieces pile up in ``parts`` until they make a block. Who has many small ones appends them there
    itself and calls cut() when they hold BLOCK bytes or more.

    ``tar`` hashes the tar stream for callers who compare trees. Packing a layer does without: over
    a thousand files that is a seventh of the work, and equal revision and configuration already
    prove an equal tar.

    The cancel token is asked once a block; a block takes one to four milliseconds, nearly all of it
    without the interpreter's lock. Who works long without writing anything asks it with heed().
    """

    __slots__ = (
        "_allowed",
        "_compressor",
        "_is_cancelled",
        "_limits",
        "_tar",
        "_tar_size",
        "_write",
        "parts",
    )

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        compressor: compressors.Compressor,
        limits: bounds.Limits,
        is_cancelled: Callable[[], bool],
        tar: digest.Hasher | None = None,
    ) -> None:
        self._write = write
        self._limits = limits
        self._is_cancelled = is_cancelled
        self._allowed = bounds.bound(limits.unpacked_bytes)
        self._compressor = compressor
        self._tar = tar
        self._tar_size = 0
        self.parts: list[bytes | memoryview] = []

    @property
    def tar_size(self) -> int:
        """Bytes of the tar stream, after finish()."""
        return self._tar_size

    def put(self, data: bytes | memoryview, pending: int) -> int:
        """Append to ``parts``, which hold ``pending`` bytes; the bytes they hold then."""
        self.parts.append(data)
        pending += len(data)
        return pending if pending < BLOCK else self.cut(pending)

    def cut(self, pending: int) -> int:
        """Pack the whole blocks of ``parts``, which hold ``pending`` bytes; the bytes left.

        Raises AbandonedError when called off, LimitExceededError for a stream over the bound.
        """
        parts = self.parts
        while pending >= BLOCK:
            excess: list[bytes | memoryview] = []
            while pending > BLOCK:
                last = parts.pop()
                pending -= len(last)
                if pending < BLOCK:
                    kept = BLOCK - pending
                    view = memoryview(last)
                    parts.append(view[:kept])
                    excess.append(view[kept:])
                    pending = BLOCK
                else:
                    excess.append(last)
            self._pack(b"".join(parts))
            parts[:] = excess[::-1]
            pending = sum(map(len, parts))
        return pending

    def heed(self) -> None:
        """Raise AbandonedError when called off."""
        if self._is_cancelled():
            raise errors.AbandonedError("packing the layer was called off")

    def finish(self) -> None:
        """Pack what is left in ``parts``, end the gzip stream."""
        self.cut(sum(map(len, self.parts)))
        if self.parts:
            self._pack(b"".join(self.parts))
            self.parts.clear()
        self._put(self._compressor.flush())

    def _pack(self, block: bytes) -> None:
        self.heed()
        self._tar_size += len(block)
        if self._tar is not None:
            self._tar.update(block)
        if self._tar_size > self._allowed:
            raise bounds.oversized(self._limits)
        self._put(self._compressor.compress(block))

    def _put(self, data: bytes) -> None:
        if data:
            self._write(data)
