"""Which stored files of one object are garbage: by age, then by number. Pure rules.

Times come from the store's index, one per file: files with equal times stay distinct.
"""

import dataclasses
from collections.abc import Iterable

DEFAULT_TTL = 60.0  # s; --artifact-retention-ttl
DEFAULT_RECORDS = 2  # files; --artifact-retention-records
MAX_FILES = 1000  # files looked at in one pass; the next pass sees the rest
TIME_LIMIT = 5.0  # s for one pass


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A stored file and when it was stored (seconds since the epoch)."""

    stored_at: float
    path: str


def select(
    files: Iterable[Candidate], *, current: str, now: float, ttl: float, records: int
) -> tuple[str, ...]:
    """Paths to delete, oldest first; never ``current``.

    First whatever is older than ``ttl``; if more than ``records`` files are left then, the oldest
    of them until ``records`` remain, the current one counted.
    """
    ordered = sorted(files)
    others = [file for file in ordered if file.path != current]
    expired = [file for file in others if now - file.stored_at > ttl]
    surplus = len(ordered) - len(expired) - max(records, 0)
    # Expired files are the oldest, so what follows them is the old end of the rest.
    doomed = others[: len(expired) + max(surplus, 0)]
    return tuple(file.path for file in doomed)
