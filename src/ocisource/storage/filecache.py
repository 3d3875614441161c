"""What the file server knows about files it served: headers ready to send, small bodies too."""

import collections
import dataclasses
import email.utils
from pathlib import Path

from ocisource.storage import integrity, preconditions, reader

MAX_BODY = 256 << 10  # bytes of a file that is kept in memory
MAX_BYTES = 64 << 20  # bytes of all bodies together
MAX_ENTRIES = 16_384  # files

_ENTRY_COST = 1 << 10  # bytes an entry takes besides its body, roughly
_GZIP = (".gz", ".tgz")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One file as it is served while its signature stands.

    ``location`` is the name that was asked for (perhaps a link) on the local disk, ``head`` the
    header lines of a complete answer, ``body`` the bytes of a small file.
    """

    location: Path
    signature: integrity.Signature
    subject: preconditions.Representation
    content_type: str
    head: bytes
    body: bytes | None

    def is_current(self) -> bool:
        """Whether the name still leads to the same unchanged file."""
        try:
            return integrity.Signature.of(self.location.stat()) == self.signature
        except OSError:
            return False


def entry(location: Path, opened: reader.Opened, body: bytes | None, *, now: float) -> Entry:
    """The entry of an open file at the time ``now``, in seconds since the epoch."""
    # RFC 9110, 8.8.2.1: never later than the Date of the answer, whatever a clock or mtime said.
    modified = int(max(0.0, min(opened.stored_at, now)))
    subject = preconditions.Representation(opened.signature.size, f'"{opened.digest}"', modified)
    is_gzip = location.name.endswith(_GZIP)
    content_type = "application/gzip" if is_gzip else "application/octet-stream"
    head = (
        f"Content-Length: {subject.size}\r\nContent-Type: {content_type}\r\n{validators(subject)}"
    )
    return Entry(location, opened.signature, subject, content_type, head.encode(), body)


def validators(subject: preconditions.Representation) -> str:
    """The header lines by which a client recognises the same file again."""
    modified = email.utils.formatdate(subject.last_modified, usegmt=True)
    return (
        f"Accept-Ranges: bytes\r\nETag: {subject.etag}\r\nLast-Modified: {modified}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
    )


class Cache:
    """Entries by name, least recently used ones given up first."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries: collections.OrderedDict[str, Entry] = collections.OrderedDict()
        self.size = 0

    def get(self, name: str) -> Entry | None:
        """The entry if it is there and its file has not changed."""
        found = self._entries.get(name)
        if found is None:
            return None
        if not found.is_current():
            self.drop(name)
            return None
        self._entries.move_to_end(name)
        return found

    def put(self, name: str, found: Entry) -> None:
        """Keep an entry, giving up others to make room."""
        self.drop(name)
        self._entries[name] = found
        self.size += _cost(found)
        while self.size > self._max_bytes or len(self._entries) > self._max_entries:
            _, oldest = self._entries.popitem(last=False)
            self.size -= _cost(oldest)

    def drop(self, name: str) -> None:
        """Forget an entry."""
        if (found := self._entries.pop(name, None)) is not None:
            self.size -= _cost(found)


def _cost(found: Entry) -> int:
    return _ENTRY_COST + len(found.body or b"")
