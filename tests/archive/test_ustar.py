"""Tar headers, against what Go's archive/tar wrote.

Each vector ends in the length of the blocks and the beginning of their sha256, taken from Go 1.26.
"""

import hashlib
import io
import tarfile

import pytest

from ocisource.archive import ustar

GIB = 1 << 30

VECTORS = [
    (b".", b"5", 0o750, 0, "512 9c2b2808101fc05d37dcfcb0"),
    (b"a.txt", b"0", 0o600, 4, "512 73d011c0150182acbed8e394"),
    (b"n" * 100, b"0", 0o600, 1, "512 11f9af6bf735d59d475d5120"),
    (b"n" * 101, b"0", 0o600, 1, "1536 6fe2ccc4d5cbead44c21a718"),
    (b"d" * 50 + b"/" + b"n" * 100, b"0", 0o700, 7, "512 b06bbd5af43c9c75d5b9228a"),
    (b"d" * 155 + b"/" + b"n" * 100, b"5", 0o750, 0, "512 2754036f0ca36977fa730f23"),
    (b"d" * 156 + b"/" + b"n" * 99, b"0", 0o600, 3, "1536 4406a23ccaaeef3c88bb4a57"),
    (
        b"d" * 40 + b"/" + b"e" * 60 + b"/" + b"n" * 101,
        b"0",
        0o600,
        3,
        "1536 c5d9e99a48e334560100c93b",
    ),
    ("grüße/é.yaml".encode(), b"0", 0o600, 9, "1536 8123a171478d73c59cfcceb5"),
    ("日本".encode(), b"5", 0o750, 0, "1536 5e6165ee1b3c17f705785843"),
    (b"\xff\xfe.bin", b"0", 0o600, 1, "1536 fbf3a03a11c16dfdf2e433aa"),
    (b"a" * 98 + "é/b".encode(), b"0", 0o600, 5, "1536 8d910146518bcdcd222f93de"),
    (b"big", b"0", 0o600, 8 * GIB - 1, "512 ab6efcd0b495f0240a9777a6"),
    (b"big", b"0", 0o600, 8 * GIB, "1536 0e2513b185ddc4225c74a8e9"),
    (b"x" * 120 + b"/big", b"0", 0o600, 8 * GIB, "1536 9b1a8e0dcb70c2fe31e0abf7"),
    (b"s/" * 60 + b"f", b"0", 0o4755, 512, "512 8e2e75423eaacae7cf8a2843"),
    (b"p" * 99 + b"/q" + b"r" * 150, b"0", 0o600, 2, "1536 63d422c6a4725d34d52951da"),
]


@pytest.mark.parametrize(("name", "typeflag", "mode", "size", "wanted"), VECTORS)
def test_headers_equal_go_s_byte_for_byte(
    name: bytes, typeflag: bytes, mode: int, size: int, wanted: str
) -> None:
    """Short, split, PAX, not ASCII, not UTF-8, 8 GiB: each header is the one Go writes."""
    written = ustar.header(ustar.Template.of(typeflag, mode), name, size)
    assert f"{len(written)} {hashlib.sha256(written).hexdigest()[:24]}" == wanted


@pytest.mark.parametrize(("name", "typeflag", "mode", "size", "wanted"), VECTORS)
def test_headers_are_read_back_by_the_standard_library(
    name: bytes, typeflag: bytes, mode: int, size: int, wanted: str
) -> None:
    """What was written reads back as the same name, type, mode and size."""
    written = ustar.header(ustar.Template.of(typeflag, mode), name, size) + ustar.END
    with tarfile.open(fileobj=io.BytesIO(written), errors="surrogateescape") as read:
        member = read.next()
    assert member is not None
    assert member.name.encode("utf-8", "surrogateescape") == name
    assert (member.type, member.mode, member.size) == (typeflag, mode, size)


def test_a_pax_record_counts_its_own_digits() -> None:
    """The length of a record whose length gains a digit by being counted is right."""
    for length in (*range(80, 110), *range(980, 1010)):
        name = b"n" * length + "é".encode()
        written = ustar.header(ustar.Template.of(b"0", 0o600), name, 0)
        body = written[512:].partition(b"\n")[0]
        assert int(body.partition(b" ")[0]) == len(body) + 1
