"""Comparing archives: which files are new, gone or changed, and how their text differs."""

import dataclasses
import difflib
import hashlib
import io
import tarfile
import typing
from collections.abc import Iterator

from ocisource import errors
from ocisource.archive import compression, limits

TEXT_MAX = 1 << 20  # bytes of a file whose text is compared
ROOT = "."
_READ = 1 << 20  # bytes


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
    """What an archive holds, and the digest of its tar stream."""

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
    """Read an archive (gzip, zstd or plain tar) from its start; raises ArchiveError."""
    bounds = limits.Limits()
    blob = typing.cast("typing.BinaryIO", file)
    stream = _Hashed(compression.windows(blob, compression=None, limits=bounds))
    entries: dict[str, Entry] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if len(entries) >= bounds.entries:
                    raise errors.LimitExceededError(
                        f"the archive has over {bounds.entries} entries"
                    )
                if member.isfile() or member.isdir():
                    name = member.name.removeprefix("./") or ROOT
                    entries[name] = _entry(archive, member, has_text=has_text)
        while stream.read(_READ):
            pass
    except (tarfile.TarError, EOFError, OSError) as error:
        raise errors.CorruptArchiveError(f"the archive cannot be read: {error}") from error
    return Content(stream.digest, entries)


def compare(old: Content, new: Content) -> Difference:
    """How two archives differ, by name; the root's mode is that of whoever made the folder."""
    before, after = ({**each.entries} for each in (old, new))
    for entries in (before, after):
        entries.pop(ROOT, None)
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


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, *, has_text: bool) -> Entry:
    if member.isdir():
        return Entry("directory", member.mode, 0, "")
    content = archive.extractfile(member)
    assert content is not None, "a regular file has content"
    hasher, kept = hashlib.sha256(), bytearray()
    is_kept = has_text and member.size <= TEXT_MAX
    while data := content.read(_READ):
        hasher.update(data)
        if is_kept:
            kept += data
    text = bytes(kept) if is_kept else None
    return Entry("file", member.mode, member.size, hasher.hexdigest(), text)


class _Hashed:
    """A stream of unpacked windows that hashes what is read through it."""

    def __init__(self, windows: Iterator[bytes]) -> None:
        self._windows = windows
        self._hash = hashlib.sha256()
        self._pending = b""

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than ``size`` only at the end."""
        parts, left = [], size
        while left:
            if not self._pending:
                self._pending = next(self._windows, b"")
                if not self._pending:
                    break
                self._hash.update(self._pending)
            parts.append(self._pending[:left])
            self._pending = self._pending[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    @property
    def digest(self) -> str:
        """Digest of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"
