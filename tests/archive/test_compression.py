"""Layers as gzip, zstd and plain tar: windows, damage, several members, and bounds."""

import gzip
import io
import random

import pytest
import zstandard

from ocisource import errors
from ocisource.archive import compression, limits

WINDOW = compression.WINDOW
DATA = random.Random(1).randbytes(3 * WINDOW // 2) + bytes(WINDOW) + b"tail"


def unpacked(
    blob: bytes,
    *,
    form: compression.Compression | None = None,
    bounds: limits.Limits | None = None,
) -> bytes:
    """All windows joined, after a look at their lengths."""
    windows = list(
        compression.windows(io.BytesIO(blob), compression=form, limits=bounds or limits.Limits())
    )
    assert all(len(window) == WINDOW for window in windows[:-1])
    assert all(0 < len(window) <= WINDOW for window in windows[-1:])
    return b"".join(windows)


def skippable(data: bytes) -> bytes:
    """A zstd frame that readers skip."""
    return b"\x53\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


ZSTD = zstandard.ZstdCompressor(write_checksum=True)
TAR_HEADER = bytearray(512)
TAR_HEADER[257:263] = b"ustar\0"


@pytest.mark.parametrize(
    "blob",
    [
        gzip.compress(DATA),
        gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]),
        gzip.compress(b"") + gzip.compress(DATA) + gzip.compress(b""),
        gzip.compress(DATA) + bytes(3000),
        gzip.compress(DATA, compresslevel=0),
        ZSTD.compress(DATA),
        ZSTD.compress(DATA[:1000]) + ZSTD.compress(DATA[1000:]),
        skippable(b"first") + ZSTD.compress(DATA) + skippable(b"last"),
        ZSTD.compress(DATA[:WINDOW]) + skippable(b"between") + ZSTD.compress(DATA[WINDOW:]),
    ],
)
def test_members_and_frames_are_read_one_after_the_other(blob: bytes) -> None:
    """Several gzip members, padding after them, several zstd frames, skippable ones."""
    assert unpacked(blob) == DATA


def test_plain_tar_is_taken_as_it_is() -> None:
    """Recognised by its magic or by an empty archive's zero blocks, or because one says so."""
    plain = bytes(TAR_HEADER) + DATA
    assert unpacked(plain) == plain
    assert unpacked(bytes(1024)) == bytes(1024)
    assert unpacked(b"no tar at all", form="none") == b"no tar at all"


@pytest.mark.parametrize(
    ("blob", "text"),
    [
        (b"", "requires gzip-compressed body: EOF"),
        (b"\x1f", "requires gzip-compressed body: EOF"),
        (b"{}", "requires gzip-compressed body: gzip: invalid header"),
        (b"BZh9" + DATA, "requires gzip-compressed body: gzip: invalid header"),
        (b"\x1f\x8b", "requires gzip-compressed body: unexpected EOF"),
        (b"\x1f\x8b\x07" + bytes(30), "requires gzip-compressed body: gzip: "),
        (gzip.compress(DATA)[:-1], "tar error: unexpected EOF"),
        (gzip.compress(DATA)[:-9], "tar error: unexpected EOF"),
        (gzip.compress(DATA)[:100_000], "tar error: unexpected EOF"),
        (gzip.compress(DATA) + b"junk" * 10, "tar error: gzip: "),
        (gzip.compress(DATA) + b"junk", "tar error: unexpected EOF"),
        (ZSTD.compress(DATA)[:-1], "tar error: zstd: unexpected EOF"),
        (ZSTD.compress(DATA)[:5], "tar error: zstd: unexpected EOF"),
        (ZSTD.compress(DATA)[:100_000], "tar error: zstd: unexpected EOF"),
        (ZSTD.compress(DATA) + b"junkjunk", "tar error: zstd: "),
    ],
)
def test_damage_is_refused_in_one_line(blob: bytes, text: str) -> None:
    """No form at all, truncation anywhere, and something else after the end."""
    with pytest.raises(errors.CorruptArchiveError) as caught:
        unpacked(blob)
    assert str(caught.value).startswith(text)


def test_a_wrong_gzip_checksum_or_length_is_noticed() -> None:
    """Both words of the trailer are compared."""
    good = gzip.compress(DATA)
    for offset in (-1, -5):
        bad = bytearray(good)
        bad[offset] ^= 1
        with pytest.raises(errors.CorruptArchiveError, match="tar error: gzip: "):
            unpacked(bytes(bad))


def test_a_wrong_zstd_checksum_is_noticed() -> None:
    """Where the frame has one."""
    bad = bytearray(ZSTD.compress(DATA))
    bad[-1] ^= 1
    with pytest.raises(errors.CorruptArchiveError, match="tar error: zstd: "):
        unpacked(bytes(bad))


def test_the_form_can_be_stated() -> None:
    """What is stated is what is tried."""
    with pytest.raises(errors.CorruptArchiveError, match="requires gzip-compressed body: gzip"):
        unpacked(ZSTD.compress(DATA), form="gzip")
    assert unpacked(ZSTD.compress(DATA), form="zstd") == DATA


def test_the_stream_is_bounded() -> None:
    """Up to the bound it passes, beyond it the flag is named."""
    blob = gzip.compress(DATA)
    assert unpacked(blob, bounds=limits.Limits(unpacked_bytes=len(DATA))) == DATA
    with pytest.raises(errors.LimitExceededError, match="--max-unpacked-size"):
        unpacked(blob, bounds=limits.Limits(unpacked_bytes=len(DATA) - 1))
    assert unpacked(blob, bounds=limits.Limits(unpacked_bytes=-1)) == DATA


def test_a_blob_that_is_read_again_starts_from_its_beginning() -> None:
    """Wherever its position was."""
    blob = io.BytesIO(gzip.compress(DATA))
    blob.seek(77)
    first = b"".join(compression.windows(blob, compression=None, limits=limits.Limits()))
    again = b"".join(compression.windows(blob, compression=None, limits=limits.Limits()))
    assert first == again == DATA
