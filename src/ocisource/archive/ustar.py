r"""Writing tar headers, byte for byte as Go's ``archive/tar`` writes them.

USTAR where it suffices: magic ``ustar\0`` and ``00``, numbers as zero-padded octal and a NUL,
device numbers written as zeros, no owner, the epoch as time. A path over 100 bytes is split at the
last slash that leaves a prefix of at most 155; where that fails, or for other than ASCII, or for
8 GiB and more, a PAX header with the records needed goes before (named ``…/PaxHeaders.0/…``).
"""

import dataclasses
from zlib import adler32

TYPE_FILE, TYPE_DIRECTORY = b"0", b"5"
TYPE_PAX = b"x"
END = bytes(1024)  # two zero blocks, and no padding to a record
PADDING = tuple(bytes(-size % 512) for size in range(512))  # by size modulo 512

_NAME = 100  # bytes
_PREFIX = 155  # bytes
_MAX_SIZE = 1 << 33  # bytes; 11 octal digits
_MAX_TABLED = 1 << 24  # bytes; sizes below are written from tables
# Octal digits, and the sums of their bytes: to format them was half of what a header cost.
_OCTAL = tuple(b"%04o" % value for value in range(1 << 12))
_OCTAL_PAIRS = tuple(b"%02o" % value for value in range(1 << 6))
_SUMS = tuple(sum(digits) for digits in _OCTAL)
_SUM_OFFSET = sum(b"000") - 1
_NO_TIME = b"%011o\0" % 0
_NO_ID = b"%07o\0" % 0


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """What all headers of one type and mode share, and the sum of its bytes."""

    typeflag: bytes
    mode: int
    middles: tuple[bytes, ...]  # what is between name and size, by the length of the name
    tail: bytes
    total: int

    @classmethod
    def of(cls, typeflag: bytes, mode: int) -> "Template":
        """The template for a type and mode; ``mode`` holds permission and set-id bits alone."""
        owner = b"%07o\0" % mode + _NO_ID + _NO_ID
        tail = (typeflag + bytes(100) + b"ustar\x0000" + bytes(64) + _NO_ID + _NO_ID).ljust(
            356, b"\0"
        )
        middles = tuple(bytes(_NAME - length) + owner for length in range(_NAME + 1))
        return cls(typeflag, mode, middles, tail, sum(owner + _NO_TIME + b" " * 8 + tail))


def header(template: Template, name: bytes, size: int) -> bytes:
    """The header block, or blocks, of an entry. ``name`` has no trailing slash and no NUL."""
    if len(name) > _NAME or size >= _MAX_TABLED or not name.isascii():
        return _long_header(template, name, size)
    high, low = size >> 12, size & 0o7777
    # Adler-32's low half is 1 + the sum of bytes, exact for up to 256 of them.
    total = template.total + (adler32(name) & 0xFFFF) + _SUMS[high] + _SUMS[low] + _SUM_OFFSET
    return b"".join(
        (
            name,
            template.middles[len(name)],
            b"000",
            _OCTAL[high],
            _OCTAL[low],
            b"\x0000000000000\0",
            _OCTAL_PAIRS[total >> 12],
            _OCTAL[total & 0o7777],
            b"\0 ",
            template.tail,
        )
    )


def _long_header(template: Template, name: bytes, size: int) -> bytes:
    prefix, base = _split(name)
    is_long = len(name) > _NAME or not name.isascii()
    if size < _MAX_SIZE and (prefix or not is_long):
        return _block(template, base, size, prefix=prefix)
    records = _record(b"path", name) if is_long else b""
    if size >= _MAX_SIZE:
        records += _record(b"size", b"%d" % size)
    stated = size if size < _MAX_SIZE else 0
    return _pax_header(name, records) + _block(template, _field(_ascii(name)), stated)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name for the two fields of USTAR; an empty prefix if they cannot hold it."""
    if len(name) <= _NAME or not name.isascii():
        return b"", name
    slash = name.rfind(b"/", 0, _PREFIX + 1)
    rest = len(name) - slash - 1
    if slash <= 0 or not 0 < rest <= _NAME:
        return b"", name
    return name[:slash], name[slash + 1 :]


def _record(keyword: bytes, value: bytes) -> bytes:
    r"""``length keyword=value\n``, where length counts its own digits too."""
    size = len(keyword) + len(value) + 3
    length = size + len(str(size))
    if len(str(length)) != len(str(size)):
        length = size + len(str(length))
    return b"%d %b=%b\n" % (length, keyword, value)


def _pax_header(name: bytes, records: bytes) -> bytes:
    directory, slash, base = name.rpartition(b"/")
    shown = _ascii(directory + slash + b"PaxHeaders.0/" + base)[:_NAME].rstrip(b"/")
    block = bytearray(512)
    block[: len(shown)] = shown
    block[100:124] = _NO_ID * 3
    block[124:136] = b"%011o\0" % len(records)
    block[136:148] = _NO_TIME
    block[148:156] = b" " * 8
    block[156:157] = TYPE_PAX
    block[257:265] = b"ustar\x0000"  # and NULs for the device numbers, unlike other headers
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + records + PADDING[len(records) % 512]


def _ascii(name: bytes) -> bytes:
    return name.decode("ascii", "ignore").encode()


def _field(name: bytes) -> bytes:
    """A name cut to its field; a cut that ends in a slash would make readers see a directory."""
    if len(name) > _NAME and name[_NAME - 1 : _NAME] == b"/":
        return name[: _NAME - 1].rstrip(b"/")
    return name[:_NAME]


def _block(template: Template, name: bytes, size: int, *, prefix: bytes = b"") -> bytes:
    digits = b"%011o\0" % size
    tail = template.tail
    if prefix:
        tail = tail[:189] + prefix.ljust(_PREFIX, b"\0") + tail[344:]
    total = template.total + sum(name) + sum(digits) + sum(prefix)
    middle = template.middles[len(name)]
    return b"%b%b%b%b%06o\0 %b" % (name, middle, digits, _NO_TIME, total, tail)
