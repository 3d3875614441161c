"""Layers made by hand, block by block, so that tests control what a library would smooth out."""

import gzip
import hashlib
import io
import pathlib
import tarfile
from collections.abc import Iterable, Sequence
from typing import Any

from ocisource.archive import repack

BLOCK = 512
NAME = 100
END = bytes(2 * BLOCK)
FILE, HARD_LINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"


def header(
    name: bytes = b"",
    *,
    size: int = 0,
    typeflag: bytes = FILE,
    mode: bytes = b"0000644\0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    link: bytes = b"",
    size_field: bytes | None = None,
    checksum: bytes | None = None,
    is_signed: bool = False,
) -> bytes:
    """One header block; ``size_field`` and ``checksum`` replace what would be computed."""
    assert len(name) <= NAME
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:108] = mode
    block[108:124] = b"0000000\x000000000\0"
    block[124:136] = size_field if size_field is not None else b"%011o\0" % size
    block[136:148] = b"14200000000\0"
    block[148:156] = b" " * 8
    block[156:157] = typeflag
    block[157 : 157 + len(link)] = link
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    assert len(block) == BLOCK
    total = sum(block) - (256 * sum(byte > 127 for byte in block) if is_signed else 0)
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % total
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Data filled up to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def entry(name: bytes, data: bytes = b"", **fields: Any) -> bytes:
    """A header and its data."""
    return header(name, size=len(data), **fields) + padded(data)


def directory(name: bytes, **fields: Any) -> bytes:
    """A directory's header."""
    return header(name, typeflag=DIRECTORY, mode=b"0000755\0", **fields)


def record(keyword: bytes, value: bytes) -> bytes:
    """A record of a PAX header."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def pax(*records: tuple[bytes, bytes], typeflag: bytes = b"x") -> bytes:
    """A PAX header with its records."""
    body = b"".join(record(*pair) for pair in records)
    return entry(b"PaxHeaders.0/x", body, typeflag=typeflag)


def gnu_long_name(name: bytes) -> bytes:
    """GNU's header for a long name."""
    return entry(b"././@LongLink", name + b"\0", typeflag=b"L", magic=b"ustar  \0")


def tar(*parts: bytes) -> bytes:
    """A tar stream with its end."""
    return b"".join(parts) + END


def layer(*parts: bytes) -> bytes:
    """A gzip layer."""
    return gzip.compress(tar(*parts), compresslevel=1, mtime=0)


def tree(files: dict[str, bytes]) -> list[bytes]:
    """Entries of files, in the order given; a name that ends in a slash is a directory."""
    parts = []
    for text, data in files.items():
        name = text.encode()
        make = directory(name[:NAME]) if text.endswith("/") else entry(name[:NAME], data)
        parts.append(make if len(name) <= NAME else gnu_long_name(name) + make)
    return parts


class Sink:
    """Takes what repack writes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.rewinds = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.data += data

    def rewind(self) -> None:
        """Forget them all."""
        self.data.clear()
        self.rewinds += 1

    @property
    def tar(self) -> bytes:
        """The tar stream that was packed."""
        return gzip.decompress(self.data)

    @property
    def digest(self) -> str:
        """Hex digest of the packed file."""
        return hashlib.sha256(self.data).hexdigest()

    def members(self) -> list[tuple[str, bytes, int, bytes]]:
        """Name, type, mode and content of each entry, as the standard library reads them."""
        with tarfile.open(fileobj=io.BytesIO(self.tar), errorlevel=2) as read:
            return [
                (
                    member.name,
                    member.type,
                    member.mode,
                    content.read() if (content := read.extractfile(member)) else b"",
                )
                for member in read
            ]

    def names(self) -> list[str]:
        """Names of the entries."""
        return [name for name, *_ in self.members()]


def packed(
    blob: bytes,
    *,
    folder: pathlib.Path,
    ignore: str | None = None,
    limits: repack.Limits | None = None,
    may_stream: bool = True,
    **more: Any,
) -> tuple[repack.Packed, Sink]:
    """Repack a blob; the result and what was written."""
    sink = Sink()
    result = repack.repack(
        io.BytesIO(blob),
        ignore=ignore,
        limits=limits or repack.Limits(),
        write=sink.write,
        rewind=sink.rewind if may_stream else None,
        is_cancelled=more.pop("is_cancelled", lambda: False),
        spool_dir=folder,
        **more,
    )
    assert len(sink.tar) == result.tar_size
    return result, sink


def joined(parts: Iterable[bytes] | Sequence[bytes]) -> bytes:
    """Entries and an end, as a gzip layer."""
    return layer(*parts)
