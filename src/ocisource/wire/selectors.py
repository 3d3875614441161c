r"""Label and field selectors, as clients write them in queries.

::

    label-selector ::= requirement ("," requirement)*
    requirement    ::= ["!"] key | key ("=" | "==" | "!=") [value] | key (">" | "<") integer
                     | key ("in" | "notin") "(" [value] ("," [value])* ")"
    field-selector ::= term ("," term)*
    term           ::= field ("=" | "==" | "!=") value      with "\\", "\," and "\=" escaped

Grammar and texts follow ``k8s.io/apimachinery`` ``pkg/labels`` and ``pkg/fields``. Parsing raises
InvalidInputError; a selector's ``str()`` parses to an equal selector.

Example::

    >>> LabelSelector.parse("app in (a, b),!old").matches({"app": "a"})
    True
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Self

from ocisource import errors
from ocisource.wire import names

MAX_SELECTOR = 64 * 1024  # characters; longer ones are refused before they are read
MAX_REQUIREMENTS = 1_000  # in one selector; each costs time for each object

_SPECIAL = "=!(),><"
_SPACE = " \t\r\n"
# Longest first: the lexer of pkg/labels is greedy.
_SYMBOLS = ("!=", "==", "!", "=", "(", ")", ",", ">", "<")
_WORD = re.compile(rf"[^{re.escape(_SPECIAL + _SPACE)}]+")
_BINARY = {"in", "notin", "=", "==", "!=", ">", "<"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label.

    ``operator`` is ``exists``, ``!``, ``in``, ``notin``, ``=``, ``!=``, ``>`` or ``<``.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition."""
        found = labels.get(self.key)
        match self.operator:
            case "exists":
                return found is not None
            case "!":
                return found is None
            case "in" | "=":
                return found is not None and found in self.values
            case "notin" | "!=":
                # A label that is absent differs from every value.
                return found is None or found not in self.values
            case _:
                return self._compares(found)

    def _compares(self, found: str | None) -> bool:
        if found is None or not _INTEGER.fullmatch(found):
            return False
        bound = int(self.values[0])
        return int(found) > bound if self.operator == ">" else int(found) < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclasses.dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that must all hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query's ``labelSelector``; raises InvalidInputError."""
        _check_length(text)
        return cls(tuple(_LabelParser(text).requirements()))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all conditions hold for these labels."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """One comparison of one field; a field that is absent reads as the empty string."""

    field: str
    value: str
    is_equal: bool = True

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the field's value equals, or differs from, the wanted one."""
        return (fields.get(self.field, "") == self.value) is self.is_equal

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'=' if self.is_equal else '!='}{value}"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldSelector:
    """Comparisons that must all hold; without any, everything matches."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query's ``fieldSelector``; raises InvalidInputError."""
        _check_length(text)
        parts = [part for part in sorted(_split_terms(text)) if part]
        if len(parts) > MAX_REQUIREMENTS:
            raise errors.InvalidInputError(f"a selector may have {MAX_REQUIREMENTS} terms at most")
        # In the order in which they are written again: '==' is written '='.
        return cls(tuple(sorted((_term(part, text) for part in parts), key=str)))

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether all comparisons hold for these fields."""
        return all(term.matches(fields) for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The one value that the field must have, if the selector asks for one."""
        for term in self.terms:
            if term.is_equal and term.field == field:
                return term.value
        return None

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


class _LabelParser:
    """The recursive descent of ``labels.Parser``, with its texts."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek():
            if not (_is_word(self._peek()) or self._peek() == "!"):
                raise errors.InvalidInputError(
                    f"found '{self._peek()}', expected: !, identifier, or 'end of string'"
                )
            try:
                found.append(self._requirement())
            except errors.InvalidInputError as error:
                raise errors.InvalidInputError(f"unable to parse requirement: {error}") from error
            if len(found) > MAX_REQUIREMENTS:
                raise errors.InvalidInputError(
                    f"a selector may have {MAX_REQUIREMENTS} requirements at most"
                )
            self._separator()
        return found

    def _separator(self) -> None:
        token = self._next()
        if token not in {"", ","}:
            raise errors.InvalidInputError(f"found '{token}', expected: ',' or 'end of string'")
        following = self._peek()
        if token and not (_is_word(following) or following == "!"):
            raise errors.InvalidInputError(f"found '{following}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        is_negated = self._peek() == "!"
        if is_negated:
            self._next()
        key = self._next()
        if not _is_word(key):
            raise errors.InvalidInputError(f"found '{key}', expected: identifier")
        if complaints := names.qualified_name_errors(key):
            raise errors.InvalidInputError(f'invalid label key "{key}": {"; ".join(complaints)}')
        if is_negated or self._peek() in {"", ","}:
            return Requirement(key, "!" if is_negated else "exists")
        operator = self._operator()
        values = self._values() if operator in {"in", "notin"} else [self._exact_value()]
        _check_values(key, operator, values)
        return Requirement(key, operator, tuple(sorted(set(values))))

    def _operator(self) -> str:
        token = self._next()
        if token not in _BINARY:
            raise errors.InvalidInputError(
                f"found '{token}', expected: '=', '!=', '==', 'in', notin'"
            )
        return {"==": "="}.get(token, token)

    def _values(self) -> list[str]:
        if (lexeme := self._next()) != "(":
            raise errors.InvalidInputError(f"found '{lexeme}' expected: '('")
        values: list[str] = []
        is_value_due = True
        while (lexeme := self._next()) != ")":
            if lexeme == ",":
                # "(,a)", "(a,,b)" and "(a,)" hold an empty value.
                if is_value_due:
                    values.append("")
                is_value_due = True
            elif _is_word(lexeme):
                if not is_value_due:
                    raise errors.InvalidInputError(f"found '{lexeme}', expected: ',' or ')'")
                values.append(lexeme)
                is_value_due = False
            else:
                raise errors.InvalidInputError(
                    f"found '{lexeme}', expected: ',', ')' or identifier"
                )
        return [*values, ""] if is_value_due else values

    def _exact_value(self) -> str:
        if self._peek() in {"", ","}:
            return ""
        token = self._next()
        if not _is_word(token):
            raise errors.InvalidInputError(f"found '{token}', expected: identifier")
        return token

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in _SPACE:
            position += 1
        elif text[position] in _SPECIAL:
            symbol = next(symbol for symbol in _SYMBOLS if text.startswith(symbol, position))
            found.append(symbol)
            position += len(symbol)
        else:
            word = _WORD.match(text, position)
            assert word is not None
            found.append(word[0])
            position = word.end()
    return found


def _is_word(token: str) -> bool:
    return bool(token) and token[0] not in _SPECIAL


def _check_values(key: str, operator: str, values: list[str]) -> None:
    for value in values:
        if operator in {">", "<"} and not _INTEGER.fullmatch(value):
            raise errors.InvalidInputError("for 'Gt', 'Lt' operators, the value must be an integer")
        if complaints := names.label_value_errors(value):
            raise errors.InvalidInputError(
                f'invalid label value: "{value}": at key: "{key}": {"; ".join(complaints)}'
            )


def _split_terms(text: str) -> list[str]:
    parts: list[str] = []
    start = 0
    is_escaped = False
    for position, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif char == "\\":
            is_escaped = True
        elif char == ",":
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _term(part: str, whole: str) -> Term:
    split = re.search(r"!=|==?", part)
    if split is None:
        raise errors.InvalidInputError(f"invalid selector: '{whole}'; can't understand '{part}'")
    return Term(part[: split.start()], _unescape(part[split.end() :]), is_equal=split[0] != "!=")


def _unescape(value: str) -> str:
    plain: list[str] = []
    is_escaped = False
    for char in value:
        if is_escaped:
            if char not in "\\,=":
                raise errors.InvalidInputError(
                    f"invalid field selector: invalid escape sequence: \\{char}"
                )
            plain.append(char)
            is_escaped = False
        elif char == "\\":
            is_escaped = True
        elif char in ",=":
            raise errors.InvalidInputError(
                f"invalid field selector: unescaped character in value: {ord(char)}"
            )
        else:
            plain.append(char)
    if is_escaped:
        raise errors.InvalidInputError("invalid field selector: invalid escape sequence: \\")
    return "".join(plain)


def _check_length(text: str) -> None:
    if len(text) > MAX_SELECTOR:
        raise errors.InvalidInputError(
            f"the selector is too long: {len(text)} characters, {MAX_SELECTOR} are allowed"
        )
