"""From entries in the order of a walk to the normalised tar stream.

The root first, as ``.``; then directories (those that are only parents, too) and files; modes
0600, 0700 (any execute bit) and 0750, the epoch, no owner. What the ignore rules leave out is
counted; it is judged entry by entry, so a file can stay whose directory has no entry.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from ocisource.archive import arrange, gitignore, packer, spool, untar, ustar
from ocisource.archive import limits as bounds

_FILE_MODES = (
    ustar.Template.of(ustar.TYPE_FILE, 0o600),
    ustar.Template.of(ustar.TYPE_FILE, 0o700),
)
_DIRECTORY_MODE = ustar.Template.of(ustar.TYPE_DIRECTORY, 0o750)
_BATCH = 64 << 10  # bytes of the stream put together before the packer gets them


class Data(Protocol):
    """Where the data of entries is, by their offset in the layer's tar stream."""

    def data(self, offset: int, size: int) -> bytes:
        """At most spool.SMALL bytes."""
        ...

    def pieces(self, offset: int, size: int) -> Iterator[memoryview]:
        """More than that, in pieces."""
        ...


class Tree:
    """Writes a tree's tar stream into a packer; ``entries`` and ``ignored`` count what came."""

    def __init__(
        self, out: packer.Packer, *, rules: gitignore.Rules, limits: bounds.Limits
    ) -> None:
        self._out = out
        self._limits = limits
        self._allowed = bounds.bound(limits.entries)
        self._scopes = [(b"", rules.root())]
        self._parts: list[bytes] = [ustar.header(_DIRECTORY_MODE, b".", 0)]
        self.entries = 1
        self.ignored = 0

    def write(self, entries: Iterable[untar.Entry], source: Data) -> None:
        """Write all entries, which are in the order of a walk, and the end of the archive.

        Raises LimitExceededError, UnsafeEntryError, and what the packer and ``source`` raise.
        """
        parts = self._parts
        batched = 512
        directory = b""
        is_ignored = self._scopes[0][1].tester()
        last_file = b""
        read = source.data
        header = ustar.header
        padding = ustar.PADDING
        count = 0
        for key, offset, kind, size in entries:
            above, _, name = key.rpartition(b"\0")
            if kind == untar.DIRECTORY:
                above = key
            if above != directory:
                if last_file and (above + b"\0").startswith(last_file + b"\0"):
                    raise arrange.conflict(last_file)
                before = len(parts)
                self._enter(above)
                batched += 512 * (len(parts) - before)
                directory = above
                is_ignored = self._scopes[-1][1].tester()
            if kind == untar.DIRECTORY:
                continue
            last_file = key
            if is_ignored(name):
                self.ignored += 1
                continue
            count += 1
            parts.append(header(_FILE_MODES[kind], key.replace(b"\0", b"/"), size))
            if size <= spool.SMALL:
                parts.append(read(offset, size))
                parts.append(padding[size & 511])
                batched += size + 1024
            else:
                self._flush()
                batched = 0
                for piece in source.pieces(offset, size):
                    self._out.feed(piece)
                parts.append(padding[size & 511])
            if batched >= _BATCH:
                self._flush()
                batched = 0
        self.entries += count
        parts.append(ustar.END)
        self._flush()

    def _flush(self) -> None:
        self._out.feed(b"".join(self._parts))
        self._parts.clear()

    def _enter(self, path: bytes) -> None:
        """Go to a directory: write the entries of those on the way that are not ignored."""
        scopes = self._scopes
        while scopes[-1][0] and not (path + b"\0").startswith(scopes[-1][0] + b"\0"):
            scopes.pop()
        start = len(scopes[-1][0]) + bool(scopes[-1][0])
        while start <= len(path) and path != scopes[-1][0]:
            end = path.find(b"\0", start)
            end = len(path) if end < 0 else end
            below = path[:end]
            scope = scopes[-1][1].child(path[start:end], path=below)
            scopes.append((below, scope))
            start = end + 1
            if scope.is_excluded:
                self.ignored += 1
                continue
            self.entries += 1
            if self.entries > self._allowed:
                raise bounds.overcrowded(self._limits)
            self._parts.append(ustar.header(_DIRECTORY_MODE, below.replace(b"\0", b"/"), 0))
            if len(self._parts) * 512 >= _BATCH:
                self._flush()
