"""JSONPath as printer columns use it.

``path ::= step*``, ``step ::= "." name | "[" selector "]" | ".." name | ".*"``,
``selector ::= "'" name "'" | index | index ":" index [":" index] | "*" | "?(" filter ")"
| selector ("," selector)*``, ``filter ::= "@" path [operator (literal | "@" path)]``
with the operators ``== != < <= > >=``; a backslash takes the next character of a name literally
(client-go ``util/jsonpath``, without ``range``).

Example::

    >>> path = parse('.status.conditions[?(@.type=="Ready")].status')
    >>> path.find({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    ['True']
"""

import dataclasses
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ocisource import errors

_MAX_PATH = 4096  # characters; a column's path is written by a person
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)")
_NAME_END = frozenset(".[ \t{}(),")
_INTEGER = "-?[0-9]{1,18}"  # as many digits as always fit 64 bits
_INDEX = re.compile(_INTEGER)
_SLICE = re.compile(rf"({_INTEGER})?:({_INTEGER})?(?::({_INTEGER})?)?")


class Step(Protocol):
    """One step: the values it leads to from a value."""

    def values(self, value: Any) -> Iterator[Any]:
        """Go one step from ``value``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A parsed path."""

    steps: tuple[Step, ...]

    def find(self, value: Any) -> list[Any]:
        """All values the path leads to; a missing member is no error here."""
        found = [value]
        for step in self.steps:
            found = [after for before in found for after in step.values(before)]
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    name: str

    def values(self, value: Any) -> Iterator[Any]:
        if isinstance(value, Mapping) and self.name in value:
            yield value[self.name]


@dataclasses.dataclass(frozen=True, slots=True)
class _All:
    def values(self, value: Any) -> Iterator[Any]:
        if isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list):
            yield from value


@dataclasses.dataclass(frozen=True, slots=True)
class _Slice:
    part: slice

    def values(self, value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[self.part]


@dataclasses.dataclass(frozen=True, slots=True)
class _Below:
    """``..``: the value itself and everything below it."""

    def values(self, value: Any) -> Iterator[Any]:
        waiting = [value]
        while waiting:
            current = waiting.pop()
            yield current
            children = list(_All().values(current))
            waiting.extend(reversed(children))


@dataclasses.dataclass(frozen=True, slots=True)
class _Quoted:
    """``['a.b']``: client-go reads the quoted text as ``.a.b``, so a dot wants a backslash."""

    steps: tuple[Step, ...]

    def values(self, value: Any) -> Iterator[Any]:
        yield from Path(self.steps).find(value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Union:
    choices: tuple[Step, ...]

    def values(self, value: Any) -> Iterator[Any]:
        for choice in self.choices:
            yield from choice.values(value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Filter:
    left: Path
    comparison: str
    right: Path | None
    literal: Any

    def values(self, value: Any) -> Iterator[Any]:
        for item in _All().values(value):
            if self._admits(item):
                yield item

    def _admits(self, item: Any) -> bool:
        left = self.left.find(item)
        if not self.comparison:
            return bool(left)
        right = self.right.find(item) if self.right is not None else [self.literal]
        if not left or not right:
            return False
        try:
            return _OPERATORS[self.comparison](left[0], right[0])
        except TypeError:
            return False


def parse(text: str) -> Path:
    """Read a path, with or without ``{}`` around it; raises InvalidInputError."""
    if len(text) > _MAX_PATH:
        raise errors.InvalidInputError(f"a JSONPath has at most {_MAX_PATH} characters")
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return Path(tuple(_steps(text.removeprefix("$"))))


def _steps(text: str) -> Iterator[Step]:
    position = 0
    while position < len(text):
        if text.startswith("..", position):
            yield _Below()
            position += 1 if text[position + 2 : position + 3] != "[" else 2
        elif text[position] == ".":
            name, position = _name(text, position + 1)
            if name:
                yield _All() if name == "*" else _Member(name)
        elif text[position] == "[":
            inner, position = _bracket(text, position)
            yield _selector(inner, text)
        else:
            raise errors.InvalidInputError(f"unrecognized character in action: {text[position]!r}")


def _name(text: str, position: int) -> tuple[str, int]:
    name = ""
    while position < len(text) and text[position] not in _NAME_END:
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        name += text[position]
        position += 1
    return name, position


def _bracket(text: str, start: int) -> tuple[str, int]:
    """Inside of the bracket that opens at ``start``, and the position after it."""
    depth, quoted, position = 0, "", start
    while position < len(text):
        char = text[position]
        if quoted:
            if char == "\\":
                position += 1
            elif char == quoted:
                quoted = ""
        elif char in "'\"":
            quoted = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position], position + 1
        position += 1
    raise errors.InvalidInputError(f"unterminated array in the JSONPath {text!r}")


def _selector(inner: str, text: str) -> Step:
    inner = inner.strip()
    if inner.startswith("?(") and inner.endswith(")"):
        return _filter(inner[2:-1])
    parts = _split(inner)
    if len(parts) > 1:
        return _Union(tuple(_selector(part, text) for part in parts))
    if inner == "*":
        return _All()
    if len(inner) > 1 and inner[0] == inner[-1] == "'":
        return _Quoted(tuple(_steps(f".{inner[1:-1]}")))
    if _INDEX.fullmatch(inner):
        at = int(inner)
        return _Slice(slice(at, at + 1 if at != -1 else None))
    if (match := _SLICE.fullmatch(inner)) is not None:
        first, last, step = (int(part) if part else None for part in match.groups())
        if step is not None and step <= 0:
            raise errors.InvalidInputError("step must be > 0")
        return _Slice(slice(first, last, step))
    raise errors.InvalidInputError(f"invalid array index {inner} in the JSONPath {text!r}")


def _split(inner: str) -> list[str]:
    """Split at the commas outside of quotes."""
    parts, quoted, last = [], "", 0
    for position, char in enumerate(inner):
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in "'\"":
            quoted = char
        elif char == ",":
            parts.append(inner[last:position])
            last = position + 1
    return [*parts, inner[last:]]


def _unquoted(text: str) -> str:
    if text[0] == '"':
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise errors.InvalidInputError(f"unterminated quoted string {text}") from error
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _filter(inner: str) -> _Filter:
    parts = _COMPARISON.split(_outside_quotes(inner), maxsplit=1)
    if len(parts) == 1:
        return _Filter(_operand_path(inner.strip()), "", None, None)
    left = inner[: len(parts[0])].strip()
    right = inner[len(parts[0]) + len(parts[1]) :].strip()
    if right.startswith("@"):
        return _Filter(_operand_path(left), parts[1], _operand_path(right), None)
    return _Filter(_operand_path(left), parts[1], None, _literal(right))


def _outside_quotes(text: str) -> str:
    """Blank out quoted parts, so that operators are only looked for outside of them."""
    return re.sub(r"'(\\.|[^'])*'|\"(\\.|[^\"])*\"", lambda match: "_" * len(match[0]), text)


def _operand_path(text: str) -> Path:
    if not text.startswith("@"):
        raise errors.InvalidInputError(f"a filter of a JSONPath must start with @: {text}")
    return Path(tuple(_steps(text[1:])))


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return _unquoted(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.InvalidInputError(f"unrecognized value in a filter: {text}") from error
