"""The border between the operating system's errors and ours."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator

from ocisource import errors

_HINTS = {
    errno.ENOSPC: "free some space in the store",
    errno.EDQUOT: "raise the quota or free some space in the store",
    errno.EACCES: "give this process write permission on the store",
    errno.EPERM: "give this process write permission on the store",
    errno.EROFS: "mount the store writable",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the system's limit of open files",
}

# SQLite's words for the same.
_NUMBERS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


@contextlib.contextmanager
def reported(action: str) -> Iterator[None]:
    """Raise StorageError ``{action}: {cause}; {what to do}`` for what the system refused."""
    try:
        yield
    except OSError as exc:
        raise errors.StorageError(f"{action}: {cause(exc)}") from exc
    except sqlite3.Error as exc:
        hint = _HINTS.get(_NUMBERS.get(getattr(exc, "sqlite_errorcode", 0), 0))
        text = f"{action}: the store's index: {exc}"
        raise errors.StorageError(f"{text}; {hint}" if hint else text) from exc


def cause(exc: OSError) -> str:
    """The system's reason and, where there is one, a hint; without any local path."""
    number = exc.errno or 0
    reason = os.strerror(number).lower() if number else str(exc)
    hint = _HINTS.get(number)
    return f"{reason}; {hint}" if hint else reason
