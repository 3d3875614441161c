"""The two compressors alone, against zlib level 6: CPU and bytes for the tar streams of layers.

Processor time, the best of several rounds, all compressors in turn in each. The streams are the
layers of ``benchmarks.corpora`` unpacked, of the big file its first 64 MiB.
"""

import gzip
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks import corpora
from ocisource.archive import compressors, packer

_ROUNDS = 3
_BYTES = 64 << 20  # of a stream, at most
_BUSY = 20 << 20  # bytes packed for one figure, at least

_ZLIB = "zlib 6"
SUBJECTS: dict[str, Callable[[], compressors.Compressor]] = {
    _ZLIB: lambda: zlib.compressobj(6, wbits=31),
    "fast": compressors.fast,
    "portable": compressors.portable,
}
HEADINGS = ("stream", "compressor", "MB/s", "against zlib 6", "bytes, of zlib 6")


def measured(make: Callable[[], compressors.Compressor], stream: bytes) -> tuple[float, int]:
    """Seconds of CPU to pack the stream once, and the bytes it becomes."""
    turns = -(-_BUSY // len(stream))
    start = time.process_time()
    for _ in range(turns):
        compressor = make()
        blocks = range(0, len(stream), packer.BLOCK)
        size = sum(len(compressor.compress(stream[at : at + packer.BLOCK])) for at in blocks)
        size += len(compressor.flush())
    return (time.process_time() - start) / turns, size


def streams() -> dict[str, bytes]:
    """The tar streams by the title of their shape."""
    made = {}
    with tempfile.TemporaryDirectory(prefix="ocisource-bench-") as folder:
        for corpus in corpora.CORPORA:
            path = corpora.build(corpus, Path(folder), is_shuffled=False)
            with gzip.open(path) as layer:
                made[corpus.title] = layer.read(_BYTES)
    return made


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(HEADINGS) + " |\n|---|---|--:|--:|--:|")
    for title, stream in streams().items():
        cpu: dict[str, float] = {}
        size: dict[str, int] = {}
        for _ in range(_ROUNDS):
            for name, make in SUBJECTS.items():
                seconds, size[name] = measured(make, stream)
                cpu[name] = min(cpu.get(name, seconds), seconds)
        for name in SUBJECTS:
            speed, ratio = len(stream) / cpu[name] / 1e6, cpu[_ZLIB] / cpu[name]
            share = size[name] / size[_ZLIB]
            print(f"| {title} | {name} | {speed:.0f} | {ratio:.1f} | {share:.3f} |", flush=True)


if __name__ == "__main__":
    main()
