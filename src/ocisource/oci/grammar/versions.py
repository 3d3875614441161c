"""Semantic versions: parsed, and put in order.

Grammar (semver.org; a ``v`` may stand before it, and numbers may have leading zeros)::

    version ::= [ "v" ] number "." number "." number [ "-" pre ] [ "+" build ]

Precedence is SemVer's (semver.org, 11); build metadata takes no part in it.
"""

import dataclasses
import re
from typing import Self

LONGEST = 256  # characters; a tag has at most 128
NUMBER_MAX = 2**64 - 1

SUFFIX = (
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
"""Pre-release and build metadata, where there are any."""

PATTERN = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)" + SUFFIX)
"""What may be a version; its three numbers are the groups 1 to 3."""

Precedence = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A semantic version without its build metadata, which takes no part in precedence."""

    major: int
    minor: int
    patch: int
    pre: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``[v]MAJOR.MINOR.PATCH[-pre][+build]``; None for what is no version.

        All three numbers are needed and must fit into 64 bits; leading zeros are accepted in them,
        but not in numeric pre-release identifiers.
        """
        match = PATTERN.fullmatch(text) if len(text) <= LONGEST else None
        if match is None:
            return None
        major, minor, patch = (int(match[position]) for position in (1, 2, 3))
        pre = match["pre"] or ""
        if max(major, minor, patch) > NUMBER_MAX or not is_pre_release(pre):
            return None
        return cls(major, minor, patch, pre)

    @property
    def precedence(self) -> Precedence:
        """A value that sorts as versions do: numbers, then a release above its pre-releases."""
        return (
            self.major,
            self.minor,
            self.patch,
            0 if self.pre else 1,
            tuple(_identifier(part) for part in self.pre.split(".")) if self.pre else (),
        )

    def __lt__(self, other: "Version") -> bool:
        return self.precedence < other.precedence


def _identifier(text: str) -> tuple[int, int, str]:
    # SemVer 11.4: numeric identifiers compare as numbers and stand below the others.
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def is_pre_release(text: str) -> bool:
    """Whether identifiers make a pre-release: numeric ones have no leading zeros."""
    return not any(
        part.isdigit() and len(part) > 1 and part.startswith("0") for part in text.split(".")
    )
