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


class Data(Protocol):
    """Where the data of entries is, by their offset in the layer's tar stream."""

    def data(self, offset: int, size: int) -> bytes | memoryview:
        """At most spool.SMALL bytes."""
        ...

    def pieces(self, offset: int, size: int, *, first: int) -> Iterator[spool.Piece]:
        """More than that, in pieces; one that ends ``first`` bytes on spares a copy."""
        ...


class Tree:
    """Writes a tree's tar stream into a packer; ``entries`` and ``ignored`` count what came."""

    __slots__ = ("_allowed", "_limits", "_out", "_pending", "_scopes", "entries", "ignored")

    def __init__(
        self, out: packer.Packer, *, rules: gitignore.Rules, limits: bounds.Limits
    ) -> None:
        self._out = out
        self._limits = limits
        self._allowed = bounds.bound(limits.entries)
        self._scopes = [(b"", rules.root())]  # directories from the root to the current one
        self._pending = 0  # bytes in the packer's parts
        self.entries = 0
        self.ignored = 0

    def write(self, entries: Iterable[untar.Entry], source: Data) -> None:
        """Write the root, all entries, which are in the order of a walk, and the archive's end.

        Raises LimitExceededError, UnsafeEntryError, and what the packer and ``source`` raise.
        """
        self._put(ustar.header(_DIRECTORY_MODE, b".", 0))
        self.entries = 1
        self._files(entries, source)
        self._put(ustar.END)

    def _files(self, entries: Iterable[untar.Entry], source: Data) -> None:
        """Write the entries. Like untar's loop, this one is what many small files cost."""
        append = self._out.parts.append
        pending = self._pending
        directory = last_file = b""
        is_ignored = self._scopes[0][1].tester()
        read = source.data
        header = ustar.header
        padding = ustar.PADDING
        templates = _FILE_MODES
        is_directory, small, full = untar.DIRECTORY, spool.SMALL, packer.BLOCK
        count = ignored = 0
        for key, offset, kind, size in entries:
            above, _, name = key.rpartition(b"\0")
            if kind == is_directory:
                above = key
            if above != directory:
                # In this order nothing can stand between a file and what lies "below" it.
                if last_file and (above + b"\0").startswith(last_file + b"\0"):
                    raise arrange.conflict(last_file)
                self._pending = pending
                self._enter(above)
                pending = self._pending
                directory = above
                is_ignored = self._scopes[-1][1].tester()
            if kind == is_directory:
                continue
            last_file = key
            if is_ignored(name):
                ignored += 1
                self._out.heed()  # nothing is written: no block will ask
                continue
            count += 1
            head = header(templates[kind], key.replace(b"\0", b"/"), size)
            append(head)
            pending += len(head)
            if size <= small:
                append(read(offset, size))
            else:
                for piece in source.pieces(offset, size, first=full - pending):
                    pending = self._out.put(piece, pending)
                pending -= size
            append(padding[size & 511])
            pending += size + 511 & -512
            if pending >= full:
                pending = self._out.cut(pending)
        self._pending = pending
        self.entries += count
        self.ignored += ignored

    def _put(self, data: bytes) -> None:
        self._pending = self._out.put(data, self._pending)

    def _enter(self, path: bytes) -> None:
        """Go to a directory: write the entries of those on the way that are not ignored."""
        scopes = self._scopes
        while scopes[-1][0] and not (path + b"\0").startswith(scopes[-1][0] + b"\0"):
            scopes.pop()
        above, scope = scopes[-1]
        end = len(above)
        while end < len(path):
            start = end + 1 if end else 0
            end = path.find(b"\0", start)
            end = end if end >= 0 else len(path)
            below = path[:end]
            self._out.heed()  # ten thousand patterns may look at each of two thousand directories
            scope = scope.child(path[start:end], path=below)
            scopes.append((below, scope))
            if scope.is_excluded:
                self.ignored += 1
                continue
            self.entries += 1
            if self.entries > self._allowed:
                raise bounds.overcrowded(self._limits)
            self._put(ustar.header(_DIRECTORY_MODE, below.replace(b"\0", b"/"), 0))
