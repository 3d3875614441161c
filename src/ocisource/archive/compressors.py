"""The two compressors: one for what the service serves, one for what people build and push.

The gzip format leaves it to the compressor how the same bytes are shortened. So library, release
and settings are part of what an artifact is, and both libraries are pinned exactly
(docs/adr/0003).

======== ======= ======= ==========================================================
         library work    bytes
======== ======= ======= ==========================================================
fast     ISA-L   1       10 to 15 % over zlib 6; the same on all CPUs of one kind
portable zlib-ng about 6 those of zlib 6 within 3 %; the same on every CPU
======== ======= ======= ==========================================================

The kinds of CPU that differ with ISA-L are x86-64 with SSE4.2 (all since about 2011), x86-64
without, and arm64. What the service packs has a digest of its own, which status tells to consumers.
What is pushed gets its digest on a laptop or in CI, and the same tree must have the same one on
both.
"""

import struct
from typing import Final, Protocol

from isal import isal_zlib
from zlib_ng import zlib_ng

_GZIP: Final = 31  # window bits, as both libraries say it
_RAW: Final = -15  # likewise: no header and no trailer
_FAST_LEVEL: Final = 2  # part of the format, as all that follow; 3 differs even among x86-64 CPUs
_FAST_MEMORY_LEVEL: Final = 9
_PORTABLE_LEVEL: Final = 6
_PORTABLE_MEMORY_LEVEL: Final = 8
_HEADER: Final = bytes.fromhex("1f8b08000000000000ff")
_MODULUS: Final = 1 << 32  # of the size in the trailer


class Compressor(Protocol):
    """Makes one gzip stream of the blocks it is given; the bytes depend on where they are cut."""

    def compress(self, data: bytes, /) -> bytes:
        """Take a block; what is ready of the stream."""

    def flush(self) -> bytes:
        """The rest of the stream."""


def fast() -> Compressor:
    """For artifacts that are served: packed again and again, in great numbers."""
    made: Compressor = isal_zlib.compressobj(_FAST_LEVEL, wbits=_GZIP, memLevel=_FAST_MEMORY_LEVEL)
    return made


def portable() -> Compressor:
    """For artifacts that are built and pushed: packed once, stored and fetched many times."""
    return _Portable()


class _Portable:
    """zlib-ng between a header and a trailer of our own: its header tells the operating system."""

    __slots__ = ("_checksum", "_deflate", "_ready", "_size")

    def __init__(self) -> None:
        self._deflate = zlib_ng.compressobj(
            _PORTABLE_LEVEL, wbits=_RAW, memLevel=_PORTABLE_MEMORY_LEVEL
        )
        self._ready = _HEADER
        self._checksum = 0
        self._size = 0

    def compress(self, data: bytes, /) -> bytes:
        self._checksum = zlib_ng.crc32(data, self._checksum)
        self._size += len(data)
        ready, self._ready = self._ready, b""
        return ready + self._deflate.compress(data)

    def flush(self) -> bytes:
        trailer = struct.pack("<II", self._checksum, self._size % _MODULUS)
        return self._ready + self._deflate.flush() + trailer
