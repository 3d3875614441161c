"""Layers to measure with, made from a seed and from the text that comes with every Python.

Four shapes: a few small files, many middling ones, very many small ones, one big one. Each comes
as a gzip layer (zlib level 6, as Flux pushes them) in the order of a walk, and shuffled.
"""

import dataclasses
import gzip
import io
import random
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

_TEXT_BYTES = 4 << 20  # of text to draw from
_SEED = 20
_BIG_PIECE = 1 << 20  # bytes of the big file made at a time
_BIG_RANDOM = 0.2  # part of the big file that no compressor can shorten


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """One shape: how many files, how many bytes in all, and whether only its order is measured."""

    name: str
    files: int
    size: int

    @property
    def title(self) -> str:
        """The shape in words."""
        count = f"{self.files:,} file{'s' if self.files > 1 else ''}".replace(",", " ")
        is_small = self.size < 1_000_000
        size = f"{self.size // 1000} kB" if is_small else f"{self.size // 1_000_000} MB"
        return f"{count}, {size}"


CORPORA = (
    Corpus("few", 20, 36_000),
    Corpus("many", 2_000, 20_000_000),
    Corpus("crowd", 20_000, 21_000_000),
    Corpus("big", 1, 315_000_000),
)


def build(corpus: Corpus, folder: Path, *, is_shuffled: bool) -> Path:
    """Write the corpus as a layer; the path of the file."""
    path = folder / f"{corpus.name}{'-shuffled' if is_shuffled else ''}.tar.gz"
    rng = random.Random(_SEED)
    text = _text()
    names = _names(corpus, rng)
    if is_shuffled:
        rng.shuffle(names)
    mean = corpus.size // corpus.files
    with (
        gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        if corpus.files == 1 and is_shuffled:
            # One file has one order; a name out of it makes the layer an unordered one.
            tar.addfile(_info("zz/last.yaml", 5), io.BytesIO(b"a: b\n"))
        for name in names:
            if corpus.files == 1:
                tar.addfile(_info(name, mean), _Big(_big(text, mean, rng)))
                continue
            size = rng.randint(mean // 4, 2 * mean - mean // 4)
            start = rng.randrange(len(text) - size)
            tar.addfile(_info(name, size), io.BytesIO(text[start : start + size]))
    return path


def _names(corpus: Corpus, rng: random.Random) -> list[str]:
    folders = [f"clusters/region-{number:03d}/apps" for number in range(max(1, corpus.files // 50))]
    endings = (".yaml",) * 8 + (".go", ".md")
    names = [
        f"{folders[number % len(folders)]}/service-{number:05d}{rng.choice(endings)}"
        for number in range(corpus.files)
    ]
    return sorted(names, key=lambda name: name.split("/"))


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    info.mtime = 1_700_000_000
    return info


def _text() -> bytes:
    """Source text of the standard library: real words, indentation and repetition."""
    library = Path(sysconfig.get_path("stdlib"))
    text = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    return (text * (1 + _TEXT_BYTES // len(text)))[:_TEXT_BYTES]


def _big(text: bytes, size: int, rng: random.Random) -> Iterator[bytes]:
    while size > 0:
        length = min(_BIG_PIECE, size)
        noise = rng.randbytes(int(length * _BIG_RANDOM))
        start = rng.randrange(len(text) - length)
        yield (noise + text[start : start + length])[:length]
        size -= length


class _Big(io.RawIOBase):
    """A file made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
