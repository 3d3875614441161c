"""Removing what is no longer wanted: superseded files, and all files of a deleted object."""

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import index, paths, placement, premises

_LOCK_SUFFIX = ".lock"  # of a Flux that used this directory before


def collect(
    place: premises.Premises,
    folder: str,
    *,
    current: str,
    rule: Callable[[Mapping[str, index.StoredFile]], tuple[str, ...]],
    is_late: Callable[[], bool],
    max_files: int,
) -> tuple[str, ...]:
    """Delete the files of a folder that ``rule`` names; see LocalStore.collect.

    Raises OSError, sqlite3.Error, and StorageError when ``is_late()``.
    """
    recorded = place.index.folder(folder)
    with contextlib.ExitStack() as opened:
        try:
            descriptor = opened.enter_context(paths.folder(place.root, folder))
        except FileNotFoundError:
            _forget(place, recorded.keys() - {current})
            return ()
        present = {
            path: recorded.get(path) or _adopted(place, path, name, descriptor)
            for name in _names(descriptor)
            if (path := f"{folder}/{name}")
        }
        doomed = rule(dict(list(present.items())[:max_files]))
        if current in present:
            _lead_back(current, descriptor)
        for path in doomed:
            if is_late():
                raise errors.StorageError("context deadline exceeded")
            with place.lock:
                _delete(place, present[path], descriptor)
        _forget(place, recorded.keys() - present.keys() - {current})
        return doomed


def _names(folder: int) -> list[str]:
    """Regular files that may be artifacts, in order."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if paths.is_segment(entry.name)
            and not entry.name.endswith(_LOCK_SUFFIX)
            and entry.is_file(follow_symlinks=False)
        )


def _lead_back(current: str, folder: int) -> None:
    """Let the latest link name what the status names.

    They differ when the status of a newer file was never written: that file is about to go.
    """
    if paths.is_present(paths.LATEST, folder):
        placement.link(folder, paths.LATEST, paths.divide(current)[1])


def _adopted(place: premises.Premises, path: str, name: str, folder: int) -> index.StoredFile:
    """The record, made now, of a file that came here without one."""
    descriptor = paths.open_in(folder, name)
    try:
        found = place.ledger.digest_of(descriptor)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    file = index.StoredFile(path, found, size, place.clock())
    place.index.put(file)
    return file


def _forget(place: premises.Premises, gone: set[str]) -> None:
    if gone:
        place.index.delete(gone)


def _delete(place: premises.Premises, file: index.StoredFile, folder: int) -> None:
    _, name = paths.divide(file.path)
    for spent in (name, name + _LOCK_SUFFIX):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spent, dir_fd=folder)
    replaced = _replaced(place, [file.path])
    # Before the record goes: on a full disk nothing can be recorded until something is removed.
    place.reclaim(file.digest)
    place.index.delete([file.path])
    for content in {file.digest, *replaced}:
        place.reclaim(content)


def _replaced(place: premises.Premises, files: Iterable[str]) -> set[digests.Digest]:
    """Contents that were at these paths before or after a replacement nobody confirmed."""
    pairs = [pair for path in files for pair in place.index.replacements(path)]
    return {content for pair in pairs for content in pair}


def remove_all(place: premises.Premises, folder: str) -> bool:
    """Remove a folder; see LocalStore.remove_all. Raises OSError and sqlite3.Error."""
    parent, name = paths.divide(folder)
    trash = place.trash / secrets.token_hex(8)
    with contextlib.ExitStack() as after, place.lock:
        records = place.index.folder(folder)
        try:
            with paths.folder(place.root, parent) as descriptor:
                os.rename(name, trash, src_dir_fd=descriptor)
            is_found = True
        except FileNotFoundError:
            is_found = False
        # Also if the records cannot be deleted: a full disk has room for that only then.
        contents = {record.digest for record in records.values()} | _replaced(place, records)
        after.callback(_destroy, place, trash, contents)
        place.index.delete(records)
    return is_found


def _destroy(
    place: premises.Premises, trash: pathlib.Path, contents: Iterable[digests.Digest]
) -> None:
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink(missing_ok=True)
    for content in contents:
        place.reclaim(content)
