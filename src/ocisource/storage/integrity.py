"""What is known about the bytes behind an inode.

A file is read and hashed once; after that its stat signature (size, mtime, ctime, inode) says
whether it can have changed. What was learnt is kept in memory only, so that a new process reads
everything once again.

A signature alone proves nothing while the file is younger than the kernel's clock tick: a second
write within the same tick leaves the same times. Such knowledge is not *settled* and is checked
by hashing again.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ocisource import digest as digests

BLOCK = 1 << 20  # bytes read at once while hashing
_MAX_KNOWN = 1 << 18  # files remembered; one given up is merely read once more
_TICK = 20_000_000  # ns; twice the coarsest kernel clock (HZ=100)


class Signature(NamedTuple):
    """What stat(2) tells about a file's content."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> "Signature":
        """The signature in a stat result."""
        return cls(
            result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns, result.st_ctime_ns
        )

    def is_settled(self, now_ns: int) -> bool:
        """Whether a later change must show in the signature."""
        return now_ns - max(self.mtime_ns, self.ctime_ns) > _TICK


class _Known(NamedTuple):
    signature: Signature
    digest: digests.Digest
    is_settled: bool


class Ledger:
    """Digests of inodes whose signature has not changed since they were read. Thread-safe."""

    def __init__(self, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._known: dict[tuple[int, int], _Known] = {}
        self._lock = threading.Lock()

    def digest_of(self, descriptor: int) -> digests.Digest:
        """The digest of an open file, read again only when its signature does not vouch for it.

        Raises OSError.
        """
        known = self.recall(descriptor)
        return known if known is not None else self.read(descriptor)

    def recall(self, descriptor: int) -> digests.Digest | None:
        """The digest if the signature vouches for it, without reading the file."""
        return self.vouched(os.fstat(descriptor))

    def vouched(self, result: os.stat_result) -> digests.Digest | None:
        """The digest of the file with this stat result, if its signature vouches for it."""
        signature = Signature.of(result)
        known = self._known.get((signature.device, signature.inode))
        if known is None or not known.is_settled or known.signature != signature:
            return None
        return known.digest

    def read(
        self, descriptor: int, *, on_block: Callable[[int], object] = lambda _size: None
    ) -> digests.Digest:
        """Read the whole file and remember its digest; raises OSError.

        ``on_block`` is told how many bytes each block has; what it raises ends the reading.
        """
        before = Signature.of(os.fstat(descriptor))
        found = hash_descriptor(descriptor, on_block=on_block)
        # Another name given to the inode meanwhile changes ctime: the bytes read are still what
        # they were, but the signature cannot vouch for them.
        if Signature.of(os.fstat(descriptor)) == before:
            self.learn(before, found)
        return found

    def learn(self, signature: Signature, found: digests.Digest) -> None:
        """Remember what was read from a file with this signature."""
        known = _Known(signature, found, signature.is_settled(self._wall_ns()))
        with self._lock:
            self._known[signature.device, signature.inode] = known
            if len(self._known) > _MAX_KNOWN:
                del self._known[next(iter(self._known))]

    def moved(self, before: Signature, after: Signature) -> None:
        """The store itself linked or unlinked the inode: that changes ctime, not the content."""
        with self._lock:
            known = self._known.get((before.device, before.inode))
            if known is not None and known.signature == before:
                settled = known.is_settled and after.is_settled(self._wall_ns())
                self._known[after.device, after.inode] = _Known(after, known.digest, settled)

    def forget(self, signature: Signature) -> None:
        """The inode is gone."""
        with self._lock:
            self._known.pop((signature.device, signature.inode), None)


def hash_descriptor(
    descriptor: int, *, on_block: Callable[[int], object] = lambda _size: None
) -> digests.Digest:
    """Digest of an open file from its first to its last byte; raises OSError."""
    hasher = digests.Hasher()
    position = 0
    while block := os.pread(descriptor, BLOCK, position):
        hasher.update(block)
        position += len(block)
        on_block(len(block))
    return hasher.digest
