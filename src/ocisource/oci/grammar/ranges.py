"""Ranges of semantic versions.

Grammar of a range (that of Masterminds/semver v3, which Flux's users write)::

    range      ::= group { "||" group }
    group      ::= comparator { ( blank | "," ) comparator }
    comparator ::= [ operator ] operand | operand blank "-" blank operand
    operator   ::= "=" | "!=" | ">" | "<" | ">=" | "=>" | "<=" | "=<" | "~" | "~>" | "^"
    operand    ::= [ "v" ] part [ "." part [ "." part ] ] [ "-" pre ] [ "+" build ]
    part       ::= number | "x" | "X" | "*"

Rules:

1. A version satisfies the range if it satisfies every comparator of one group.
2. A part that is missing or a wildcard leaves the operand open: ``1.2`` means the whole 1.2 line.
3. A pre-release only satisfies a group in which at least one operand carries a pre-release.

Example::

    >>> Constraint.parse("~1.2 || >=2.0.0-0").admits(Version(2, 0, 0, "rc.1"))
    True
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Self

from ocisource import errors
from ocisource.net import redact
from ocisource.oci.grammar import versions
from ocisource.oci.grammar.versions import Version

LONGEST = 4096  # characters of a range
MOST = 128  # comparators of a range; each may be asked about each of a million tags

_PART = r"[0-9]+|[xX*]"
_OPERAND = re.compile(
    rf"v?(?P<major>{_PART})(?:\.(?P<minor>{_PART})(?:\.(?P<patch>{_PART}))?)?" + versions.SUFFIX
)
_OPERATOR = re.compile(r"!=|>=|=>|<=|=<|~>|[=<>~^]|")
_BLANK = re.compile(r"[ \t\n\f\r]*")
_HYPHEN = re.compile(r"[ \t\n\f\r]+-[ \t\n\f\r]+")
_SYNONYMS = {"=>": ">=", "=<": "<=", "~>": "~", "=": ""}


@dataclasses.dataclass(frozen=True, slots=True)
class _Comparator:
    """An operator and its operand; ``given`` counts the parts before the first open one (0-3)."""

    operator: str
    version: Version
    given: int

    def admits(self, version: Version) -> bool:
        return _CHECKS[self.operator](self, version)

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.version.major, self.version.minor, self.version.patch

    def has_line_of(self, version: Version) -> bool:
        """Whether the parts given are those of ``version``."""
        return (
            self.numbers[: self.given]
            == (version.major, version.minor, version.patch)[: self.given]
        )


def _is_equal(wanted: _Comparator, version: Version) -> bool:
    if wanted.given < 3:  # noqa: PLR2004 - parts of a version
        return _is_tilde(wanted, version)
    return version == wanted.version


def _is_not_equal(wanted: _Comparator, version: Version) -> bool:
    if wanted.given in {0, 3}:
        return version != wanted.version
    if not wanted.has_line_of(version):
        return True
    # In an open minor line a pre-release differs from the operand by its own suffix.
    return wanted.given == 2 and version.pre != wanted.version.pre  # noqa: PLR2004


def _is_greater(wanted: _Comparator, version: Version) -> bool:
    if wanted.given in {0, 3}:
        return wanted.version < version
    line = (version.major, version.minor)[: wanted.given]
    return line > wanted.numbers[: wanted.given]


def _is_less(wanted: _Comparator, version: Version) -> bool:
    return version < wanted.version


def _is_at_least(wanted: _Comparator, version: Version) -> bool:
    return not version < wanted.version


def _is_at_most(wanted: _Comparator, version: Version) -> bool:
    if wanted.given == 3:  # noqa: PLR2004
        return not wanted.version < version
    if wanted.given == 1:
        return version.major <= wanted.version.major
    # "<=*" means "<=0.0" to the library whose users we serve.
    return (version.major, version.minor) <= wanted.numbers[:2]


def _is_tilde(wanted: _Comparator, version: Version) -> bool:
    if version < wanted.version:
        return False
    if wanted.numbers == (0, 0, 0) and wanted.given in {0, 3}:
        return True  # "~*" and "~0.0.0" stand for anything
    depth = 1 if wanted.given == 1 else 2
    return (version.major, version.minor)[:depth] == wanted.numbers[:depth]


def _is_caret(wanted: _Comparator, version: Version) -> bool:
    if version < wanted.version or version.major != wanted.version.major:
        return False
    if wanted.version.major or wanted.given == 1:
        return True
    if version.minor != wanted.version.minor:
        return False
    # "^0.0.3" is 0.0.3 alone; so "^*" is 0.0.0 alone, as measured.
    is_minor_line = wanted.version.minor > 0 or wanted.given == 2  # noqa: PLR2004
    return is_minor_line or version.patch == wanted.version.patch


_CHECKS: Mapping[str, Callable[[_Comparator, Version], bool]] = {
    "": _is_equal,
    "!=": _is_not_equal,
    ">": _is_greater,
    "<": _is_less,
    ">=": _is_at_least,
    "<=": _is_at_most,
    "~": _is_tilde,
    "^": _is_caret,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Constraint:
    """A parsed range: groups of comparators."""

    groups: tuple[tuple[_Comparator, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range; raises ReferenceInvalidError.

        Its text is ``semver '{text}' parse error: improper constraint: "{group}"``, or that there
        are too many comparators.
        """
        groups = []
        for segment in text.split("||"):
            group = _group(segment) if len(text) <= LONGEST else None
            if group is None:
                raise errors.ReferenceInvalidError(
                    f"semver '{redact.foreign(text)}' parse error: "
                    f'improper constraint: "{redact.foreign(segment)}"'
                )
            groups.append(group)
        if (count := sum(map(len, groups))) > MOST:
            raise errors.ReferenceInvalidError(
                f"semver '{redact.foreign(text)}' parse error: "
                f"{count} comparators, more than {MOST}"
            )
        return cls(tuple(groups))

    def admits(self, version: Version) -> bool:
        """Whether a version satisfies the range."""
        return any(
            all(comparator.admits(version) for comparator in group)
            for group in self.groups
            if not version.pre or any(comparator.version.pre for comparator in group)
        )


def _group(segment: str) -> tuple[_Comparator, ...] | None:
    """Comparators of a group; None if it is malformed or empty."""
    comparators: list[_Comparator] = []
    at = _blank(segment, 0)
    while True:
        found, at = _comparator(segment, at)
        if not found:
            return None
        comparators += found
        end = _blank(segment, at)
        if end == len(segment):
            return tuple(comparators)
        if segment[end] == ",":
            end = _blank(segment, end + 1)
        elif end == at:
            return None  # glued together
        at = end


def _comparator(segment: str, at: int) -> tuple[list[_Comparator], int]:
    """The comparator at a position, two for a hyphen range, none if malformed; and its end."""
    operator = _OPERATOR.match(segment, at)
    assert operator is not None, "it matches the empty string"
    name = _SYNONYMS.get(operator[0], operator[0])
    first, at = _operand(name, segment, _blank(segment, operator.end()))
    if first is None:
        return [], at
    hyphen = _HYPHEN.match(segment, at)
    if operator[0] or hyphen is None:
        return [first], at
    last, at = _operand("<=", segment, hyphen.end())
    return ([] if last is None else [dataclasses.replace(first, operator=">="), last]), at


def _operand(operator: str, segment: str, at: int) -> tuple[_Comparator | None, int]:
    match = _OPERAND.match(segment, at)
    if match is None:
        return None, at
    numbers: list[int] = []
    for name in ("major", "minor", "patch"):
        if not (match[name] or "").isdigit():
            break
        numbers.append(int(match[name]))
    pre = match["pre"] or ""
    if max(numbers, default=0) > versions.NUMBER_MAX or not versions.is_pre_release(pre):
        return None, at
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    version = Version(major, minor, patch, pre)
    return _Comparator(operator, version, given=len(numbers)), match.end()


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None, "it matches the empty string"
    return match.end()
