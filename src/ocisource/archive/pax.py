r"""The records of a PAX extended header.

``record ::= length " " keyword "=" value "\n"`` where length counts the whole record
(POSIX.1-2017, pax, "pax Extended Header"). Only ``path`` and ``size`` mean something here; records
that say the file is sparse are refused: its content could not be told without expanding it.
"""

import dataclasses

from ocisource import errors

MAX_BODY = 1 << 20  # bytes of one extended header or long name, as Go's archive/tar allows
_MAX_DIGITS = 20  # of a record's length or of a size
_SPARSE = b"GNU.sparse."
_NEWLINE = 0x0A


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """What an extended header says about the next entry; None where it says nothing."""

    path: bytes | None = None
    size: int | None = None


def parse(body: bytes, *, is_global: bool) -> Records:
    """Read the records of an extended header.

    Raises CorruptArchiveError for a malformed one, for sparse files, and for a global header that
    would rename or resize the entries after it, which readers of tar do not agree about.
    """
    path: bytes | None = None
    size: int | None = None
    position = 0
    while position < len(body):
        keyword, value, position = _record(body, position)
        if keyword.startswith(_SPARSE):
            raise errors.CorruptArchiveError("tar error: sparse files are not supported")
        if keyword not in (b"path", b"size") or not value:
            continue
        if is_global:
            raise errors.CorruptArchiveError(
                f"tar error: a global PAX header sets the {keyword.decode()} of all entries"
            )
        if keyword == b"path":
            path = value
        else:
            size = _size(value)
    if path is not None and b"\0" in path:
        raise errors.CorruptArchiveError("tar error: NUL in the path of a PAX header")
    return Records(path, size)


def _record(body: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Keyword, value and the position after the record."""
    space = body.find(b" ", position, position + _MAX_DIGITS)
    digits = body[position:space]
    if space > position and digits.isdigit():
        end = position + int(digits)
        keyword, equals, value = body[space + 1 : end - 1].partition(b"=")
        is_whole = space + 1 < end <= len(body) and body[end - 1] == _NEWLINE
        if is_whole and equals and keyword and b"\0" not in keyword:
            return keyword, value, end
    raise errors.CorruptArchiveError("tar error: malformed PAX header")


def _size(value: bytes) -> int:
    if not value.isdigit() or len(value) > _MAX_DIGITS or int(value) >= 1 << 63:
        raise errors.CorruptArchiveError("tar error: malformed size in a PAX header")
    return int(value)
