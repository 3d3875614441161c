r"""Globs of one path element, as Go's ``path.Match`` reads them.

::

    pattern ::= { "*" | "?" | "[" [ "^" ] range { range } "]" | "\" char | char }
    range   ::= char [ "-" char ]

``*`` and ``?`` do not match ``/``. The time needed grows with the product of both lengths, never
faster: patterns come from Secrets, texts from objects, neither of them is trusted.
"""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class _One:
    """Matches one character out of ranges (or not out of them)."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool = False

    def admits(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) is not self.is_negated


_ANY = _One((("/", "/"),), is_negated=True)
_STAR = _One(())  # told apart by identity


def is_match(text: str, *, pattern: str) -> bool:
    """Whether the whole text matches; a malformed pattern matches nothing."""
    tokens = _compile(pattern)
    if tokens is None:
        return False
    # Greedy, with one point to come back to: where the last star stands.
    at_token = at_text = 0
    star, star_text = -1, 0
    while at_text < len(text):
        if at_token < len(tokens) and tokens[at_token] is _STAR:
            star, star_text = at_token, at_text
            at_token += 1
        elif at_token < len(tokens) and tokens[at_token].admits(text[at_text]):
            at_token += 1
            at_text += 1
        elif star >= 0 and text[star_text] != "/":
            star_text += 1
            at_token, at_text = star + 1, star_text
        else:
            return False
    return all(token is _STAR for token in tokens[at_token:])


def _compile(pattern: str) -> Sequence[_One] | None:
    """Tokens of a pattern; None if it is malformed."""
    tokens: list[_One] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            one, at = _compile_class(pattern, at + 1)
            if one is None:
                return None
            tokens.append(one)
            continue
        if char in "*?":
            tokens.append(_STAR if char == "*" else _ANY)
            at += 1
            continue
        char, at = _literal(pattern, at)
        if not char:
            return None
        tokens.append(_One(((char, char),)))
    return tokens


def _compile_class(pattern: str, at: int) -> tuple[_One | None, int]:
    """The class that begins behind the bracket at ``at - 1``, and where it ends."""
    is_negated = pattern[at : at + 1] == "^"
    at += is_negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern[at : at + 1] == "]"):
        if pattern[at : at + 1] in {"", "-", "]"}:
            return None, at
        low, at = _literal(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            if pattern[at + 1 : at + 2] in {"", "-", "]"}:
                return None, at
            high, at = _literal(pattern, at + 1)
        if not (low and high):
            return None, at
        ranges.append((low, high))
    return _One(tuple(ranges), is_negated), at + 1


def _literal(pattern: str, at: int) -> tuple[str, int]:
    """One character, a backslash before it taken off, and where it ends; "" if there is none."""
    if pattern[at] == "\\":
        at += 1
    return pattern[at : at + 1], at + 1
