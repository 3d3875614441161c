"""Digests as the OCI image spec writes them, and streams that hash or verify while they pass.

``digest ::= algorithm ":" encoded``; here the algorithm is always ``sha256`` and the encoded part
64 lower-case hex digits (image-spec, descriptor.md, "Registered algorithms").

Example::

    >>> str(Digest.of(b"test"))[:20]
    'sha256:9f86d081884c7'
"""

import dataclasses
import hashlib
from typing import Self

from ocisource import errors

ALGORITHM = "sha256"
_HEX_DIGITS = 64
_HEX = frozenset("0123456789abcdef")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest; ``hex`` is 64 lower-case hex digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:{hex}``.

        Raises ReferenceInvalidError with the wording of go-containerregistry's ``v1.NewHash``.
        """
        algorithm, colon, encoded = text.partition(":")
        if not colon or ":" in encoded:
            raise errors.ReferenceInvalidError(f'cannot parse hash: "{text}"')
        if not _HEX.issuperset(encoded):
            char = next(char for char in encoded if char not in _HEX)
            raise errors.ReferenceInvalidError(f"found non-hex character in hash: {char}")
        if algorithm != ALGORITHM:
            raise errors.ReferenceInvalidError(f'unsupported hash: "{algorithm}"')
        if len(encoded) != _HEX_DIGITS:
            raise errors.ReferenceInvalidError(
                f"wrong number of hex digits for {algorithm}: {encoded}"
            )
        return cls(encoded)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Digest of bytes at hand."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.hex}"


class Hasher:
    """Counts and hashes what passes through it."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far."""
        return Digest(self._hash.hexdigest())


class Verifier(Hasher):
    """A hasher that knows what must come out: update() with each chunk, then finish()."""

    __slots__ = ("expected", "expected_size")

    def __init__(self, *, expected: Digest, expected_size: int) -> None:
        super().__init__()
        self.expected = expected
        self.expected_size = expected_size

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises ContentError as soon as there are more than expected."""
        super().update(data)
        if self.size > self.expected_size:
            raise errors.ContentError(
                f"error verifying size; got more than {self.expected_size} bytes "
                f"for {self.expected}"
            )

    def finish(self) -> None:
        """Raise ContentError unless exactly the expected bytes have passed."""
        if self.size != self.expected_size:
            raise errors.ContentError(
                f"error verifying size; got {self.size}, want {self.expected_size}"
            )
        if self.digest != self.expected:
            raise errors.ContentError(
                f"error verifying sha256 checksum after reading {self.size} bytes; "
                f'got "{self.digest.hex}", want "{self.expected.hex}"'
            )
