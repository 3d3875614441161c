"""The last stage: a tar stream, hashed, compressed with gzip and written.

ISA-L's output depends on where its input is cut. So the stream is cut here, anew, into blocks of
one fixed size: the same tar gives the same file whatever it came from and however it arrived.

The gzip header is ``1f 8b 08 00 00000000 00 ff``: no name, no time, operating system unknown.
"""

from collections.abc import Callable
from typing import Final

from isal import isal_zlib

from ocisource import digest, errors
from ocisource.archive import limits as bounds

BLOCK: Final = 256 << 10  # bytes; part of the format: another value makes other files
LEVEL: Final = 2  # likewise
_GZIP_WINDOW_BITS = 31
_MEMORY_LEVEL = 9  # of isal; likewise part of the format

Bytes = bytes | bytearray | memoryview


class Packer:
    """Takes a tar stream in pieces of any length; ``write`` gets the gzip stream.

    The cancel token is asked once a block; a block takes about a millisecond, nearly all of it
    without the interpreter's lock.
    """

    __slots__ = (
        "_allowed",
        "_block",
        "_compressor",
        "_filled",
        "_is_cancelled",
        "_limits",
        "_tar",
        "_write",
        "packed_bytes",
    )

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        limits: bounds.Limits,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._write = write
        self._limits = limits
        self._is_cancelled = is_cancelled
        self._allowed = bounds.bound(limits.unpacked_bytes)
        self._block = bytearray(BLOCK)
        self._filled = 0
        self._compressor = isal_zlib.compressobj(
            LEVEL, wbits=_GZIP_WINDOW_BITS, memLevel=_MEMORY_LEVEL
        )
        self._tar = digest.Hasher()
        self.packed_bytes = 0

    @property
    def tar_digest(self) -> digest.Digest:
        """Digest of the tar stream so far, whole blocks only before finish()."""
        return self._tar.digest

    @property
    def tar_size(self) -> int:
        """Bytes of the tar stream so far, whole blocks only before finish()."""
        return self._tar.size

    def feed(self, data: Bytes) -> None:
        """Take the next bytes of the tar stream.

        Raises AbandonedError when called off, LimitExceededError for a stream over the bound.
        """
        view = memoryview(data)
        while view:
            if not self._filled and len(view) >= BLOCK:
                self._pack(view[:BLOCK])
                view = view[BLOCK:]
                continue
            taken = min(BLOCK - self._filled, len(view))
            self._block[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]
            if self._filled == BLOCK:
                self._pack(self._block)
                self._filled = 0

    def finish(self) -> None:
        """Compress and write what is left."""
        if self._filled:
            self._pack(memoryview(self._block)[: self._filled])
            self._filled = 0
        self._put(self._compressor.flush())

    def _pack(self, block: Bytes) -> None:
        if self._is_cancelled():
            raise errors.AbandonedError("packing the layer was called off")
        self._tar.update(block)
        if self._tar.size > self._allowed:
            raise bounds.oversized(self._limits)
        self._put(self._compressor.compress(block))

    def _put(self, data: bytes) -> None:
        if data:
            self.packed_bytes += len(data)
            self._write(data)
