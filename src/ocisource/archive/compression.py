"""A layer's bytes, decompressed in windows of one fixed size.

The three forms a layer comes in: gzip (RFC 1952, several members allowed), zstd (RFC 8878, several
frames allowed) and plain tar. Nothing is decompressed further than the windows asked for, so a
bomb costs no more than its bounds.

Raises CorruptArchiveError (``requires gzip-compressed body: …`` for bytes of no known form,
``tar error: …`` for damage) and LimitExceededError.
"""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, cast

import zstandard
from isal import igzip_lib

from ocisource import errors
from ocisource.archive import limits as bounds

Compression = Literal["gzip", "zstd", "none"]

WINDOW = 256 << 10  # bytes; a multiple of tar's 512, small enough to stay in a core's cache
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)  # its stub calls it an instance
_READ = 256 << 10  # bytes of the blob at a time
_ZSTD_WINDOW = 128 << 20  # bytes; what zstd's own command line accepts without --long
_ZSTD_PIECE = 512  # bytes; 4 bytes of zstd can mean 128 KiB, so this can mean 16 MiB

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # bytes 1-3; byte 0 is 0x50-0x5f
_ZSTD_SKIPPABLE_FIRST = 0x50
_USTAR_AT = 257
_SNIFFED = 512  # bytes; a tar header


def sniff(head: bytes) -> Compression | None:
    """The form that the first 512 bytes of a layer show, None if it is none of the three."""
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    if head.startswith(_ZSTD_MAGIC) or (
        head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == _ZSTD_SKIPPABLE_FIRST
    ):
        return "zstd"
    if head[_USTAR_AT : _USTAR_AT + 5] == b"ustar" or (
        len(head) == _SNIFFED and not head.strip(b"\0")
    ):
        return "none"
    return None


def windows(
    blob: BinaryIO, *, compression: Compression | None, limits: bounds.Limits
) -> Iterator[bytes]:
    """Windows of exactly WINDOW unpacked bytes from the start of ``blob``, the last one shorter.

    ``compression`` None means: look at the first bytes.
    """
    blob.seek(0)
    form = compression
    if form is None:
        head = b""
        while len(head) < _SNIFFED and (piece := blob.read(_SNIFFED - len(head))):
            head += piece
        form = sniff(head)
        if form is None:
            cause = "gzip: invalid header" if len(head) >= len(_GZIP_MAGIC) else "EOF"
            raise errors.CorruptArchiveError(f"requires gzip-compressed body: {cause}")
        blob.seek(0)
    size = blob.seek(0, io.SEEK_END)
    blob.seek(0)
    return _bounded(_readers[form](blob), limits=limits, blob_size=size)


def _bounded(
    read: Callable[[int], bytes], *, limits: bounds.Limits, blob_size: int
) -> Iterator[bytes]:
    allowed = bounds.bound(limits.unpacked_bytes)
    stretched = max(bounds.bound(limits.ratio) * blob_size, bounds.RATIO_FREE_BYTES)
    total = 0
    while window := _full(read):
        total += len(window)
        if total > allowed:
            raise bounds.oversized(limits)
        if total > stretched:
            raise bounds.overstretched(limits)
        yield window
        if len(window) < WINDOW:
            return


def _full(read: Callable[[int], bytes]) -> bytes:
    """One window, put together from as many reads as it takes."""
    window = read(WINDOW)
    if not window or len(window) == WINDOW:
        return window
    parts = [window]
    missing = WINDOW - len(window)
    while missing and (part := read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _gunzip(blob: BinaryIO) -> Callable[[int], bytes]:
    """A read function over the members of a gzip stream."""
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    is_first = True

    def read(size: int) -> bytes:
        nonlocal member, is_first
        while True:
            if member.eof:
                rest = member.unused_data or blob.read(_READ)
                while rest and not rest.strip(b"\0"):  # padding, as gzip(1) allows
                    rest = blob.read(_READ)
                if not rest:
                    return b""
                member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            else:
                rest = blob.read(_READ) if member.needs_input else b""
                if not rest and member.needs_input:
                    raise _damaged("unexpected EOF", is_first=is_first)
            try:
                data: bytes = member.decompress(rest, size)
            except _ISAL_ERROR as exc:
                raise _damaged(f"gzip: {_reason(exc)}", is_first=is_first) from exc
            if data:
                is_first = False
                return data

    return read


def _reason(exc: Exception) -> str:
    # "Error -4 Invalid gzip/zlib wrapper found": the number says nothing to the reader.
    words = str(exc).split()
    return " ".join(words[2:] if words[:1] == ["Error"] else words).lower()


def _damaged(cause: str, *, is_first: bool) -> errors.CorruptArchiveError:
    # Flux opens the gzip stream before it reads the tar: damage there has another text.
    prefix = "requires gzip-compressed body" if is_first else "tar error"
    return errors.CorruptArchiveError(f"{prefix}: {cause}")


def _unzstd(blob: BinaryIO) -> Callable[[int], bytes]:
    """A read function over the frames of a zstd stream.

    The library bounds no output and calls a truncated stream complete when it is read as a file,
    so frames are fed by hand, in pieces so small that even a bomb's stays small.
    """
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = context.decompressobj()
    is_between = False  # between two frames, where the stream may end
    packed = memoryview(b"")
    ready = memoryview(b"")

    def read(size: int) -> bytes:
        nonlocal frame, is_between, packed, ready
        while not ready:
            if not packed and not (packed := memoryview(blob.read(_READ))):
                if is_between:
                    return b""
                raise errors.CorruptArchiveError("tar error: zstd: unexpected EOF")
            if is_between:
                frame = context.decompressobj()
            piece, packed = packed[:_ZSTD_PIECE], packed[_ZSTD_PIECE:]
            try:
                ready = memoryview(frame.decompress(piece))
            except zstandard.ZstdError as exc:
                raise errors.CorruptArchiveError(f"tar error: zstd: {exc}".lower()) from exc
            is_between = frame.eof
            if is_between:
                packed = memoryview(frame.unused_data + bytes(packed))
        taken, ready = ready[:size], ready[size:]
        return bytes(taken)

    return read


def _plain(blob: BinaryIO) -> Callable[[int], bytes]:
    return blob.read


_readers: dict[Compression, Callable[[BinaryIO], Callable[[int], bytes]]] = {
    "gzip": _gunzip,
    "zstd": _unzstd,
    "none": _plain,
}
