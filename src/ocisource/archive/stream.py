"""A tar stream read once, in its own order, with no more of it held than one window."""

from collections.abc import Iterator

from ocisource import errors
from ocisource.archive import spool, untar


class NotStreamableError(Exception):
    """The stream is not in order, or holds ignore rules; it must be held before it is used."""


class Tape:
    """The windows of a tar stream, wound forward by whoever asks for entries or their data.

    ``held`` are windows that ``index`` has read already and whose entries the caller has.
    """

    __slots__ = (
        "_base",
        "_fresh",
        "_held",
        "_index",
        "_is_order_needed",
        "_rest",
        "_view",
        "_window",
    )

    def __init__(
        self,
        windows: Iterator[bytes],
        index: untar.Index,
        *,
        is_order_needed: bool,
        held: list[bytes] | None = None,
    ) -> None:
        self._rest = windows
        self._index = index
        self._held = (held or [])[::-1]
        self._window = self._held.pop() if self._held else b""
        self._view = memoryview(self._window)
        self._base = 0  # of the window in the stream
        self._fresh: list[untar.Entry] = []
        self._is_order_needed = is_order_needed

    def entries(self) -> Iterator[untar.Entry]:
        """The entries of all windows but the held ones, as they are read.

        Raises what ``untar.Index`` raises, and with ``is_order_needed`` NotStreamableError as soon
        as the entries are not in the order of a walk, or one is an ignore file.
        """
        # Whoever fetched data winds too: there may be entries before the first turn, and after
        # any batch.
        while self._fresh or self._wind():
            batch, self._fresh = self._fresh, []
            yield from batch
        self._index.finish()

    def _wind(self) -> bool:
        """Go to the next window; False at the end of the stream."""
        self._base += len(self._window)
        is_read = bool(self._held)
        self._window = self._held.pop() if is_read else next(self._rest, b"")
        self._view = memoryview(self._window)
        if is_read or not self._window:
            return is_read
        self._fresh = self._index.feed(self._window)
        if self._is_order_needed and not self._index.is_streamable:
            raise NotStreamableError
        return True

    def header(self, offset: int) -> bytes:
        """The header of the entry given last, whose data begins at ``offset``."""
        start = offset - untar.BLOCK - self._base
        return self._window[start : start + untar.BLOCK]

    def data(self, offset: int, size: int) -> bytes | memoryview:
        """At most spool.SMALL bytes, not before those asked for last."""
        start = offset - self._base
        end = start + size
        if end > len(self._window):
            return b"".join(self.pieces(offset, size))
        if size > spool.COPIED:
            return self._view[start:end]
        return self._window[start:end]

    def pieces(
        self,
        offset: int,
        size: int,
        *,
        first: int = 0,  # noqa: ARG002 - windows come as they are
    ) -> Iterator[memoryview]:
        """Bytes not before those asked for last, in pieces."""
        while size:
            start = offset - self._base
            if start >= len(self._window):
                if not self._wind():
                    raise errors.CorruptArchiveError("tar error: unexpected EOF")
                continue
            piece = self._view[start : start + size]
            offset += len(piece)
            size -= len(piece)
            yield piece
