"""The archive pipeline against its floor and against a port with the standard library.

All three verify the blob's digest and hash what they write to a file. The *floor* does nothing
else but gunzip and gzip, with the same library and level: what no pipeline can undercut. The
*port* is what one would write with ``tarfile`` and ``gzip``. Processor time, not wall time; each
figure is the best of several rounds, every round a process of its own, rounds interleaved. Memory
is the peak of resident memory above that of the same process before it began.

Run ``python -m benchmarks.pipeline``; ``--quick`` leaves out the big file and does one round.
"""

import argparse
import dataclasses
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from isal import igzip_lib, isal_zlib

from benchmarks import corpora
from ocisource.archive import gitignore, packer, repack, sourceignore

_ROUNDS = 5
_CHUNK = 256 << 10  # bytes
_BUSY = 1.0  # seconds of processor time a small corpus is repeated for

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
    """Gunzip and gzip, hash both ends."""
    _verify(blob)
    out = _Out(file)
    unpack = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    pack = isal_zlib.compressobj(packer.LEVEL, wbits=31, memLevel=packer.MEMORY_LEVEL)
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
    out = _Out(file)
    root = sourceignore.effective(None).root()
    zipped = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0)
    with (
        tarfile.open(fileobj=blob, mode="r|gz") as source,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if not (member.isdir() or member.isfile()) or _is_ignored(root, member.name):
                continue
            info = tarfile.TarInfo(member.name)
            info.size, info.type = member.size, member.type
            info.mode = 0o750 if member.isdir() else 0o600
            target.addfile(info, source.extractfile(member) if member.isfile() else None)
            # Else they pile up; there is no public way.
            source.members = []  # type: ignore[attr-defined]
            target.members = []  # type: ignore[attr-defined]
    zipped.close()


def _is_ignored(root: gitignore.Scope, name: str) -> bool:
    return root.tester()(name.rpartition("/")[2].encode())


SUBJECTS: dict[str, Subject] = {"floor": floor, "ours": ours, "port": port}


def _child(subject: str, blob: Path) -> None:
    """Run one subject once, or for a while if it is quick, and print what it took."""
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
    print(json.dumps({"cpu": min(times), "size": size, "peak": _peak() - idle}))


def _peak() -> int:
    """Peak of resident memory so far, in bytes."""
    # getrusage's figure would be that of the parent, inherited, if the parent was larger.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@dataclasses.dataclass
class Row:
    """One line of the table: the best of all rounds."""

    title: str
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
)


def measure(*, is_quick: bool = False) -> list[Row]:
    """Build the corpora in a temporary folder and measure all subjects on each."""
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
                for subject in SUBJECTS:
                    command = [sys.executable, "-m", "benchmarks.pipeline"]
                    done = subprocess.run(
                        [*command, "--child", subject, str(blob)],
                        check=True,
                        capture_output=True,
                        text=True,
                    )
                    rows[str(blob)].take(subject, json.loads(done.stdout))
    return list(rows.values())


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
        _child(options.child[0], Path(options.child[1]))
        return
    print(table(measure(is_quick=options.quick)))


if __name__ == "__main__":
    main()
