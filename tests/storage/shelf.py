"""A store to test with: a clock to set, and short words for what tests do all the time."""

import dataclasses
import pathlib
import stat
import time

from ocisource.storage import index, paths, store

FOLDER = "ocirepository/apps/podinfo"
PATH = f"{FOLDER}/{'a' * 64}.tar.gz"
OTHER = f"ocirepository/apps/other/{'a' * 64}.tar.gz"
START = 1_700_000_000.0  # s since the epoch


@dataclasses.dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = START

    def __call__(self) -> float:
        """The time."""
        return self.now


def patient_ns() -> int:
    """A wall clock far ahead of every file: signatures count as settled at once."""
    return time.time_ns() + 10**12


def create(root: pathlib.Path, clock: Clock | None = None) -> store.LocalStore:
    """A store whose knowledge of a file is settled at once."""
    root.mkdir(exist_ok=True)
    return store.LocalStore(root, clock=clock or Clock(), wall_ns=patient_ns)


def put(target: store.LocalStore, data: bytes, path: str = PATH) -> index.StoredFile:
    """Store bytes under a path."""
    with target.stage() as stage:
        stage.write(data)
        return target.publish(stage.finish(), path=path)


def blobs(target: store.LocalStore) -> list[pathlib.Path]:
    """Every content the store holds."""
    folder = target.root / paths.OWN / "blobs"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def leftovers(target: store.LocalStore) -> list[pathlib.Path]:
    """Temporary files anywhere, half-removed folders, contents that nothing links to."""
    own = target.root / paths.OWN
    found = [*(own / "tmp").iterdir(), *(own / "trash").iterdir()]
    found += target.root.rglob(f"{paths.TEMPORARY}*")
    found += [path for path in blobs(target) if path.stat().st_nlink == 1]
    return found


def open_files() -> int:
    """How many descriptors this process has open on regular files and folders."""
    count = 0
    for path in pathlib.Path("/proc/self/fd").iterdir():
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        count += stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return count
