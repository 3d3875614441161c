"""The store of artifacts: an interface, and its implementation in a local directory.

Layout below the root (Flux's, plus one folder of our own)::

    ocirepository/{namespace}/{name}/{hex}.tar.gz   what is served
    ocirepository/{namespace}/{name}/latest.tar.gz  a relative link to the newest of them
    .ocisource/blobs/sha256/{ab}/{hex}              each content once, linked to from above
    .ocisource/tmp, .ocisource/trash                on the way in, on the way out
    .ocisource/index.db                             when each was stored

A file appears under its name complete and durable or not at all: temporary file, fsync, hard link,
rename, fsync of the folder. All methods block and are thread-safe; none may run on an event loop.
All raise StorageError, also for a path that is not a name inside the store.
"""

import enum
import errno
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import (
    failures,
    gc,
    index,
    paths,
    placement,
    premises,
    reader,
    retention,
    staging,
    upkeep,
)

_log = logging.getLogger(__name__)

StoredFile = index.StoredFile

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
        self,
        staged: staging.StagedBlob,
        *,
        path: str,
        note: str = "",
    ) -> StoredFile:
        """Give staged bytes their name."""

    def check(self, path: str, wanted: digests.Digest) -> Health:
        """Whether a file still holds the bytes it should."""

    def is_vouched(self, folder: str, wanted: digests.Digest) -> bool:
        """Whether a stat alone shows that a folder's latest link leads to the right bytes."""

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

    def folders(self, top: str) -> tuple[str, ...]:
        """The folders two below a top one."""

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
        self._prefix = f"{root}/"
        self._clock = clock
        self._monotonic = monotonic
        with failures.reported(f"failed to open the store '{root}'"):
            self._place = premises.opened(
                root, token=secrets.token_hex(8), clock=clock, wall_ns=wall_ns
            )
        self.reader = reader.Reader(
            root, records=self._place.index, ledger=self._place.ledger, wall_ns=wall_ns
        )
        self._upkeep = upkeep.Upkeep(self._place)

    def close(self) -> None:
        """Let go of the index and of the claim that sweep() laid on the store."""
        self._place.index.close()
        self._upkeep.close()

    def stage(self) -> staging.Stage:
        """A place for new bytes: a context manager with write() and finish()."""
        return staging.Stage(self._place.tmp, prefix=self._place.token)

    def make_folder(self, folder: str) -> None:
        """Create a folder; publish() does so too, this tells early and apart when it fails."""
        with (
            failures.reported(f"failed to create '{folder}'"),
            # Whoever finds a folder that another thread made finds it durable.
            self._place.lock,
            paths.folder(self.root, folder, is_made=True),
        ):
            pass

    def publish(
        self,
        staged: staging.StagedBlob,
        *,
        path: str,
        note: str = "",
    ) -> StoredFile:
        """Give staged bytes their name, in place of what stood there.

        Content the store already holds is read again and linked to; if it went bad, the staged
        bytes replace it. If this fails, what stood at ``path`` stands there still. ``note`` is kept
        in the record.
        """
        with failures.reported(f"failed to store '{path}'"):
            return placement.publish(self._place, staged, path=path, note=note)

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
        try:
            self._confirm(path, wanted=wanted, size=size)
        except (OSError, sqlite3.Error) as exc:
            # A disk that is full, say, takes no record, but the file is well; the next check
            # tries again.
            _log.warning("what is known of '%s' cannot be recorded: %s", path, exc)
        return Health.OK

    def is_vouched(self, folder: str, wanted: digests.Digest) -> bool:
        """Whether a stat alone shows that ``latest.tar.gz`` leads to the bytes of ``wanted``.

        It is asked through the link, so that link and file are seen at once. For the event loop: it
        costs two system calls, reads nothing, takes no lock and raises nothing. False means no more
        than that check() and point_latest() have to be asked.
        """
        try:
            # As text: this runs for every object on every run, and joining paths costs more.
            status = os.stat(f"{self._prefix}{folder}/{paths.LATEST}")  # noqa: PTH116
        except (OSError, ValueError):
            return False
        return self._place.ledger.vouched(status) == wanted

    def _found(self, path: str) -> tuple[digests.Digest, int]:
        descriptor = paths.open_file(self.root, path)
        try:
            return self._place.ledger.digest_of(descriptor), os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _restored(self, path: str, *, wanted: digests.Digest, found: digests.Digest) -> bool:
        replaced = self._place.index.replacements(path)
        if wanted not in {old for old, _ in replaced} or found not in {new for _, new in replaced}:
            return False
        return placement.restore(self._place, path, wanted)

    def _confirm(self, path: str, *, wanted: digests.Digest, size: int) -> None:
        """The file at ``path`` is what a status names: write its record, end its replacements."""
        records = self._place.index
        record, replaced = records.get(path), records.replacements(path)
        if record is not None and record.digest == wanted and not replaced:
            return
        with self._place.lock:
            if record is None or record.digest != wanted:
                records.put(StoredFile(path, wanted, size, self._clock()))
            if replaced:
                # Perhaps named by a process that was killed before it flushed the folder.
                with paths.folder(self.root, paths.divide(path)[0]) as descriptor:
                    os.fsync(descriptor)
            records.settled(path)
            for content in {content for pair in replaced for content in pair}:
                self._place.reclaim(content)

    def stored(self, path: str) -> StoredFile | None:
        """What the index remembers of a path, whether or not the file is still well."""
        with failures.reported(f"failed to look up '{path}'"):
            return self._place.index.get(path)

    def files(self, folder: str) -> tuple[StoredFile, ...]:
        """What the index remembers of the files in a folder, in no order."""
        with failures.reported(f"failed to look up '{folder}'"):
            return tuple(self._place.index.folder(folder).values())

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
            self._place.lock,
            paths.folder(self.root, folder) as descriptor,
        ):
            placement.link(descriptor, paths.LATEST, name)

    def folders(self, top: str) -> tuple[str, ...]:
        """The folders ``top/…/…`` that are on disk, sorted; links and odd names are none."""
        with failures.reported(f"failed to list '{top}'"):
            found = [top] if paths.split(top) else []
            for _ in range(2):
                found = [inner for outer in found for inner in paths.subfolders(self.root, outer)]
            return tuple(sorted(found))

    def remove(self, path: str) -> None:
        """Remove one file; its record stays until collect() or remove_all(), for comparison.

        Raises StorageError also when there is no such file.
        """
        folder, name = paths.divide(path)
        with failures.reported(f"failed to remove '{path}'"), self._place.lock:
            with paths.folder(self.root, folder) as descriptor:
                os.unlink(name, dir_fd=descriptor)
            if (record := self._place.index.get(path)) is not None:
                self._place.reclaim(record.digest)

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

        def rule(files: Mapping[str, StoredFile]) -> tuple[str, ...]:
            candidates = [gc.Candidate(file.stored_at, path) for path, file in files.items()]
            return gc.select(
                candidates, current=current, now=self._clock(), ttl=ttl, records=records
            )

        with failures.reported(f"failed to collect '{folder}'"):
            return retention.collect(
                self._place,
                folder,
                current=current,
                rule=rule,
                is_late=lambda: self._monotonic() >= deadline,
                max_files=max_files,
            )

    def remove_all(self, folder: str) -> bool:
        """Remove a folder and all it holds; False if there was none."""
        with failures.reported(f"failed to remove '{folder}'"):
            return retention.remove_all(self._place, folder)

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
        sleep: Callable[[float], object] = time.sleep,
        is_cancelled: Callable[[], bool] = lambda: False,
        rate: float = upkeep.SCRUB_RATE,
    ) -> tuple[str, ...]:
        """Read every stored file again, slowly; returns the paths found altered."""
        with failures.reported(f"failed to scrub the store '{self.root}'"):
            return self._upkeep.scrub(sleep=sleep, is_cancelled=is_cancelled, rate=rate)
