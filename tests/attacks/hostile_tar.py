"""Layers made to hurt, produced while they are read, and a process to measure what they cost.

Run as a script in a process of its own: ``hostile_tar.py KIND COUNT {options as JSON}`` packs such
a layer and prints, as JSON, what came of it and the peak of memory above that before it began.
"""

import dataclasses
import functools
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ocisource import errors
from ocisource.archive import repack
from tests.archive import layers

MEBIBYTE = 1 << 20
_SECONDS = 3600.0  # no result by then is a failure, not a hanging test run


class Produced(io.RawIOBase):
    """A file that is made while it is read; ``size`` is what it claims to be, in bytes."""

    def __init__(self, make: Callable[[], Iterator[bytes]], *, size: int) -> None:
        super().__init__()
        self._make = make
        self._size = size
        self._pieces = make()
        self._rest = b""

    def seekable(self) -> bool:
        """Seeks to the beginning and, to learn the size, to the end."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """To the beginning or the end."""
        assert offset == 0
        self._pieces, self._rest = self._make(), b""
        return self._size if whence == io.SEEK_END else 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        assert size >= 0
        parts = [self._rest]
        length = len(self._rest)
        while length < size and (piece := next(self._pieces, b"")):
            parts.append(piece)
            length += len(piece)
        joined = b"".join(parts)
        self._rest = joined[size:]
        return joined[:size]


def many_files(count: int, *, is_shuffled: bool = False) -> Iterator[bytes]:
    """Empty files, a thousand to a directory."""
    numbers: Iterator[int] | list[int] = iter(range(count))
    if is_shuffled:
        numbers = random.Random(count).sample(range(count), count)
    for number in numbers:
        yield layers.header(b"d%05d/f%03d" % divmod(number, 1000))
    yield layers.END


def many_links(count: int) -> Iterator[bytes]:
    """The same symlink again and again, which leaves nothing."""
    link = layers.header(b"link", typeflag=layers.SYMLINK, link=b"target")
    for _ in range(count // 100):
        yield link * 100
    yield layers.END


def long_names(count: int) -> Iterator[bytes]:
    """Names of 4000 bytes, out of order."""
    for number in range(count):
        name = b"%06d" % (number * 7919 % count) + b"/" + b"x" * 3990
        yield layers.gnu_long_name(name) + layers.header(b"f")
    yield layers.END


def deep_parents(count: int) -> Iterator[bytes]:
    """Each entry asks for two thousand directories of its own."""
    for number in range(count):
        name = b"%03d/" % (number % 1000) + b"%d/" % (number // 1000) + b"d/" * 2000 + b"f"
        yield layers.gnu_long_name(name) + layers.header(b"f")
    yield layers.END


def zeros(count: int) -> Iterator[bytes]:
    """An empty archive, and mebibytes of nothing after its end."""
    yield layers.END
    for _ in range(count):
        yield bytes(MEBIBYTE)


def long_links(count: int) -> Iterator[bytes]:
    """Announcements of long link names, a mebibyte each, for a link that never comes."""
    head = layers.entry(b"././@LongLink", b"t" * (MEBIBYTE - 512) + b"\0", typeflag=b"K")
    for _ in range(count):
        yield head


KINDS = {
    maker.__name__: maker
    for maker in (many_files, many_links, long_names, deep_parents, zeros, long_links)
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a layer: an error's kind and text, or the number of entries; peak in bytes."""

    error: str
    text: str
    entries: int
    peak: int


def measure(kind: str, count: int, **options: Any) -> Outcome:
    """Pack a hostile layer in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.hostile_tar", kind, str(count), json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Outcome(**json.loads(done.stdout))


def _peak() -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main(kind: str, count: int, options: dict[str, Any]) -> Outcome:
    """Pack a layer of the kind; ``limits`` among the options are those of repack.Limits."""
    limits = repack.Limits(**options.pop("limits", {}))
    may_stream = options.pop("may_stream", True)
    make = functools.partial(KINDS[kind], count, **options)
    error = text = ""
    entries = 0
    idle = _peak()
    with tempfile.TemporaryDirectory() as folder:
        try:
            entries = repack.repack(
                Produced(make, size=1 << 40),  # type: ignore[arg-type]
                ignore=None,
                limits=limits,
                compression="none",
                write=lambda _data: None,
                rewind=(lambda: None) if may_stream else None,
                is_cancelled=lambda: False,
                spool_dir=pathlib.Path(folder),
            ).entries
        except errors.ArchiveError as exc:
            error, text = type(exc).__name__, str(exc)
    return Outcome(error, text, entries, _peak() - idle)


if __name__ == "__main__":
    outcome = main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
    print(json.dumps(dataclasses.asdict(outcome)))  # noqa: T201
