"""The indexer against ``tarfile`` and GNU tar: the same entries, or an error.

Archives are made by chance in all formats, then cut, spliced and changed in the fields that
matter, with and without a matching checksum. Where all three accept an archive they must list
the same; what we call damaged, both others must refuse, too. We may refuse more: names, types,
and what readers disagree about.
"""

import io
import os
import pathlib
import random
import re
import subprocess
import tarfile
import warnings
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.archive import limits, untar
from tests.archive import layers
from tests.parts import programs

Listing = list[tuple[bytes, str, int]]  # name, "file" or "directory", size

NAMES = [
    b"a",
    b"dir/b.yaml",
    b"./c",
    b"d//e",
    b"f/./g",
    b"n" * 100,
    b"p" * 60 + b"/" + b"q" * 60,
    b"r" * 150 + b"/s",
    b"t" * 300,
    "größe/ü".encode(),
    b"blank name",
    b"../up",
    b"/root",
]
BODIES = [b"", b"x", b"y" * 511, b"z" * 512, b"w" * 1500]
# Name, mode, size, checksum, type, magic, prefix. Owners, times and device numbers mean nothing
# to us, and their readers differ in what they forgive there.
FIELDS = [*range(108), *range(124, 136), *range(148, 157), *range(257, 265), *range(345, 500)]


def _canonical(name: bytes) -> bytes:
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def ours(data: bytes, window: int) -> Listing:
    """Our listing; raises ArchiveError."""
    index = untar.Index(limits.Limits())
    found: list[untar.Entry] = []
    for start in range(0, len(data), window):
        found += index.feed(data[start : start + window])
    index.finish()
    return [
        (key.replace(b"\0", b"/"), "directory" if kind == untar.DIRECTORY else "file", size)
        for key, _, kind, size in found
    ]


def tarfiles(data: bytes) -> Listing | None:
    """The standard library's listing, None if it refuses the archive."""
    listing: Listing = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with tarfile.open(
                fileobj=io.BytesIO(data), mode="r:", errors="surrogateescape", errorlevel=2
            ) as tar:
                for member in tar:
                    name = _canonical(member.name.encode("utf-8", "surrogateescape"))
                    if member.isdir() and name:
                        listing.append((name, "directory", 0))
                    elif member.isreg() or member.type not in tarfile.SUPPORTED_TYPES:
                        listing.append((name, "file", member.size))
                end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, EOFError, MemoryError):
        return None
    # It takes a bad header behind a good one for the end. The offset it stopped at tells.
    block = data[end : end + 512]
    return listing if not block.strip(b"\0") else None


LINE = re.compile(rb"(.)\S{9}\s+\S+\s+(\d+) \S+ \S+ (.*)", re.DOTALL)
ESCAPE = re.compile(rb"\\(\d{3}|.)", re.DOTALL)
ESCAPES = dict(
    zip(
        (b"n", b"t", b"b", b"r", b"f", b"v", b"a"),
        (b"\n", b"\t", b"\b", b"\r", b"\f", b"\v", b"\a"),
        strict=True,
    )
)


def _unescaped(text: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8) & 255]) if len(code) == 3 else ESCAPES.get(code, code)

    return ESCAPE.sub(plain, text)


def gnu(data: bytes, program: pathlib.Path) -> Listing | None:
    """GNU tar's listing, None if it refuses the archive."""
    done = subprocess.run(
        [program, "-tv", "--numeric-owner", "--full-time", "--quoting-style=escape", "-P", "-f-"],
        input=data,
        capture_output=True,
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
        check=False,
    )
    if done.returncode != 0:
        return None
    listing: Listing = []
    for line in done.stdout.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            return None
        name = _canonical(_unescaped(match[3]))
        if match[1] == b"d" and name:
            listing.append((name, "directory", 0))
        elif match[1] in (b"-", b"C"):
            listing.append((name, "file", int(match[2])))
    return listing


def _written(rng: random.Random) -> bytes:
    """An archive of the standard library, in one of its formats."""
    buffer = io.BytesIO()
    form = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for _ in range(rng.randint(1, 5)):
            info = tarfile.TarInfo(rng.choice(NAMES[:-2]).decode())
            info.mtime = rng.choice([0, 1_600_000_000])
            body = rng.choice(BODIES)
            info.type = rng.choice([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE])
            if info.type == tarfile.SYMTYPE:
                info.linkname = "target" * rng.choice([1, 40])
            info.size = len(body) if info.type == tarfile.REGTYPE else 0
            try:
                tar.addfile(info, io.BytesIO(body))
            except ValueError:
                continue  # a name too long for ustar
    return buffer.getvalue()


def _assembled(rng: random.Random) -> bytes:
    """An archive of our own blocks, with what no library would write."""
    parts: list[bytes] = []
    for _ in range(rng.randint(1, 5)):
        name, body = rng.choice(NAMES), rng.choice(BODIES)
        kind = rng.randrange(9)
        if kind == 0:
            parts.append(layers.gnu_long_name(name))
        elif kind == 1:
            parts.append(layers.pax((b"path", name), (b"comment", b"c" * rng.randrange(600))))
        elif kind == 2:
            parts.append(layers.pax((b"size", b"%d" % len(body))))
        elif kind == 3:
            parts.append(layers.pax((b"comment", b"sha"), typeflag=b"g"))
        if kind == 4:
            parts.append(layers.directory(name[:99] + b"/"))
        elif kind == 5:
            parts.append(layers.header(name[:100], typeflag=rng.choice([b"1", b"2"]), link=b"t"))
        elif kind == 6:
            field = b"\x80" + len(body).to_bytes(11, "big")
            parts.append(layers.header(name[:100], size_field=field) + layers.padded(body))
        else:
            magic = rng.choice([b"ustar\x0000", b"ustar  \0", b""])
            prefix = rng.choice([b"", b"", b"pre/fix"]) if magic == b"ustar\x0000" else b""
            parts.append(layers.entry(name[:100], body, magic=magic, prefix=prefix))
    return b"".join(parts) + rng.choice([layers.END, layers.END * 5, b"", bytes(512)])


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """The archive cut, spliced, or with bytes of a header changed."""
    kind = rng.randrange(8)
    blocks = len(data) // 512
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        cut = 512 * rng.randrange(blocks)
        return data[:cut] + data[cut + 512 :]
    if kind == 2:
        cut, piece = 512 * rng.randrange(blocks), 512 * rng.randrange(blocks)
        return data[:cut] + data[piece : piece + 512] + data[cut:]
    if kind == 3:
        return data
    changed = bytearray(data)
    for _ in range(rng.randint(1, 2)):
        start = 512 * rng.randrange(blocks)
        changed[start + rng.choice(FIELDS)] = rng.choice(b"\0 0123456789/.-+_axgLKS\\\x80\xff")
        if kind >= 5 and changed[start + 257 : start + 262] == b"ustar":
            block = changed[start : start + 512]
            block[148:156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(changed)


def _has_sized_link(data: bytes) -> bool:
    """Whether a link or directory may have a size: data to GNU tar, and to nobody else."""
    return any(
        data[start + 156] in b"125"
        and (b"size=" in data or data[start + 124 : start + 136].strip(b"\0 0"))
        for start in range(0, len(data) - 511, 512)
    )


def _has_global_header(data: bytes) -> bool:
    return any(data[start + 156] == ord("g") for start in range(0, len(data) - 511, 512))


def _has_gnu_times(data: bytes) -> bool:
    """Whether a header has GNU's times where the standard library looks for a prefix."""
    return any(
        data[start + 257 : start + 263] == b"ustar " and data[start + 345]
        for start in range(0, len(data) - 511, 512)
    )


def _blurred(listing: Listing) -> Listing:
    """Empty files and directories alike.

    The standard library does not take a trailing slash of type 0 for a directory, GNU tar does.
    """
    return [(name, kind if size else "", size) for name, kind, size in listing]


def _attempt(data: bytes, window: int) -> tuple[tuple[tuple[bytes, str, int], ...] | None, str]:
    try:
        return tuple(ours(data, window)), ""
    except errors.ArchiveError as exc:
        return None, str(exc)


DAMAGED = ("unexpected EOF", "invalid tar header")


@pytest.mark.soak
def test_all_three_list_the_same_or_refuse(counts: Callable[[int, int], int]) -> None:
    """Thousands of archives, whole and damaged."""
    program = programs.find("tar", package="tar")
    accepted = refused = 0
    for seed in range(counts(40_000, 1500)):
        rng = random.Random(seed)
        data = rng.choice([_written, _assembled])(rng)
        data = _mutated(data, rng)
        results = {_attempt(data, window) for window in (512, 2048, 1 << 20)}
        assert len(results) == 1, seed
        ((listing, error),) = results
        others = (tarfiles(data), gnu(data, program))
        if listing is None:
            refused += 1
            is_cut_in_zeros = not data[len(data) // 512 * 512 :].strip(b"\0")
            if error.endswith(DAMAGED) and not is_cut_in_zeros:
                assert None in others, (seed, error, others)
            continue
        accepted += 1
        if data:  # an empty stream is an empty archive to us, as to Go
            if others[0] is None:
                assert _has_global_header(data), (seed, listing)  # it wants an entry after one
            else:
                is_same = _blurred(list(listing)) == _blurred(others[0])
                assert is_same or _has_gnu_times(data), seed
            assert list(listing) == others[1] or _has_sized_link(data), (seed, listing, others)
    assert accepted > 200
    assert refused > 200
