r"""One path element against one glob, in the dialect of Go's ``filepath.Match``.

``pattern ::= { "*" | "?" | "[" [ "^" ] { range } "]" | "\\" character | character }`` with
``range ::= character | character "-" character`` (Go, path/filepath, "Match"). ``*`` also takes a
leading dot, ``[!a]`` is no negation, a malformed pattern matches nothing.

Patterns and names come from strangers, so no match may take more than about
``len(name) * len(pattern)`` steps: each ``*`` is compiled to an atomic group that never gives
back what it took, which is right because the text after all but the last ``*`` may as well be
found as early as possible.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator

Test = Callable[[bytes], bool]

_ANY = "."
_NEVER = "(?!)"
_STAR = None  # a chunk boundary while a pattern is parsed
# Globs in one expression, and characters of it: it is compiled, and matched, with the interpreter
# lock held. A name of 4 KiB takes a tenth of a second against so many characters, at most.
_PER_REGEX = 256
_REGEX_CHARACTERS = 16 << 10


@dataclasses.dataclass(frozen=True, slots=True)
class Glob:
    """A parsed glob: exactly one of the four is what it stands for.

    ``literal`` one name; ``suffix`` ``*`` and a literal; ``prefix`` a literal and ``*``;
    ``regex`` anything else, over the name as text.
    """

    literal: bytes | None = None
    suffix: bytes | None = None
    prefix: bytes | None = None
    regex: str | None = None


def parse(pattern: str) -> Glob | None:
    """A glob, or None for one that matches nothing because it is malformed.

    ``pattern`` is UTF-8 text with other bytes as surrogate escapes.
    """
    atoms = _atoms(pattern)
    if atoms is None:
        return None
    stars = atoms.count(_STAR)
    is_literal = all(isinstance(atom, bytes) for atom in atoms if atom is not _STAR)
    if is_literal and stars == 0:
        return Glob(literal=_joined(atoms))
    if is_literal and stars == 1 and atoms[0] is _STAR:
        return Glob(suffix=_joined(atoms[1:]))
    if is_literal and stars == 1 and atoms[-1] is _STAR:
        return Glob(prefix=_joined(atoms[:-1]))
    return Glob(regex=_regex(atoms))


def tester(globs: Iterable[Glob | None]) -> Test | None:
    """A function that tells whether any of the globs matches a name, None if none ever does."""
    known = [glob for glob in globs if glob is not None]
    if not known:
        return None
    literals = frozenset(glob.literal for glob in known if glob.literal is not None)
    suffixes = tuple({glob.suffix for glob in known if glob.suffix is not None})
    prefixes = tuple({glob.prefix for glob in known if glob.prefix is not None})
    sources = [glob.regex for glob in known if glob.regex is not None]
    searches = [re.compile("|".join(group), re.DOTALL).fullmatch for group in _groups(sources)]
    if not prefixes and not searches:
        return lambda name: name in literals or name.endswith(suffixes)

    def test(name: bytes) -> bool:
        if name in literals or name.endswith(suffixes) or name.startswith(prefixes):
            return True
        text = name.decode("utf-8", "surrogateescape")
        return any(search(text) is not None for search in searches)

    return test


def _groups(sources: Iterable[str]) -> Iterator[list[str]]:
    """Expressions in groups, each within the bounds or a single long one."""
    group: list[str] = []
    size = 0
    for source in sources:
        if group and (len(group) == _PER_REGEX or size + len(source) > _REGEX_CHARACTERS):
            yield group
            group, size = [], 0
        group.append(source)
        size += len(source)
    if group:
        yield group


def _joined(atoms: list[bytes | str | None]) -> bytes:
    return b"".join(atom for atom in atoms if isinstance(atom, bytes))


def _regex(atoms: list[bytes | str | None]) -> str:
    chunks: list[list[str]] = [[]]
    for atom in atoms:
        if atom is _STAR:
            chunks.append([])
        else:
            chunks[-1].append(atom if isinstance(atom, str) else re.escape(_text(atom)))
    first, *rest = ["".join(chunk) for chunk in chunks]
    if not rest:
        return f"(?:{first})"
    *middle, last = rest
    found = "".join(f"(?>.*?{chunk})" for chunk in middle if chunk)
    return f"(?:{first}{found}.*{last})"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _atoms(pattern: str) -> list[bytes | str | None] | None:
    """Literal characters as bytes, ``?`` and classes as regex text, ``*`` as None."""
    atoms: list[bytes | str | None] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            if not atoms or atoms[-1] is not _STAR:
                atoms.append(_STAR)
        elif char == "?":
            atoms.append(_ANY)
        elif char == "[":
            parsed = _class(pattern, position)
            if parsed is None:
                return None
            source, position = parsed
            atoms.append(source)
        else:
            if char == "\\":
                if position == len(pattern):
                    return None
                char = pattern[position]
                position += 1
            atoms.append(char.encode("utf-8", "surrogateescape"))
    return atoms


def _class(pattern: str, position: int) -> tuple[str, int] | None:
    """The regex of a character class whose ``[`` is read, and where it ends."""
    is_negated = pattern[position : position + 1] == "^"
    position += is_negated
    ranges: list[str] = []
    count = 0
    while not (count and pattern[position : position + 1] == "]"):
        low = _class_char(pattern, position)
        if low is None:
            return None
        char, position = low
        last = char
        if pattern[position] == "-":
            high = _class_char(pattern, position + 1)
            if high is None:
                return None
            last, position = high
        count += 1
        if char <= last:
            ranges.append(f"{re.escape(char)}-{re.escape(last)}")
    if not ranges:
        return (_ANY if is_negated else _NEVER), position + 1
    return f"[{'^' if is_negated else ''}{''.join(ranges)}]", position + 1


def _class_char(pattern: str, position: int) -> tuple[str, int] | None:
    """One end of a range; something must follow it, at least the closing bracket."""
    char = pattern[position : position + 1]
    if char in ("", "-", "]"):
        return None
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
    is_invalid = not char or "\ud800" <= char <= "\udfff"
    return None if is_invalid or position + 1 == len(pattern) else (char, position + 1)
