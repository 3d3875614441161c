"""Bounds on what a layer may unpack to, and the errors that name the flag which raises each.

A layer comes from somebody else. What it costs is known only while it unpacks, so each bound is
judged as early as the bytes allow: a size when the header states it, before its data is read.
"""

import dataclasses

from ocisource import errors

UNPACKED_BYTES = 4 << 30  # bytes; a tree of manifests is a thousand times smaller
ENTRIES = 1_000_000  # files and directories; the largest known source trees have half of that
RATIO = 250  # unpacked bytes for one packed byte; text reaches about 30
RATIO_FREE_BYTES = 64 << 20  # bytes; below this a high ratio costs nothing worth refusing
NAME_BYTES = 4096  # bytes; Linux's PATH_MAX: a longer name could not be unpacked by anybody
_SHOWN_NAME_BYTES = 200  # bytes of a name that an error's text quotes


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may unpack to. A bound that is not above 0 is no bound.

    ``unpacked_bytes`` bounds the tar stream, headers included, both the one that comes in and the
    one that goes out; ``entries`` the files, directories and links in it, and likewise the
    directories written, those included that exist only as parents; ``ratio`` the unpacked bytes
    for one byte of the blob, once more than 64 MiB came out; ``name_bytes`` the length of a path.
    """

    unpacked_bytes: int = UNPACKED_BYTES
    entries: int = ENTRIES
    ratio: int = RATIO
    name_bytes: int = NAME_BYTES


def bound(value: int) -> int:
    """The bound itself, or one that nothing reaches if ``value`` is not above 0."""
    return value if value > 0 else 1 << 62


def oversized(limits: Limits, name: bytes | None = None) -> errors.LimitExceededError:
    """The error for a tar stream longer than allowed; ``name`` is the entry that would pass it."""
    what = f"tar {quote(name)}" if name is not None else "tar stream"
    return errors.LimitExceededError(
        f"{what} is bigger than max archive size of {limits.unpacked_bytes} bytes; "
        "raise --max-unpacked-size to allow it"
    )


def check_packed(limits: Limits, size: int) -> None:
    """Refuse a layer whose packed ``size`` alone is more than it may unpack to.

    A registry may state any size, and would fill the disk with it; raises LimitExceededError.
    """
    if size > bound(limits.unpacked_bytes):
        raise errors.LimitExceededError(
            f"the layer of {size} bytes is bigger than max archive size of "
            f"{limits.unpacked_bytes} bytes; raise --max-unpacked-size to allow it"
        )


def overcrowded(limits: Limits) -> errors.LimitExceededError:
    """The error for too many entries."""
    return errors.LimitExceededError(
        f"tar holds more than {limits.entries} entries; raise --max-entries to allow it"
    )


def overstretched(limits: Limits) -> errors.LimitExceededError:
    """The error for a blob that unpacks to suspiciously much."""
    return errors.LimitExceededError(
        f"the layer unpacks to more than {limits.ratio} times its size; "
        "raise --max-ratio to allow it"
    )


def overlong(limits: Limits, name: bytes) -> errors.LimitExceededError:
    """The error for a name longer than allowed."""
    return errors.LimitExceededError(
        f"tar contains a name of {len(name)} bytes, more than {limits.name_bytes}: "
        f"{quote(name)}; raise --max-name-length to allow it"
    )


def quote(name: bytes) -> str:
    """A name as an error's text shows it: quoted, escaped, cut after 200 bytes."""
    shown = name[:_SHOWN_NAME_BYTES].decode("utf-8", "backslashreplace")
    inner = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    tail = "..." if len(name) > _SHOWN_NAME_BYTES else ""
    return f'"{inner}{tail}"'
