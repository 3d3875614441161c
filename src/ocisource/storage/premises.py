"""What the parts of a local store share: its folders, its contents, its index, its lock."""

import dataclasses
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import blobs, index, integrity, leftovers, paths

_FOLDER_MODE = 0o700
_INDEX = "index.db"


@dataclasses.dataclass(frozen=True, slots=True)
class Premises:
    """One store on a local disk.

    ``lock`` is held while names, contents and records change; nothing slow happens under it.
    ``token`` marks the temporary files of this process, ``clock`` tells seconds since the epoch.
    """

    root: Path
    blobs: blobs.Blobs
    index: index.Index
    ledger: integrity.Ledger
    token: str
    clock: Callable[[], float]
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)

    @property
    def own(self) -> Path:
        """The folder that is not served."""
        return self.root / paths.OWN

    @property
    def tmp(self) -> Path:
        """Where files are written before they have a name."""
        return self.own / leftovers.TMP

    @property
    def trash(self) -> Path:
        """Where folders go that are being removed."""
        return self.own / leftovers.TRASH

    def reclaim(self, content: digests.Digest) -> bool:
        """Remove content that no name links to, unless a status may still name it."""
        with self.lock:
            return content not in self.index.wanted() and self.blobs.reclaim(content)


def opened(
    root: Path, *, token: str, clock: Callable[[], float], wall_ns: Callable[[], int]
) -> Premises:
    """The premises below ``root``, made if needed.

    Raises OSError, sqlite3.Error, and StorageError for a link in place of a folder.
    """
    own = root / paths.OWN
    for folder in (own, own / leftovers.TMP, own / leftovers.TRASH, own / "blobs"):
        if folder.is_symlink():
            # What lies in these is swept: it must be nobody else's.
            raise errors.StorageError(
                f"'{folder}' is a link: remove it, and link or mount the whole folder '{root}'"
            )
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    ledger = integrity.Ledger(wall_ns=wall_ns)
    contents = blobs.Blobs(own / "blobs", ledger)
    for folder in (own / "blobs", own, root):
        paths.flush(folder)
    return Premises(root, contents, _index(own, token), ledger, token, clock)


def _index(own: Path, token: str) -> index.Index:
    try:
        return index.Index(own / _INDEX)
    except sqlite3.OperationalError:
        # The disk may be full of what a crash left, and without the index it would stay full.
        if not _is_cleared(own, token):
            raise
    return index.Index(own / _INDEX)


def _is_cleared(own: Path, token: str) -> bool:
    """Whether there were leftovers to remove, and nobody else who may be at work with them."""
    try:
        descriptor = leftovers.claim(own)
    except (errors.StorageError, OSError):
        return False
    try:
        return leftovers.clear(own, token=token) > 0
    finally:
        os.close(descriptor)
