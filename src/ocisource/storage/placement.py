"""Content under a name: link and record together, or neither."""

import contextlib
import errno
import os
from collections.abc import Iterator

from ocisource import digest as digests
from ocisource.storage import index, integrity, paths, premises, staging


def publish(
    place: premises.Premises,
    staged: staging.StagedBlob,
    *,
    path: str,
    note: str = "",
) -> index.StoredFile:
    """Give staged bytes a name; see LocalStore.publish. Raises OSError and sqlite3.Error."""
    folder, name = paths.divide(path)
    proven = place.blobs.proven(staged.digest)  # slow, so before the lock
    with contextlib.ExitStack() as opened:
        with place.lock:
            descriptor = opened.enter_context(paths.folder(place.root, folder, is_made=True))
            if proven is None or not place.blobs.is_still(staged.digest, proven):
                place.blobs.put(staged)
            file = index.StoredFile(path, staged.digest, staged.size, place.clock(), note)
            try:
                _name(place, file, staged=staged, name=name, folder=descriptor)
            finally:
                # Alone if naming failed, or where the folder cannot hold links.
                place.blobs.reclaim(staged.digest)
        os.fsync(descriptor)
    staged.location.unlink(missing_ok=True)
    return file


def restore(place: premises.Premises, path: str, wanted: digests.Digest) -> bool:
    """Give content that was replaced its name back; False if it is gone or bad."""
    folder, name = paths.divide(path)
    with place.lock:
        proven = place.blobs.proven(wanted)
        if proven is None:
            return False
        file = index.StoredFile(path, wanted, proven.size, place.clock())
        with paths.folder(place.root, folder) as descriptor:
            _name(place, file, staged=None, name=name, folder=descriptor)
            os.fsync(descriptor)
    return True


def link(folder: int, name: str, target: str) -> None:
    """Let the symbolic link ``name`` in an open folder lead to ``target``; raises OSError."""
    with contextlib.suppress(OSError):
        if os.readlink(name, dir_fd=folder) == target:
            return
    with _spare_names(folder) as (fresh, _):
        os.symlink(target, fresh, dir_fd=folder)
        os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _name(
    place: premises.Premises,
    file: index.StoredFile,
    *,
    staged: staging.StagedBlob | None,
    name: str,
    folder: int,
) -> None:
    old = place.index.get(file.path)
    if old is not None and old.digest != file.digest:
        # Until somebody confirms the new content, a status may still name the old one. After a
        # power cut it is found by the blob's name and this note alone, so both are durable first.
        place.blobs.secure(old.digest)
        place.index.replacing(file.path, old=old.digest, new=file.digest)
    with _spare_names(folder) as (fresh, backup):
        _link(place, file.digest, staged=staged, name=fresh, folder=folder)
        was_there = paths.is_present(name, folder)
        has_backup = was_there and _is_backed_up(name, backup, folder)
        is_named = False
        try:
            with place.index.transaction():
                place.index.put(file)
                os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
                is_named = True
        except BaseException:
            if has_backup:
                os.replace(backup, name, src_dir_fd=folder, dst_dir_fd=folder)
            elif is_named and not was_there:
                os.unlink(name, dir_fd=folder)
            raise
    after = os.stat(name, dir_fd=folder, follow_symlinks=False)
    place.ledger.learn(integrity.Signature.of(after), file.digest)


def _link(
    place: premises.Premises,
    content: digests.Digest,
    *,
    staged: staging.StagedBlob | None,
    name: str,
    folder: int,
) -> None:
    if place.blobs.link(content, name=name, folder=folder):
        return
    if staged is None or not staged.location.exists():
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
    # The old inode keeps its names; the staged one takes over from here.
    place.blobs.put(staged)
    place.blobs.link(content, name=name, folder=folder)


@contextlib.contextmanager
def _spare_names(folder: int) -> Iterator[tuple[str, str]]:
    """Two unused names in an open folder, removed at the end if they are in use by then."""
    names = paths.spare_names()
    try:
        yield names
    finally:
        # Also after success: rename() of two links to one inode leaves both.
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def _is_backed_up(name: str, backup: str, folder: int) -> bool:
    """Give what stands at ``name`` a second name, if it can have one."""
    try:
        os.link(name, backup, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
