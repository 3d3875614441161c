"""The archive pipeline against its floor and against a port with the standard library.

All verify the blob's digest and hash what they write to a file. The *floor* does nothing else but
gunzip and gzip, with the same library and level: what no pipeline can undercut. The *port* is what
one would write with ``tarfile`` and ``gzip`` for the same archive: streaming where the layer is in
order, over a temporary file where it must be sorted. All run in a process that is set up as the
long-running commands set theirs up (``ocisource.process``).

Processor time, not wall time; each figure is the best of several rounds, every round a process of
its own (which takes the median of several runs of a small layer), rounds interleaved. Memory is the
peak of resident memory above that of the same process before it began. Lateness is that of an
event loop's one-millisecond ticks while one pipeline after the other runs in a worker thread.

Run ``python -m benchmarks.pipeline``; ``--quick`` leaves out the big file and does one round.
"""

import argparse
import asyncio
import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from isal import igzip_lib

from benchmarks import corpora
from ocisource import process
from ocisource.archive import compressors, repack, sourceignore

_ROUNDS = 5
_CHUNK = 256 << 10  # bytes
_TICK = 0.001  # seconds
_WATCHED = 3.0  # seconds that the loop is watched while pipelines run
_BUSY = 0.5  # seconds of processor time a small corpus is repeated for

_LATENESS = "lateness"

Subject = Callable[[BinaryIO, BinaryIO], None]


class _Out:
    """A file that hashes what it is given, and forgets it on rewind."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def rewind(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.hash = hashlib.sha256()


def _verify(blob: BinaryIO) -> None:
    digest = hashlib.sha256()
    blob.seek(0)
    while chunk := blob.read(_CHUNK):
        digest.update(chunk)
    blob.seek(0)


def floor(blob: BinaryIO, file: BinaryIO) -> None:
    """Gunzip and gzip, and hash both ends."""
    _verify(blob)
    out = _Out(file)
    unpack = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    pack = compressors.fast()
    while not unpack.eof:
        data = unpack.decompress(blob.read(_CHUNK) if unpack.needs_input else b"", _CHUNK)
        out.write(pack.compress(data))
    out.write(pack.flush())


def ours(blob: BinaryIO, file: BinaryIO) -> None:
    """The pipeline."""
    _verify(blob)
    out = _Out(file)
    repack.repack(
        blob,
        ignore=None,
        limits=repack.Limits(),
        write=out.write,
        rewind=out.rewind,
        is_cancelled=lambda: False,
        spool_dir=Path(tempfile.gettempdir()),
    )


def port(blob: BinaryIO, file: BinaryIO) -> None:
    """Tarfile and gzip, entries in the layer's own order."""
    _verify(blob)
    with tarfile.open(fileobj=blob, mode="r|gz") as source:
        _ported(source, source, file)


def sorting_port(blob: BinaryIO, file: BinaryIO) -> None:
    """The same for a layer that must be sorted: over a temporary file."""
    _verify(blob)
    with tempfile.TemporaryFile() as unpacked:
        with gzip.GzipFile(fileobj=blob) as zipped:
            shutil.copyfileobj(zipped, unpacked, _CHUNK)
        unpacked.seek(0)
        with tarfile.open(fileobj=unpacked, mode="r:") as source:
            _ported(source, sorted(source, key=lambda info: info.name.split("/")), file)


def _ported(source: tarfile.TarFile, members: Iterable[tarfile.TarInfo], file: BinaryIO) -> None:
    rules = sourceignore.effective(None).root()
    packed = gzip.GzipFile(fileobj=_Out(file), mode="wb", compresslevel=6, mtime=0)
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as target:
        written: set[str] = set()
        for member in members:
            if not member.isfile() or rules.tester()(member.name.rpartition("/")[2].encode()):
                continue
            for above in reversed(PurePosixPath(member.name).parents):
                if str(above) not in written:
                    written.add(str(above))
                    target.addfile(_info(str(above), tarfile.DIRTYPE, 0o750))
            info = _info(member.name, tarfile.REGTYPE, 0o600)
            info.size = member.size
            target.addfile(info, source.extractfile(member))
            # Else they pile up; there is no public way.
            source.members = []  # type: ignore[attr-defined]
            target.members = []  # type: ignore[attr-defined]
    packed.close()


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    return info


SUBJECTS: dict[str, Subject] = {
    "floor": floor,
    "ours": ours,
    "port": port,
    "sorting port": sorting_port,
}


def _child(subject: str, blob: Path) -> None:
    """Run one subject once, or for a while if it is quick, and print what it took."""
    process.settle()
    run = SUBJECTS[subject]
    data = blob.read_bytes() if blob.stat().st_size < _CHUNK else b""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        idle = _peak()
        while not times or (sum(times) < _BUSY and len(times) < 500):
            file.seek(0)
            file.truncate()
            with io.BytesIO(data) if data else blob.open("rb", buffering=0) as source:
                start = time.process_time()
                run(source, file)
                times.append(time.process_time() - start)
        size = file.seek(0, os.SEEK_END)
    print(json.dumps({"cpu": statistics.median(times), "size": size, "peak": _peak() - idle}))


def _late(blob: Path) -> None:
    """Run our pipeline in a thread, again and again; print how late the loop's ticks were.

    An empty file instead of a layer leaves the loop alone.
    """
    delays = asyncio.run(_ticks(blob, is_idle=not blob.stat().st_size))
    delays.sort()
    print(json.dumps({"p99": delays[len(delays) * 99 // 100], "max": delays[-1]}))


async def _ticks(blob: Path, *, is_idle: bool) -> list[float]:
    """How late each tick was, in seconds; with ``is_idle`` the thread does nothing."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _WATCHED
    delays: list[float] = []

    def work() -> None:
        while loop.time() < end:
            if is_idle:
                time.sleep(_WATCHED)
                continue
            with tempfile.TemporaryFile() as file, blob.open("rb", buffering=0) as source:
                ours(source, file)

    working = asyncio.create_task(asyncio.to_thread(work))
    while not working.done():
        due = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        delays.append(loop.time() - due)
    await working
    return delays


def _peak() -> int:
    """Peak of resident memory so far, in bytes."""
    # getrusage's figure would be that of the parent, inherited, if the parent was larger.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@dataclasses.dataclass
class Row:
    """One line of the table: the best of all rounds."""

    title: str
    late: float = 0.0
    cpu: dict[str, float] = dataclasses.field(default_factory=dict)
    size: dict[str, int] = dataclasses.field(default_factory=dict)
    peak: dict[str, int] = dataclasses.field(default_factory=dict)

    def take(self, subject: str, result: dict[str, Any]) -> None:
        """Take in one round's result."""
        self.cpu[subject] = min(self.cpu.get(subject, 1e9), result["cpu"])
        self.size[subject] = result["size"]
        self.peak[subject] = max(self.peak.get(subject, 0), result["peak"])

    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        return (
            self.title,
            f"{self.cpu['floor'] * 1e3:.2f}",
            f"{self.cpu['ours'] * 1e3:.2f}",
            f"{self.cpu['port'] * 1e3:.2f}",
            f"{self.cpu['ours'] / self.cpu['floor']:.2f}",
            f"{self.cpu['port'] / self.cpu['ours']:.1f}",
            f"{self.size['ours'] / self.size['port']:.3f}",
            f"{self.peak['ours'] / (1 << 20):.0f}",
            f"{self.late * 1e3:.1f}",
        )


HEADINGS = (
    "layer",
    "floor, CPU ms",
    "ours, CPU ms",
    "stdlib port, CPU ms",
    "ours / floor",
    "port / ours",
    "bytes / zlib 6",
    "peak RSS above idle, MiB",
    "loop p99 late, ms",
)


def measure(*, is_quick: bool = False) -> tuple[list[Row], float]:
    """Build the corpora in a temporary folder and measure all subjects on each.

    Returns the rows and, in seconds, how late the ticks of a loop left alone are (99th percentile).
    """
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="ocisource-bench-") as folder:
        blobs: list[Path] = []
        for corpus in corpora.CORPORA[: 3 if is_quick else None]:
            for is_shuffled in (False, True):
                blob = corpora.build(corpus, Path(folder), is_shuffled=is_shuffled)
                order = "another order" if is_shuffled else "Flux's order"
                rows[str(blob)] = Row(f"{corpus.title}; {order}")
                blobs.append(blob)
        for _ in range(1 if is_quick else _ROUNDS):
            for blob in blobs:
                is_shuffled = "shuffled" in blob.name
                for subject in SUBJECTS:
                    if subject == ("port" if is_shuffled else "sorting port"):
                        continue
                    name = "port" if subject == "sorting port" else subject
                    rows[str(blob)].take(name, _measured(subject, blob))
        for blob in blobs:
            rows[str(blob)].late = _measured(_LATENESS, blob)["p99"]
        nothing = Path(folder, "nothing")
        nothing.touch()
        idle: float = _measured(_LATENESS, nothing)["p99"]
    return list(rows.values()), idle


def _measured(subject: str, blob: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline", "--child", subject, str(blob)],
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADINGS, ("---",) + ("--:",) * (len(HEADINGS) - 1), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="CPU time and memory of the archive pipeline")
    parser.add_argument("--quick", action="store_true", help="one round, without the big file")
    parser.add_argument("--child", nargs=2, metavar=("SUBJECT", "BLOB"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        subject, blob = options.child[0], Path(options.child[1])
        if subject == _LATENESS:
            _late(blob)
        else:
            _child(subject, blob)
        return
    rows, idle = measure(is_quick=options.quick)
    print(table(rows))
    print(f"\nA loop left alone: p99 late {idle * 1e3:.1f} ms.")


if __name__ == "__main__":
    main()
