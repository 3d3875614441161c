"""The fields of a tar header, and the names that come out of them.

What cannot be read raises CorruptArchiveError, a name that must not be used UnsafeEntryError.
"""

from ocisource import errors
from ocisource.archive import limits as bounds

V7, REGULAR, HARD_LINK, SYMLINK, DIRECTORY, CONTIGUOUS = 0, *b"01257"  # type flags
FILES = frozenset((V7, REGULAR, CONTIGUOUS))

_USTAR = b"ustar\0"
_GNU = b"ustar "
_STAR_MARK = b"tar\0"  # Joerg Schilling's star: a shorter prefix field, times after it
_HIGH_BIT = 0x80
_MAX_NUMBER = 1 << 63


def corrupt(cause: str) -> errors.CorruptArchiveError:
    """The error for a damaged tar, with Flux's words before the cause."""
    return errors.CorruptArchiveError(f"tar error: {cause}")


def until_nul(field: bytes) -> bytes:
    """A text field up to its first NUL."""
    return field.partition(b"\0")[0]


def prefix(header: bytes) -> bytes:
    """What stands before the name: the prefix field, where the header's format has one.

    GNU's has a time there. Go's writer before 1.8 mixed the two up; whether such a header has a
    prefix, or one without any known magic, is something readers disagree about.
    """
    if header[257:263] == _USTAR:
        return until_nul(header[345 : 476 if header[508:] == _STAR_MARK else 500])
    if header[345]:
        if header[257:263] != _GNU:
            raise corrupt("a name's prefix in a header of unknown format")
        if not header[345] & _HIGH_BIT:
            number(header[345:357])
    return b""


def check(header: bytes) -> None:
    """Raise unless a header's checksum holds by the rules of older writers of tar.

    Blanks and NULs around the digits, and sums over signed bytes.
    """
    stated = number(header[148:156])
    unsigned = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    high = sum(byte >= _HIGH_BIT for byte in header[:148] + header[156:])
    if stated not in (unsigned, unsigned - 0x100 * high):
        raise corrupt("invalid tar header")


def number(field: bytes) -> int:
    """A number in octal digits, or in base 256 if the top bit is set (GNU tar)."""
    if field[0] & _HIGH_BIT:
        value = int.from_bytes(field[1:], "big")
        if field[0] != _HIGH_BIT or value >= _MAX_NUMBER:
            raise corrupt("number out of range in a header")
        return value
    digits = until_nul(field.strip(b" \0")).rstrip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise corrupt("malformed number in a header")
    return int(digits, 8)


def cleaned(name: bytes, kind: int, size: int) -> tuple[bytes, int]:
    """A name without empty elements and dots, and the kind that a trailing slash makes.

    Raises UnsafeEntryError for names that are empty, absolute, hold a backslash or climb.
    """
    elements = name.split(b"/")
    if (
        not name
        or name.startswith(b"/")
        or b"\\" in name
        or b"../" in name  # also where an element only ends in two dots, as Flux refuses it
        or b".." in elements
    ):
        raise errors.UnsafeEntryError(f"tar contained invalid name error {bounds.quote(name)}")
    if name.endswith(b"/") and kind in FILES:
        if size and kind != V7:
            raise errors.UnsafeEntryError(
                f"tar file entry {bounds.quote(name)} is a file with a directory's name"
            )
        kind = DIRECTORY
    clean = b"/".join(element for element in elements if element not in (b"", b"."))
    if not clean and kind in FILES:
        raise errors.UnsafeEntryError(f"tar contained invalid name error {bounds.quote(name)}")
    return clean, kind
