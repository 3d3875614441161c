"""Comparing archives: which files are new, gone or changed, and how their text differs."""

import dataclasses
import difflib
import hashlib
import io
import typing
from collections.abc import Iterator

from ocisource import digest as digests
from ocisource.archive import compression, headers, limits, stream, untar

TEXT_MAX = 1 << 20  # bytes of a file whose text is compared
TEXT_TOTAL = 256 << 20  # bytes of text held of one archive; what is beyond counts as no text
_MODE = 0o7777  # bits of a mode


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in an archive; ``text`` is kept for small files when it is asked for."""

    kind: str
    mode: int
    size: int
    digest: str
    text: bytes | None = dataclasses.field(default=None, repr=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What an archive holds but for its root, and the digest of its tar stream."""

    tar_digest: str
    entries: dict[str, Entry]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Names that only the new archive has, only the old one has, and that differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def read(file: typing.IO[bytes], *, has_text: bool = False) -> Content:
    """Read an archive (gzip, zstd or plain tar) from its start, as a pull reads it.

    Raises ArchiveError.
    """
    bounds = limits.Limits()
    blob = typing.cast("typing.BinaryIO", file)
    hasher = digests.Hasher()
    windows = _hashed(compression.windows(blob, compression=None, limits=bounds), hasher)
    tape = stream.Tape(windows, untar.Index(bounds), is_order_needed=False)
    entries: dict[str, Entry] = {}
    room = TEXT_TOTAL if has_text else 0
    for key, offset, kind, size in tape.entries():
        name = key.replace(b"\0", b"/").decode(errors="surrogateescape")
        mode = headers.number(tape.header(offset)[100:108]) & _MODE
        if kind == untar.DIRECTORY:
            entries[name] = Entry("directory", mode, 0, "")
            continue
        is_kept = size <= min(TEXT_MAX, room)
        entries[name] = _file(tape.pieces(offset, size), mode=mode, size=size, is_kept=is_kept)
        room -= size if is_kept else 0
    return Content(str(hasher.digest), entries)


def compare(old: Content, new: Content) -> Difference:
    """How two archives differ, by name."""
    before, after = old.entries, new.entries
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(
            sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
        ),
    )


def unified(name: str, old: Entry | None, new: Entry | None) -> str:
    """A unified diff of one file's text; a line that says so for what is no text."""
    shown = (old or new, new or old)
    if any(entry is not None and entry.kind == "directory" for entry in shown):
        return ""
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        return f"Binary files a/{name} and b/{name} differ\n"
    lines = difflib.unified_diff(
        before,
        after,
        fromfile=f"a/{name}" if old else "/dev/null",
        tofile=f"b/{name}" if new else "/dev/null",
    )
    text = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    if not text and old and new and old.mode != new.mode:
        return f"mode of {name}: {old.mode:04o} -> {new.mode:04o}\n"
    return text


def _lines(entry: Entry | None) -> list[str] | None:
    if entry is None:
        return []
    if entry.text is None or b"\0" in entry.text:
        return None
    try:
        # Not splitlines(), for which a form feed ends a line, too.
        return list(io.StringIO(entry.text.decode(), newline="\n"))
    except UnicodeDecodeError:
        return None


def _file(pieces: Iterator[memoryview], *, mode: int, size: int, is_kept: bool) -> Entry:
    hasher, kept = hashlib.sha256(), bytearray()
    for piece in pieces:
        hasher.update(piece)
        if is_kept:
            kept += piece
    return Entry("file", mode, size, hasher.hexdigest(), bytes(kept) if is_kept else None)


def _hashed(windows: Iterator[bytes], hasher: digests.Hasher) -> Iterator[bytes]:
    """Windows, hashed on their way."""
    for window in windows:
        hasher.update(window)
        yield window
