"""Streams of all shapes, and what each compressor makes of them on the CPU at hand.

Run as a program it prints this as JSON: so that a test can ask another CPU.
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable, Mapping

from ocisource.archive import compression, compressors, packer, repack

_KIB = 1 << 10
_WORDS = b"apiVersion kind metadata name spec replicas: - image: \n   true false 80 443 {}".split(
    b" "
)
_LIMITS = repack.Limits(unpacked_bytes=0, entries=0, ratio=0, name_bytes=0)

COMPRESSORS: Mapping[str, Callable[[], compressors.Compressor]] = {
    "fast": compressors.fast,
    "portable": compressors.portable,
}


def noise(size: int) -> bytes:
    """Bytes that cannot be shortened, the same everywhere."""
    return hashlib.shake_256(b"noise").digest(size)


def text(size: int) -> bytes:
    """Words as manifests have them, in an order that never repeats."""
    chosen = hashlib.shake_256(b"text").digest(size // 2)
    return b" ".join(_WORDS[byte % len(_WORDS)] for byte in chosen)[:size]


def _mixed() -> bytes:
    """Runs of all kinds and lengths, and copies of what was long ago."""
    words, dust = text(600 * _KIB), noise(200 * _KIB)
    parts = []
    for turn, byte in enumerate(hashlib.shake_256(b"mixed").digest(60)):
        length = 1 + 61 * byte
        parts += [words[turn * 9000 :][:length], dust[turn * 3000 :][:length], bytes(length // 2)]
        parts += [bytes([byte, turn]) * (length % 300), words[:300]]
    return b"".join(parts)


def shapes() -> dict[str, bytes]:
    """The streams by name."""
    return {
        "nothing": b"",
        "a byte": b"x",
        "zeros": bytes(700 * _KIB + 1),
        "noise": noise(3 * packer.BLOCK + 17),
        "text": text(500 * _KIB + 5),
        "whole blocks": text(2 * packer.BLOCK),
        "mixed": _mixed(),
    }


def packed(name: str, data: bytes) -> bytes:
    """The gzip stream that a compressor makes of a stream; it is found to hold it."""
    written: list[bytes] = []
    out = packer.Packer(
        written.append,
        compressor=COMPRESSORS[name](),
        limits=_LIMITS,
        is_cancelled=lambda: False,
    )
    out.put(data, 0)
    out.finish()
    stream = b"".join(written)
    unpacked = compression.windows(io.BytesIO(stream), compression="gzip", limits=_LIMITS)
    if b"".join(unpacked) != data:
        raise AssertionError(f"what {name} packed is not what comes out")
    return stream


def digests(name: str) -> dict[str, str]:
    """The first half of each stream's SHA-256 in hex, by the stream's name."""
    return {
        shape: hashlib.sha256(packed(name, data)).hexdigest()[:32]
        for shape, data in shapes().items()
    }


if __name__ == "__main__":
    json.dump({name: digests(name) for name in COMPRESSORS}, sys.stdout)
