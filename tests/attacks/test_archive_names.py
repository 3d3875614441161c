"""Traversal by every known trick: what comes out can be unpacked anywhere without harm."""

import io
import pathlib
import random
import tarfile
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.archive import repack
from tests.archive import layers, test_untar_fuzz

CLIMBING = [
    b"../evil",
    b"../../../../../../etc/cron.d/evil",
    b"..",
    b"../",
    b"./..",
    b"./../evil",
    b"a/..",
    b"a/../..",
    b"a/../../evil",
    b"a/b/../../../evil",
    b"a//../../evil",
    b"a/./../../evil",
    b"/etc/passwd",
    b"//etc/passwd",
    b"///etc/passwd",
    b"/../etc/passwd",
    b"/",
    b"..\\evil",
    b"a\\..\\..\\evil",
    b"\\\\host\\share\\evil",
    b"C:\\evil",
    b"a/..\\evil",
    b"....//....//evil",  # what naive filters turn into ../../evil
    b"..././evil",
    b"foo../evil",  # harmless, but Flux refuses it, too
    b".../x",
    b"",
]
HARMLESS = {
    b"...": b"...",
    b"..x": b"..x",
    b"./a": b"a",
    b".//a": b"a",
    b"a/./b": b"a/b",
    b"a//b": b"a/b",
    b"./././a/./": b"a",
    b"C:evil": b"C:evil",
    b"%2e%2e/evil": b"%2e%2e/evil",
    b"\xc0\xae\xc0\xae/evil": b"\xc0\xae\xc0\xae/evil",  # overlong UTF-8 of two dots
    "\u2024\u2024/evil".encode(): "\u2024\u2024/evil".encode(),  # one dot leaders
    "..\u2215evil".encode(): "..\u2215evil".encode(),  # a division slash
    b"~root/x": b"~root/x",
    b"$HOME/x": b"$HOME/x",
    b"-rf": b"-rf",
    b"a\nb": b"a\nb",
    b"a\x1b[2Jb": b"a\x1b[2Jb",
    b"CON": b"CON",
}


def ways(name: bytes, typeflag: bytes) -> list[bytes]:
    """Layers in which an entry has this name: in its header, by GNU's way, by PAX."""
    entry = layers.header(b"harmless", typeflag=typeflag)
    found = [layers.layer(layers.gnu_long_name(name), entry)]
    if len(name) <= 100:
        found.append(layers.layer(layers.header(name, typeflag=typeflag)))
    if name:
        found.append(layers.layer(layers.pax((b"path", name)), entry))
        above, slash, base = name.rpartition(b"/")
        if slash and above and base:
            found.append(layers.layer(layers.header(base, prefix=above, typeflag=typeflag)))
    return found


def check_harmless(stream: bytes) -> list[bytes]:
    """Names of a tar stream after a look at all that could do harm."""
    with tarfile.open(fileobj=io.BytesIO(stream), errors="surrogateescape", errorlevel=2) as tar:
        members = tar.getmembers()
    names = [member.name.encode("utf-8", "surrogateescape") for member in members]
    assert names[0] == b"."
    for member, name in zip(members[1:], names[1:], strict=True):
        assert member.isdir() or member.isreg()
        elements = name.split(b"/")
        assert not {b"", b".", b".."} & set(elements), name
        assert b"\\" not in name
        assert member.mode in (0o600, 0o700, 0o750)
    keys = [name.split(b"/") for name in names[1:]]
    assert keys == sorted(keys)
    assert len(set(names)) == len(names)
    return names


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("typeflag", [b"0", b"\0", b"7", b"5", b"1", b"2"])
def test_names_that_climb_are_refused(name: bytes, typeflag: bytes, tmp_path: pathlib.Path) -> None:
    """In every field and on every type, those included that leave no entry."""
    for blob in ways(name, typeflag):
        with pytest.raises(errors.UnsafeEntryError, match="invalid name"):
            layers.packed(blob, folder=tmp_path)


@pytest.mark.parametrize(("name", "clean"), HARMLESS.items())
def test_names_that_only_look_so_are_kept(
    name: bytes, clean: bytes, tmp_path: pathlib.Path
) -> None:
    """They are names like others; nothing is decoded or expanded."""
    for blob in ways(name, b"5" if name.endswith(b"/") else b"0"):
        _, sink = layers.packed(blob, folder=tmp_path)
        assert check_harmless(sink.tar)[-1] == clean


@pytest.mark.parametrize(
    "parts",
    [
        # A link out, and a file through it.
        [
            layers.header(b"out", typeflag=layers.SYMLINK, link=b"/etc"),
            layers.entry(b"out/passwd", b"evil"),
        ],
        # A link over a directory that was there.
        [
            layers.directory(b"d/"),
            layers.header(b"d", typeflag=layers.SYMLINK, link=b".."),
            layers.entry(b"d/evil", b"x"),
        ],
        # A chain of links, each of them harmless alone.
        [
            layers.header(b"a", typeflag=layers.SYMLINK, link=b"."),
            layers.header(b"a/b", typeflag=layers.SYMLINK, link=b".."),
            layers.entry(b"a/b/evil", b"x"),
        ],
        # A hard link to a file outside, and its content replaced.
        [
            layers.header(b"h", typeflag=layers.HARD_LINK, link=b"../../etc/passwd"),
            layers.entry(b"h", b"evil"),
        ],
        # A link under a name that differs in case only, or in Unicode's form.
        [
            layers.header("É".encode(), typeflag=layers.SYMLINK, link=b"/"),
            layers.entry("E\u0301/x".encode(), b"x"),
            layers.entry("é/x".encode(), b"x"),
        ],
        # A link to the rules.
        [
            layers.header(b".sourceignore", typeflag=layers.SYMLINK, link=b"/etc/passwd"),
            layers.entry(b"x", b"x"),
        ],
    ],
)
def test_links_lead_nowhere(parts: list[bytes], tmp_path: pathlib.Path) -> None:
    """No link comes out, so nothing can be written through one."""
    result, sink = layers.packed(layers.layer(*parts), folder=tmp_path)
    check_harmless(sink.tar)
    assert result.skipped.get("symlink", 0) + result.skipped.get("hard link", 0) > 0
    target = tmp_path / "target"
    with tarfile.open(fileobj=io.BytesIO(sink.tar)) as tar:
        tar.extractall(target, filter="data")
    assert {path.name for path in tmp_path.iterdir()} == {"target"}


@pytest.mark.soak
def test_whatever_is_accepted_comes_out_harmless(
    tmp_path: pathlib.Path, counts: Callable[[int, int], int]
) -> None:
    """Archives by chance, whole and damaged: refused as such, or clean, ordered and unique."""
    accepted = 0
    texts: list[str] = []
    for seed in range(counts(40_000, 1000)):
        rng = random.Random(seed)
        make = rng.choice([test_untar_fuzz._written, test_untar_fuzz._assembled])
        data = test_untar_fuzz._mutated(make(rng), rng)
        try:
            _, sink = layers.packed(data, folder=tmp_path, compression="none")
        except errors.ArchiveError as exc:
            texts.append(str(exc))
            continue
        accepted += 1
        check_harmless(sink.tar)
    assert accepted > 100
    assert not any("\n" in text for text in texts)


@pytest.mark.soak
def test_random_bytes_are_refused_and_nothing_else_happens(
    tmp_path: pathlib.Path, counts: Callable[[int, int], int]
) -> None:
    """Noise behind a magic, and good layers with a few bytes changed anywhere."""
    good = layers.layer(*layers.tree({f"d/f{n}": b"x" * n * 37 for n in range(30)}))
    texts: list[str] = []
    for seed in range(counts(20_000, 500)):
        rng = random.Random(seed)
        noise = rng.choice([b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b""]) + rng.randbytes(300)
        changed = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        for blob in (noise, bytes(changed), good[: rng.randrange(len(good))]):
            try:
                layers.packed(blob, folder=tmp_path, limits=repack.Limits(unpacked_bytes=1 << 24))
            except errors.ArchiveError as exc:
                texts.append(str(exc))
    assert not any("\n" in text for text in texts)
    assert list(tmp_path.iterdir()) == []
