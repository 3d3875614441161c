"""Ignore patterns in the dialect of Flux's matcher, which is not git's.

Patterns are judged from the last to the first; the first that matches decides: plain ones
exclude, ``!`` ones include. Where git differs:

* a path is judged on its own, so a file can be included again below an excluded directory;
* a pattern with a slash matches every path that *begins* with it (``a/b`` hits ``a/b/c``);
* ``**`` takes the first element that fits what follows it, and never reconsiders;
* ``**`` inside an element (``a**b/c``) makes a pattern that never matches, unless it has no slash;
* ``[^a]`` negates, ``[!a]`` does not.

A pattern has a *domain*, the directory of the file it stands in; it sees only what lies below.
A walk asks a Scope per directory: what a directory has already matched holds for all below it,
so a file costs one look at its own name.

Example::

    >>> rules = Rules([parse("*.zip", domain=b""), parse("!keep.zip", domain=b"")])
    >>> root = rules.root()
    >>> root.tester()(b"a.zip"), root.tester()(b"keep.zip")
    (True, False)
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Self

from ocisource.archive import globs

_SEPARATOR = b"\0"  # between the elements of a path that is a sort key: see archive.untar


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One element of a path pattern; ``is_anywhere`` if ``**`` stands before it."""

    test: globs.Glob | None
    is_anywhere: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """One line of an ignore file.

    ``domain`` is the directory it is scoped to, elements separated by NUL, ``b""`` the root.
    Without a slash there is one step, found anywhere; no steps at all match nothing.
    """

    domain: bytes
    is_include: bool
    is_directory: bool
    steps: tuple[Step, ...]


def parse(line: str, *, domain: bytes) -> Pattern:
    """A pattern of one line that is neither blank nor a comment.

    ``line`` is UTF-8 text, other bytes as surrogate escapes.
    """
    is_include = line.startswith("!")
    line = line[is_include:]
    if not line.endswith("\\ "):
        line = line.rstrip(" ")
    is_directory = line.endswith("/")
    line = line[: len(line) - is_directory]
    if "/" in line:
        steps = _path_steps(line.split("/"))
    else:
        steps = (Step(globs.parse(line), is_anywhere=True),)
    if any(step.test is None for step in steps):
        steps = ()
    return Pattern(domain, is_include, is_directory, steps)


def _path_steps(elements: list[str]) -> tuple[Step, ...]:
    steps: list[Step] = []
    is_anywhere = False
    for number, element in enumerate(elements):
        if element == "":
            is_anywhere = False
        elif element == "**":
            if number == len(elements) - 1:
                break  # the rest of the path, the directory itself included
            is_anywhere = True
        elif "**" in element:
            return ()
        else:
            steps.append(Step(globs.parse(element), is_anywhere))
            is_anywhere = False
    return tuple(steps)


@dataclasses.dataclass(frozen=True, slots=True)
class _Names:
    """Patterns of one level that look at single names: their tests for files and directories."""

    level: int
    file: globs.Test | None
    directory: globs.Test | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Trail:
    """A path pattern on its way down: ``tests[0]`` is what the next element must satisfy."""

    level: int
    is_directory: bool
    tests: tuple[tuple[globs.Test, bool], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Domain:
    """All patterns of one ignore file, strongest level first."""

    names: tuple[_Names, ...]
    trails: tuple[_Trail, ...]


class Rules:
    """A list of patterns, weakest first, compiled for walking a tree.

    Neighbours of one kind (exclude or include) share a *level*: which of them matches is all the
    same. Levels alternate, and the highest that matches decides.
    """

    __slots__ = ("_domains", "is_scoped", "outcomes")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        outcomes: list[bool] = []
        grouped: dict[bytes, dict[int, list[Pattern]]] = {}
        for pattern in patterns:
            if not outcomes or outcomes[-1] is pattern.is_include:
                outcomes.append(not pattern.is_include)
            levels = grouped.setdefault(pattern.domain, {})
            levels.setdefault(len(outcomes) - 1, []).append(pattern)
        # outcomes[-1] is that of level -1, where nothing matched.
        self.outcomes = (*outcomes, False)
        self._domains = {domain: _compile(levels) for domain, levels in grouped.items()}
        self.is_scoped = any(domain for domain in self._domains)

    def root(self) -> "Scope":
        """The scope of the root, which no pattern excludes."""
        return Scope(self, level=-1, names=(), trails=()).opened(b"")

    def domain(self, path: bytes) -> _Domain | None:
        """What begins to hold below ``path``."""
        return self._domains.get(path)


def _compile(levels: dict[int, list[Pattern]]) -> _Domain:
    names: list[_Names] = []
    trails: list[_Trail] = []
    for level in sorted(levels, reverse=True):
        single: list[Pattern] = []
        for pattern in levels[level]:
            if len(pattern.steps) == 1 and pattern.steps[0].is_anywhere:
                single.append(pattern)
            elif pattern.steps:
                trails.append(_trail(pattern, level))
        if single:
            names.append(
                _Names(
                    level,
                    globs.tester(p.steps[0].test for p in single if not p.is_directory),
                    globs.tester(p.steps[0].test for p in single),
                )
            )
    return _Domain(tuple(names), tuple(trails))


def _trail(pattern: Pattern, level: int) -> _Trail:
    tests = [(globs.tester([step.test]), step.is_anywhere) for step in pattern.steps]
    return _Trail(
        level,
        pattern.is_directory,
        tuple((test, is_anywhere) for test, is_anywhere in tests if test is not None),
    )


def _never(_name: bytes) -> bool:
    return False


def _always(_name: bytes) -> bool:
    return True


class Scope:
    """What the rules say within one directory.

    ``level`` is the highest level that the directory, or one above it, has matched: it holds for
    everything below, so only what lies higher is looked at again.
    """

    __slots__ = ("_level", "_names", "_rules", "_trails")

    def __init__(
        self, rules: Rules, *, level: int, names: tuple[_Names, ...], trails: tuple[_Trail, ...]
    ) -> None:
        self._rules = rules
        self._level = level
        self._names = names
        self._trails = trails

    @property
    def is_excluded(self) -> bool:
        """Whether the directory's own entry is left out."""
        return self._rules.outcomes[self._level]

    def child(self, name: bytes, *, path: bytes) -> "Scope":
        """The scope of the directory ``name`` in this one; ``path`` is its whole path."""
        level = self._level
        for names in self._names:  # strongest first, all of them above the level
            if names.directory is not None and names.directory(name):
                level = names.level
                break
        trails: list[_Trail] = []
        for trail in self._trails:
            test, is_anywhere = trail.tests[0]
            if not test(name):
                if is_anywhere:
                    trails.append(trail)
            elif len(trail.tests) == 1:
                level = max(level, trail.level)
            else:
                trails.append(dataclasses.replace(trail, tests=trail.tests[1:]))
        below = tuple(trail for trail in trails if trail.level > level)
        scope = Scope(
            self._rules,
            level=level,
            names=tuple(names for names in self._names if names.level > level),
            # One tuple for all the directories of a deep path, unless something matched.
            trails=self._trails if below == self._trails else below,
        )
        return scope.opened(path) if self._rules.is_scoped else scope

    def opened(self, path: bytes) -> Self:
        """This scope with the patterns of the ignore file in the directory itself."""
        domain = self._rules.domain(path)
        if domain is not None:
            merged = [*self._names, *(n for n in domain.names if n.level > self._level)]
            self._names = tuple(sorted(merged, key=lambda names: names.level, reverse=True))
            self._trails += tuple(t for t in domain.trails if t.level > self._level)
        return self

    def tester(self) -> globs.Test:
        """A function that tells whether a file of this directory is left out, by its name."""
        finals = [t for t in self._trails if len(t.tests) == 1 and not t.is_directory]
        steps = [(names.level, names.file) for names in self._names if names.file is not None]
        steps += [(trail.level, trail.tests[0][0]) for trail in finals]
        if not steps:
            return _always if self.is_excluded else _never
        outcomes = self._rules.outcomes
        if len(steps) == 1 and outcomes[steps[0][0]] and not self.is_excluded:
            return steps[0][1]
        steps.sort(key=lambda step: step[0], reverse=True)
        ordered = tuple((test, outcomes[level]) for level, test in steps)
        return functools.partial(_judge, ordered, self.is_excluded)


def _judge(steps: tuple[tuple[globs.Test, bool], ...], inherited: bool, name: bytes) -> bool:  # noqa: FBT001
    for test, outcome in steps:
        if test(name):
            return outcome
    return inherited
