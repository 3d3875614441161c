"""Content by digest: each content once on disk, however many names link to it.

``{own}/blobs/sha256/{first two digits}/{hex}``. A blob whose only name is this one (link count 1)
serves nobody and may go. Not thread-safe by itself: the store holds its lock.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ocisource import digest as digests
from ocisource.storage import integrity, paths, staging

_SPREAD = 2  # hex digits that name the folder of a blob
_FOLDER_MODE = 0o700
# No second name is possible: another file system, too many links, or a kind without links.
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class Blobs:
    """The folder of blobs; methods raise OSError."""

    def __init__(self, folder: Path, ledger: integrity.Ledger) -> None:
        self._folder = folder / digests.ALGORITHM
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self._ledger = ledger

    def location(self, wanted: digests.Digest) -> Path:
        """Where the blob is, or would be."""
        return self._folder / wanted.hex[:_SPREAD] / wanted.hex

    def proven(self, wanted: digests.Digest) -> integrity.Signature | None:
        """The signature of a blob that was just read and is what its name says, else None."""
        try:
            descriptor = os.open(self.location(wanted), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if self._ledger.read(descriptor) != wanted:
                return None
            return integrity.Signature.of(os.fstat(descriptor))
        except OSError:
            return None  # unreadable: replaced like one with other bytes
        finally:
            os.close(descriptor)

    def is_still(self, wanted: digests.Digest, proven: integrity.Signature) -> bool:
        """Whether the blob is the inode that was proven, unwritten since.

        Its ctime may differ: another object may have been given the same content meanwhile.
        """
        try:
            now = integrity.Signature.of(os.lstat(self.location(wanted)))
        except FileNotFoundError:
            return False
        return now == proven._replace(ctime_ns=now.ctime_ns)

    def put(self, staged: staging.StagedBlob) -> None:
        """Take the staged file as the blob, in place of one that is bad or has no link left.

        The name needs no fsync of its folder before it is the only one (see secure()): if a power
        cut takes it, the content lives on under the names that link to it, and is merely stored
        twice the next time.
        """
        location = self.location(staged.digest)
        location.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        before = integrity.Signature.of(os.lstat(staged.location))
        staged.location.replace(location)
        after = integrity.Signature.of(os.lstat(location))
        self._ledger.learn(before, staged.digest)
        self._ledger.moved(before, after)

    def link(self, wanted: digests.Digest, *, name: str, folder: int) -> bool:
        """Give the blob another name in an open folder.

        False when this blob can have no more links (EMLINK); a copy is made where the folder
        cannot hold links at all.
        """
        location = self.location(wanted)
        before = integrity.Signature.of(os.lstat(location))
        try:
            os.link(location, name, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as exc:
            if exc.errno == errno.EMLINK:
                return False
            if exc.errno not in _NO_LINK:
                raise
            self._copy(location, name=name, folder=folder)
            return True
        self._ledger.moved(before, integrity.Signature.of(os.lstat(location)))
        return True

    def secure(self, wanted: digests.Digest) -> None:
        """Make the blob's name durable, if it has one: the other names are about to go."""
        location = self.location(wanted)
        if location.exists():
            for folder in (location.parent, self._folder):
                paths.flush(folder)

    def _copy(self, location: Path, *, name: str, folder: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            location.open("rb", buffering=0) as source,
            os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb", buffering=0) as target,
        ):
            while block := source.read(integrity.BLOCK):
                view = memoryview(block)
                while view:
                    view = view[target.write(view) :]
            os.fsync(target.fileno())

    def reclaim(self, unwanted: digests.Digest) -> bool:
        """Remove the blob if no other name links to it; True if it was removed."""
        location = self.location(unwanted)
        try:
            result = os.lstat(location)
        except FileNotFoundError:
            return False
        if result.st_nlink > 1:
            return False
        location.unlink()
        self._ledger.forget(integrity.Signature.of(result))
        return True

    def listed(self) -> Iterator[digests.Digest]:
        """Every blob there is, in no particular order; what others left here is none."""
        for spread in self._folder.iterdir():
            if spread.is_dir():
                for location in spread.iterdir():
                    yield digests.Digest(location.name)
