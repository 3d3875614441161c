"""Choosing a tag by a semantic version range.

A filter (RE2) is searched in the raw tags first. Of the versions that the range admits (grammar and
rules in ``ranges.py``) the highest is taken; of equal ones the registry's first.

Example::

    >>> latest_match(["1.2.3", "1.3.0", "2.0.0-rc.1", "latest"], expression="~1.2 || >=2.0.0-0")
    '2.0.0-rc.1'
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import re2

from ocisource import errors
from ocisource.net import redact
from ocisource.oci.grammar import versions
from ocisource.oci.grammar.ranges import Constraint
from ocisource.oci.grammar.versions import Version

_PATTERN_MAX = 4096  # characters of a filter
_HEED_EVERY = 256  # tags between two looks at whether anybody still waits


def compile_filter(pattern: str) -> Callable[[str], bool]:
    """A predicate of tags: whether RE2 finds the pattern anywhere in a tag.

    Raises ReferenceInvalidError: ``error parsing regexp: {cause}``.
    """
    options = re2.Options()
    options.log_errors = False  # it would write to our standard error
    try:
        if len(pattern) > _PATTERN_MAX:
            cause = f"longer than {_PATTERN_MAX} characters"
        else:
            compiled = re2.compile(pattern, options)
            return lambda tag: compiled.search(tag) is not None
    except re2.error as error:
        raw = error.args[0] if error.args else b""
        cause = redact.foreign(raw if isinstance(raw, bytes) else str(raw))
    except UnicodeEncodeError:
        cause = "not UTF-8 text"
    raise errors.ReferenceInvalidError(f"error parsing regexp: {cause}")


def latest_match(
    tags: Sequence[str],
    *,
    expression: str,
    pattern: str | None = None,
    is_helm_chart: bool = False,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The tag with the highest version in a range, spelled as the registry spells it.

    ``pattern`` is searched in the raw tags first; ``is_helm_chart`` reads ``_`` as ``+``, since
    Helm pushes chart versions so. Raises ReferenceInvalidError for a range or pattern that cannot
    be read, NoMatchError if no tag is left, AbandonedError when ``is_cancelled`` says so: there may
    be millions of tags.
    """
    constraint = Constraint.parse(expression)
    if pattern:
        is_kept = compile_filter(pattern)
        tags = [tag for tag in _heeding(tags, is_cancelled) if is_kept(tag)]
    for line in _lines(_heeding(tags, is_cancelled), is_helm_chart=is_helm_chart):
        best: tuple[versions.Precedence, str] | None = None
        for tag in _heeding(line, is_cancelled):
            version = Version.parse(_spelled(tag, is_helm_chart=is_helm_chart))
            if version is None or not constraint.admits(version):
                continue
            precedence = version.precedence
            if best is None or precedence > best[0]:  # an equal one keeps the first
                best = precedence, tag
        if best is not None:
            return best[1]
    raise errors.NoMatchError(f"no match found for semver: {redact.foreign(expression)}")


def _heeding(tags: Iterable[str], is_cancelled: Callable[[], bool]) -> Iterator[str]:
    """The tags, as long as nobody calls it off."""
    for number, tag in enumerate(tags):
        if not number % _HEED_EVERY and is_cancelled():
            raise errors.AbandonedError("choosing a tag was called off")
        yield tag


def _lines(tags: Iterable[str], *, is_helm_chart: bool) -> Iterator[list[str]]:
    """Tags that may be versions, those with the same three numbers together, highest first.

    Long lists have tens of thousands of tags: only the highest are read in full.
    """
    lines: dict[tuple[int, int, int], list[str]] = {}
    for tag in tags:
        match = versions.PATTERN.fullmatch(
            _spelled(tag, is_helm_chart=is_helm_chart), 0, versions.LONGEST
        )
        if match is not None:
            major, minor, patch = match.group(1, 2, 3)
            lines.setdefault((int(major), int(minor), int(patch)), []).append(tag)
    for numbers in sorted(lines, reverse=True):
        yield lines[numbers]


def _spelled(tag: str, *, is_helm_chart: bool) -> str:
    """A tag as the version it stands for; the registry knows no ``+``."""
    return tag.replace("_", "+") if is_helm_chart else tag
