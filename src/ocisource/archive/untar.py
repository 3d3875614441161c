"""Reading tar: from windows of a tar stream to the entries whose headers lie in them.

POSIX.1-1988 ustar, PAX (POSIX.1-2001) ``path`` and ``size``, GNU long names, base-256 numbers, V7
directories (a trailing slash), and checksums summed over signed bytes, as old tars did. Where
readers of tar disagree about an archive (two names for one entry, a lone zero block) it is
refused: what is packed here must be what everybody else would unpack.

In order, for each header: checksum, size, name, then type, so that a bad name is refused even on
an entry that would be left out. Symlinks, hard links and global headers leave no entry and are
counted; devices, FIFOs, sparse files and unknown types are refused.

An entry's place in the order of a walk is its *key*, the cleaned path with NUL for ``/``: keys
compare as bytes the way Go's ``filepath.Walk`` visits a tree.
"""

import struct
from zlib import adler32

from ocisource import errors
from ocisource.archive import headers, pax, sourceignore
from ocisource.archive import limits as bounds

BLOCK = 512  # bytes; tar's unit
_NAME = 100  # bytes; the name field's
FILE, EXECUTABLE, DIRECTORY = 0, 1, 2  # kinds of entries

Entry = tuple[bytes, int, int, int]
"""Key, offset of the data in the stream, kind, bytes of data. A plain tuple: there are many."""

_ZEROS = bytes(BLOCK)
_FIELDS = struct.Struct("100x 8s 16x 12s 12x 8s B 355x")  # mode, size, checksum, type
_ANY_EXECUTE = 0o111
_SLASH, _BACKSLASH = b"/\\"
_SUSPECT_ENDS = b"/."
_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS_PAX, _GLOBAL_PAX = b"LKxXg"
_META = frozenset((_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS_PAX, _GLOBAL_PAX))
_LINKS = {headers.HARD_LINK: "hard link", headers.SYMLINK: "symlink"}
_REFUSED = {
    ord("3"): "character device",
    ord("4"): "block device",
    ord("6"): "FIFO",
    ord("S"): "sparse file",
    ord("M"): "part of a multi-volume archive",
}
_MAX_MODES = 512  # distinct mode fields remembered
_MAX_SUMS = 8192  # distinct checksum fields remembered: headers of one layer are much alike


class Index:
    """Reads the headers in consecutive windows of one tar stream.

    Each window is a multiple of 512 bytes long, but for the last. ``is_ordered`` stays True as
    long as the entries came in the order of a walk, each once. ``ignore_files`` are the entries
    called ``.sourceignore``; ``skipped`` counts what leaves no entry, by kind; ``length`` is what
    was fed, in bytes.
    """

    __slots__ = (
        "_allowed_entries",
        "_allowed_name",
        "_allowed_size",
        "_body",
        "_body_left",
        "_body_size",
        "_body_type",
        "_entries",
        "_has_long_link",
        "_has_zeros",
        "_is_done",
        "_last_key",
        "_limits",
        "_long_name",
        "_modes",
        "_next",
        "_records",
        "_sums",
        "ignore_files",
        "is_ordered",
        "length",
        "skipped",
    )

    def __init__(self, limits: bounds.Limits) -> None:
        self._limits = limits
        self._allowed_size = bounds.bound(limits.unpacked_bytes)
        self._allowed_entries = bounds.bound(limits.entries)
        self._allowed_name = bounds.bound(limits.name_bytes)
        self._next = 0  # where the next header, or the rest of a body, begins
        self._entries = 0
        self._is_done = False
        self._has_zeros = False  # the last block was a zero block
        self._body = bytearray()
        self._body_left = 0  # bytes, padding included
        self._body_size = 0
        self._body_type = 0
        self._long_name: bytes | None = None
        self._has_long_link = False
        self._records: pax.Records | None = None
        self._modes: dict[bytes, int] = {}
        self._sums: dict[bytes, int] = {}
        self._last_key = b""
        self.length = 0
        self.is_ordered = True
        self.ignore_files: list[Entry] = []
        self.skipped: dict[str, int] = {}

    def feed(self, window: bytes) -> list[Entry]:
        """The entries whose headers lie in the next window.

        Raises CorruptArchiveError, UnsafeEntryError or LimitExceededError.
        """
        base = self.length
        self.length = base + len(window)
        found: list[Entry] = []
        try:
            while not self._is_done:
                if self._body_left:
                    if self._next >= self.length:
                        break
                    self._collect(window, base)
                elif self._next + BLOCK <= self.length:
                    self._headers(window, base, found)
                else:
                    break
        except ValueError:  # a digit that is not octal
            raise headers.corrupt("malformed number in a header") from None
        if self._entries > self._allowed_entries:
            raise bounds.overcrowded(self._limits)
        return found

    @property
    def _is_awaited(self) -> bool:
        """Whether the next header must be that of an entry."""
        return self._long_name is not None or self._records is not None or self._has_long_link

    @property
    def is_streamable(self) -> bool:
        """Whether the entries so far came in order, and hold no ignore rules for others."""
        return self.is_ordered and not self.ignore_files

    def finish(self) -> None:
        """Raise CorruptArchiveError unless the stream may end here."""
        is_cut = not self._is_done and self._next != self.length
        if is_cut or self._body_left or self._is_awaited:
            raise headers.corrupt(
                "unexpected EOF" + (" in the end mark" if self._has_zeros else "")
            )

    def _headers(self, window: bytes, base: int, found: list[Entry]) -> None:  # noqa: C901, PLR0912, PLR0915
        """Read headers up to the end of the window, of the archive, or to one with a body.

        This loop is what a layer of many small files costs: it calls nothing it need not call.
        """
        position = self._next - base
        end = len(window) - BLOCK + 1
        modes = self._modes
        sums = self._sums
        last = self._last_key
        append = found.append
        checksum = adler32
        fields = _FIELDS.unpack
        allowed = self._allowed_size - base
        allowed_name = self._allowed_name
        is_plain = not self._is_awaited
        count = 0
        while position < end:
            header = window[position : position + 512]
            # Adler-32's low half is 1 + the sum of bytes modulo 65521, which ASCII cannot reach.
            mode, digits, field, kind = fields(header)
            wanted = sums.get(field) or self._sum(field)
            if checksum(header) & 0xFFFF != wanted or not header.isascii():
                if header == _ZEROS:
                    position += 512
                    if self._has_zeros:
                        self._is_done = True
                        break
                    self._has_zeros = True
                    continue
                if not self._has_zeros:
                    headers.check(header)
            if self._has_zeros:
                raise headers.corrupt("a lone zero block amid the archive")
            plain = digits.rstrip(b" \0")
            size = int(plain, 8) if plain.isdigit() else headers.number(digits)
            file_kind = modes.get(mode)
            if file_kind is None:
                file_kind = self._mode(mode)
            if kind != headers.REGULAR and kind in _META:
                position += 512
                self._begin(kind, size)
                break
            if is_plain and not header[345]:
                name = header.partition(b"\0")[0]
                if len(name) > _NAME:
                    name = header[:_NAME]
            else:
                name, size = self._named(header, size)
                is_plain = True
            if (
                # rpartition: the quickest way to look for two bytes
                not name
                or name[0] == _SLASH
                or name[-1] in _SUSPECT_ENDS
                or name.rpartition(b"./")[1]
                or name.rpartition(b"//")[1]
                or _BACKSLASH in name
            ):
                name, kind = headers.cleaned(name, kind, size)
            if len(name) > allowed_name:
                raise bounds.overlong(self._limits, name)
            count += 1
            position += 512
            offset = position + base
            if kind == headers.REGULAR or kind in headers.FILES:
                position += size + 511 & -512
                if position > allowed:
                    raise bounds.oversized(self._limits, name)
                kind = file_kind
            elif kind == headers.DIRECTORY:
                size = 0
                if not name:
                    continue  # the root, which is always written
                kind = DIRECTORY
            else:
                self._skip(name, kind)
                continue
            key = name.replace(b"/", b"\0")
            if key <= last:
                self.is_ordered = False
            last = key
            entry = (key, offset, kind, size)
            append(entry)
            if key.endswith(b".sourceignore"):
                self._note(entry)
        self._entries += count
        self._last_key = last
        self._next = base + position

    def _named(self, header: bytes, size: int) -> tuple[bytes, int]:
        """Name and size as long names, PAX records and the prefix field have it."""
        name, records = self._long_name, self._records
        self._long_name = self._records = None
        self._has_long_link = False
        if records is not None and records.size is not None:
            size = records.size
        if records is not None and records.path is not None:
            if name is not None:
                raise headers.corrupt("both a GNU long name and a PAX path for one entry")
            name = records.path
        if name is None:
            prefix = headers.prefix(header)
            name = headers.until_nul(header[:_NAME])
            name = prefix + b"/" + name if prefix else name
        return name, size

    def _begin(self, kind: int, size: int) -> None:
        if size > pax.MAX_BODY:
            raise headers.corrupt(f"an extended header of {size} bytes")
        self._body = bytearray()
        self._body_type = kind
        self._body_size = size
        self._body_left = size + 511 & -512
        if not size:
            self._end()

    def _collect(self, window: bytes, base: int) -> None:
        start = self._next - base
        taken = window[start : start + self._body_left]
        self._body += taken
        self._body_left -= len(taken)
        self._next += len(taken)
        if not self._body_left:
            self._end()

    def _end(self) -> None:
        """Take in a body that is complete."""
        body = bytes(self._body[: self._body_size])
        if self._body_type == _LONG_NAME:
            if self._long_name is not None:
                raise headers.corrupt("two GNU long names for one entry")
            self._long_name = headers.until_nul(body)
            if len(self._long_name) == len(body) and any(self._body[len(body) :][:1]):
                raise headers.corrupt("a GNU long name without an end")
        elif self._body_type == _GLOBAL_PAX:
            if self._is_awaited:
                raise headers.corrupt("a global PAX header between an entry and its own")
            pax.parse(body, is_global=True)
            self._count("global header")
        elif self._body_type == _LONG_LINK:
            self._has_long_link = True
        else:
            if self._records is not None:
                raise headers.corrupt("two PAX headers for one entry")
            self._records = pax.parse(body, is_global=False)

    def _sum(self, field: bytes) -> int:
        """What Adler-32's low half must be for a header with this checksum field.

        The field itself counts as eight spaces. -1: it is not written the usual way.
        """
        digits = field[:6]
        wanted = -1
        if digits.isdigit() and not field[6]:
            wanted = int(digits, 8) - 8 * ord(" ") + sum(field) + 1
        if len(self._sums) < _MAX_SUMS:
            self._sums[field] = wanted
        return wanted

    def _mode(self, field: bytes) -> int:
        kind = EXECUTABLE if headers.number(field) & _ANY_EXECUTE else FILE
        if len(self._modes) < _MAX_MODES:
            self._modes[field] = kind
        return kind

    def _skip(self, name: bytes, kind: int) -> None:
        if kind not in _LINKS:
            what = _REFUSED.get(kind, f"type {bytes((kind,))!r}")
            raise errors.UnsafeEntryError(
                f"tar file entry {bounds.quote(name)} contained unsupported file type: {what}"
            )
        self._count(_LINKS[kind])

    def _count(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def _note(self, entry: Entry) -> None:
        if entry[2] != DIRECTORY and entry[0].rpartition(b"\0")[2] == sourceignore.FILE_NAME:
            self.ignore_files.append(entry)
