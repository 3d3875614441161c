"""The store of artifacts: an interface, and its implementation in a local directory.

Layout below the root (Flux's, plus one folder of our own)::

    ocirepository/{namespace}/{name}/{hex}.tar.gz   what is served
    ocirepository/{namespace}/{name}/latest.tar.gz  a relative link to the newest of them
    .ocisource/blobs/sha256/{ab}/{hex}              each content once, linked to from above
    .ocisource/tmp, .ocisource/trash                on the way in, on the way out
    .ocisource/index.db                             times and tar digests

A file appears under its name complete and durable or not at all: temporary file, fsync, hard link,
rename, fsync of the folder. All methods block and are thread-safe; none may run on an event loop.
All raise StorageError, also for a path that is not a name inside the store.
"""

import contextlib
import enum
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import (
    blobs,
    failures,
    gc,
    index,
    integrity,
    paths,
    reader,
    staging,
    upkeep,
)

StoredFile = index.StoredFile

_FOLDERS = ("tmp", "trash")
_FOLDER_MODE = 0o700
# The system is short of something: that says nothing about the file.
_TRANSIENT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


class Health(enum.Enum):
    """What check() found."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"


class Store(Protocol):
    """Where artifacts are kept; LocalStore says precisely what each method means."""

    def stage(self) -> staging.Stage:
        """A place for new bytes."""

    def publish(
        self, staged: staging.StagedBlob, *, path: str, tar_digest: digests.Digest | None
    ) -> StoredFile:
        """Give staged bytes their name."""

    def check(self, path: str, wanted: digests.Digest) -> Health:
        """Whether a file still holds the bytes it should."""

    def stored(self, path: str) -> StoredFile | None:
        """What is remembered of a path."""

    def files(self, folder: str) -> tuple[StoredFile, ...]:
        """What is remembered of a folder."""

    def open(self, path: str) -> BinaryIO:
        """A file for reading."""

    def make_folder(self, folder: str) -> None:
        """Create a folder."""

    def point_latest(self, folder: str, path: str) -> None:
        """Let the folder's latest link lead to a file."""

    def remove(self, path: str) -> None:
        """Remove one file."""

    def collect(self, folder: str, *, current: str, ttl: float, records: int) -> tuple[str, ...]:
        """Delete what retention no longer covers."""

    def remove_all(self, folder: str) -> bool:
        """Remove a folder."""

    def sweep(self) -> int:
        """Remove what a crash left."""


class LocalStore:
    """A store in a local directory. ``clock`` tells seconds since the epoch."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open the store; raises StorageError unless ``root`` is a writable directory."""
        if not root.is_dir():
            raise errors.StorageError(f"invalid dir path: {root}")
        self.root = root
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        own = root / paths.OWN
        with failures.reported(f"failed to open the store '{root}'"):
            for folder in _FOLDERS:
                (own / folder).mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            own.chmod(_FOLDER_MODE)
            self._ledger = integrity.Ledger(wall_ns=wall_ns)
            self._blobs = blobs.Blobs(own / "blobs", self._ledger)
            self._index = index.Index(own / "index.db")
        self._own = own
        self.reader = reader.Reader(root, records=self._index, ledger=self._ledger, wall_ns=wall_ns)
        self._upkeep = upkeep.Upkeep(
            root, content=self._blobs, records=self._index, ledger=self._ledger, lock=self._lock
        )

    def close(self) -> None:
        """Let go of the index and of the claim that sweep() laid on the store."""
        self._index.close()
        self._upkeep.close()

    def stage(self) -> staging.Stage:
        """A place for new bytes: a context manager with write() and finish()."""
        return staging.Stage(self._own / "tmp")

    def make_folder(self, folder: str) -> None:
        """Create a folder; publish() does so too, this tells early and apart when it fails."""
        with (
            failures.reported(f"failed to create '{folder}'"),
            paths.folder(self.root, folder, is_made=True),
        ):
            pass

    def publish(
        self, staged: staging.StagedBlob, *, path: str, tar_digest: digests.Digest | None
    ) -> StoredFile:
        """Give staged bytes their name, in place of what stood there.

        Content the store already holds is read again and linked to; if it went bad, the staged
        bytes replace it. If this fails, what stood at ``path`` stands there still.
        """
        folder, name = paths.divide(path)
        with failures.reported(f"failed to store '{path}'"), contextlib.ExitStack() as opened:
            proven = self._blobs.proven(staged.digest)  # slow, so before the lock
            with self._lock:
                if proven is None or not self._blobs.is_still(staged.digest, proven):
                    self._blobs.put(staged)
                descriptor = opened.enter_context(paths.folder(self.root, folder, is_made=True))
                file = StoredFile(path, staged.digest, staged.size, tar_digest, self._clock())
                self._place(file, staged=staged, name=name, folder=descriptor)
            os.fsync(descriptor)
        staged.location.unlink(missing_ok=True)
        return file

    def _place(
        self, file: StoredFile, *, staged: staging.StagedBlob | None, name: str, folder: int
    ) -> None:
        """Link the content under its name and write the record: both or neither."""
        old = self._index.get(file.path)
        if old is not None and old.digest != file.digest:
            # Until somebody confirms the new content, a status may still name the old one.
            self._index.replacing(file.path, old=old.digest, new=file.digest)
        with _spare_names(folder) as (fresh, backup):
            if not self._blobs.link(file.digest, name=fresh, folder=folder):
                if staged is None or not staged.location.exists():
                    raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
                self._blobs.put(staged)
                self._blobs.link(file.digest, name=fresh, folder=folder)
            has_backup = _is_linked(name, backup, folder)
            try:
                with self._index.transaction():
                    self._index.put(file)
                    os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                if has_backup:
                    os.replace(backup, name, src_dir_fd=folder, dst_dir_fd=folder)
                raise
        self._blobs.reclaim(file.digest)  # it stands alone where the folder cannot hold links

    def check(self, path: str, wanted: digests.Digest) -> Health:
        """Whether the file at ``path`` is there and holds the bytes of ``wanted``.

        Costs a stat when its signature has not changed since this process read it last, else a
        full read. A replacement that a crash cut short is undone if ``wanted`` is the old content.
        """
        try:
            found, size = self._found(path)
        except FileNotFoundError:
            return Health.MISSING
        except OSError as exc:
            if exc.errno in _TRANSIENT:
                raise errors.StorageError(
                    f"failed to read '{path}': {failures.cause(exc)}"
                ) from exc
            return Health.ALTERED
        with failures.reported(f"failed to check '{path}'"):
            if found != wanted and not self._restored(path, wanted=wanted, found=found):
                return Health.ALTERED
            self._confirm(path, wanted=wanted, size=size)
        return Health.OK

    def _found(self, path: str) -> tuple[digests.Digest, int]:
        descriptor = paths.open_file(self.root, path)
        try:
            return self._ledger.digest_of(descriptor), os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _confirm(self, path: str, *, wanted: digests.Digest, size: int) -> None:
        """The file at ``path`` is what a status names: write its record, end its replacements."""
        record = self._index.get(path)
        replaced = self._index.replacements(path)
        if record is not None and record.digest == wanted and not replaced:
            return
        with self._lock:
            if record is None or record.digest != wanted:
                self._index.put(StoredFile(path, wanted, size, None, self._clock()))
            self._index.settled(path)
            for pair in replaced:
                for content in pair:
                    self._reclaim(content)

    def _restored(self, path: str, *, wanted: digests.Digest, found: digests.Digest) -> bool:
        replaced = self._index.replacements(path)
        if wanted not in {old for old, _ in replaced} or found not in {new for _, new in replaced}:
            return False
        folder, name = paths.divide(path)
        with self._lock:
            proven = self._blobs.proven(wanted)
            if proven is None:
                return False
            with paths.folder(self.root, folder) as descriptor:
                file = StoredFile(path, wanted, proven.size, None, self._clock())
                self._place(file, staged=None, name=name, folder=descriptor)
                os.fsync(descriptor)
        return True

    def _reclaim(self, content: digests.Digest) -> None:
        if content not in self._index.wanted():
            self._blobs.reclaim(content)

    def stored(self, path: str) -> StoredFile | None:
        """What the index remembers of a path, whether or not the file is still well."""
        with failures.reported(f"failed to look up '{path}'"):
            return self._index.get(path)

    def files(self, folder: str) -> tuple[StoredFile, ...]:
        """What the index remembers of the files in a folder, in no order."""
        with failures.reported(f"failed to look up '{folder}'"):
            return tuple(self._index.folder(folder).values())

    def open(self, path: str) -> BinaryIO:
        """The file at ``path`` for reading; raises StorageError if there is none."""
        with failures.reported(f"failed to open '{path}'"):
            return os.fdopen(paths.open_file(self.root, path), "rb")

    def point_latest(self, folder: str, path: str) -> None:
        """Let ``latest.tar.gz`` in ``folder`` lead to the file at ``path`` in the same folder."""
        parent, name = paths.divide(path)
        if parent != folder:
            raise errors.StorageError(f"'{path}' is not in '{folder}'")
        with (
            failures.reported(f"failed to link '{folder}/{paths.LATEST}'"),
            self._lock,
            paths.folder(self.root, folder) as descriptor,
        ):
            with contextlib.suppress(OSError):
                if os.readlink(paths.LATEST, dir_fd=descriptor) == name:
                    return
            with _spare_names(descriptor) as (fresh, _):
                os.symlink(name, fresh, dir_fd=descriptor)
                os.replace(fresh, paths.LATEST, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            os.fsync(descriptor)

    def remove(self, path: str) -> None:
        """Remove one file; its record stays until collect() or remove_all() for comparison."""
        folder, name = paths.divide(path)
        with failures.reported(f"failed to remove '{path}'"), self._lock:
            with paths.folder(self.root, folder) as descriptor:
                os.unlink(name, dir_fd=descriptor)
            if (record := self._index.get(path)) is not None:
                self._reclaim(record.digest)

    def collect(
        self,
        folder: str,
        *,
        current: str,
        ttl: float = gc.DEFAULT_TTL,
        records: int = gc.DEFAULT_RECORDS,
        time_limit: float = gc.TIME_LIMIT,
        max_files: int = gc.MAX_FILES,
    ) -> tuple[str, ...]:
        """Delete what retention no longer covers; returns the paths deleted, oldest first.

        See gc.select() for the rule. Raises StorageError ``context deadline exceeded`` when
        ``time_limit`` seconds do not suffice; what was deleted by then stays deleted.
        """
        deadline = self._monotonic() + time_limit
        with failures.reported(f"failed to collect '{folder}'"), self._lock:
            try:
                with paths.folder(self.root, folder) as descriptor:
                    known = self._candidates(folder, descriptor, current, max_files)
                    now = self._clock()
                    candidates = [
                        gc.Candidate(file.stored_at, file.path) for file in known.values()
                    ]
                    doomed = gc.select(
                        candidates, current=current, now=now, ttl=ttl, records=records
                    )
                    for path in doomed:
                        if self._monotonic() >= deadline:
                            raise errors.StorageError("context deadline exceeded")
                        self._delete(known[path], descriptor)
            except FileNotFoundError:
                return ()
            return doomed

    def _candidates(
        self, folder: str, descriptor: int, current: str, max_files: int
    ) -> dict[str, StoredFile]:
        """Records of the files that are there; files without one get it now."""
        recorded = self._index.folder(folder)
        names = [
            name
            for name in sorted(os.listdir(descriptor))
            if paths.is_segment(name) and not name.endswith(".lock")
        ]
        present: dict[str, StoredFile] = {}
        for name in names:
            if len(present) >= max_files:
                break
            path = f"{folder}/{name}"
            if not upkeep.is_regular(name, descriptor):
                continue
            if path not in recorded:
                found, size = self._found(path)
                recorded[path] = StoredFile(path, found, size, None, self._clock())
                self._index.put(recorded[path])
            present[path] = recorded[path]
        gone = recorded.keys() - {f"{folder}/{name}" for name in names} - {current}
        if gone:
            self._index.delete(gone)
        return present

    def _delete(self, file: StoredFile, folder: int) -> None:
        _, name = paths.divide(file.path)
        os.unlink(name, dir_fd=folder)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{name}.lock", dir_fd=folder)  # of a Flux that used this directory before
        self._index.delete([file.path])
        self._reclaim(file.digest)

    def remove_all(self, folder: str) -> bool:
        """Remove a folder and all it holds; False if there was none."""
        parent, name = paths.divide(folder)
        trash = self._own / "trash" / secrets.token_hex(8)
        with failures.reported(f"failed to remove '{folder}'"):
            with self._lock:
                records = self._index.folder(folder)
                try:
                    with paths.folder(self.root, parent) as descriptor:
                        os.rename(name, trash, src_dir_fd=descriptor)
                except FileNotFoundError:
                    self._index.delete(records)
                    return False
                self._index.delete(records)
            if trash.is_symlink() or not trash.is_dir():
                trash.unlink()
            else:
                shutil.rmtree(trash)
            with self._lock:
                for content in {record.digest for record in records.values()}:
                    self._reclaim(content)
        return True

    def sweep(self) -> int:
        """At start: claim the store for this process and remove what a crash left in it.

        Returns how many leftovers were removed. Raises StorageError also when another process
        has the store.
        """
        with failures.reported(f"failed to sweep the store '{self.root}'"):
            self._upkeep.claim()
            return self._upkeep.sweep()

    def scrub(
        self,
        *,
        sleep: Callable[[float], None] = time.sleep,
        is_cancelled: Callable[[], bool] = lambda: False,
        rate: float = upkeep.SCRUB_RATE,
    ) -> tuple[str, ...]:
        """Read every stored file again, slowly; returns the paths found altered."""
        with failures.reported(f"failed to scrub the store '{self.root}'"):
            return self._upkeep.scrub(sleep=sleep, is_cancelled=is_cancelled, rate=rate)


@contextlib.contextmanager
def _spare_names(folder: int) -> Iterator[tuple[str, str]]:
    """Two unused names in an open folder, removed at the end if they are in use by then."""
    token = secrets.token_hex(8)
    names = (f"{paths.TEMPORARY}{token}-new", f"{paths.TEMPORARY}{token}-old")
    try:
        yield names
    finally:
        # Also after success: rename() of two links to one inode leaves both.
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def _is_linked(name: str, backup: str, folder: int) -> bool:
    """Give what stands at ``name`` a second name, if it can have one."""
    try:
        os.link(name, backup, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
