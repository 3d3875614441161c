"""What a crash left in a store's own folders, and the claim that whoever removes it must have."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ocisource import errors

TMP = "tmp"  # files that are written before they have a name
TRASH = "trash"  # folders that are being removed
_LOCK = "lock"


def claim(own: Path) -> int:
    """Be the only process that writes to the store until the descriptor returned is closed.

    Raises StorageError when another process is, and OSError.
    """
    descriptor = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise errors.StorageError(
            f"the store '{own.parent}' is in use by another process; "
            "stop it or give each its own --storage-path"
        ) from exc
    return descriptor


def clear(own: Path, *, token: str) -> int:
    """Remove temporary files and half-removed folders; returns how many. Raises OSError.

    Files whose names begin with ``token`` are being written by this process and stay.
    """
    found = list(_found(own, token))
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(found)


def _found(own: Path, token: str) -> Iterator[Path]:
    for path in (own / TMP).iterdir():
        if not path.name.startswith(token):
            yield path
    yield from (own / TRASH).iterdir()
