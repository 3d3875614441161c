"""What Go's JSON decoder says about text that is no JSON, which is what clients get to read.

A port of the rules of ``encoding/json``'s scanner: :func:`complaint` walks through the text and
names the first character that cannot stand where it stands.

Example::

    >>> complaint(b'{"a" 1}')
    "invalid character '1' after object key"
"""

import re

END = "unexpected end of JSON input"

_SPACE = b" \t\r\n"
_STRING = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}
_ESCAPES = b'bfnrt\\/"'
_HEX = b"0123456789abcdefABCDEF"
_QUOTED = {"'": r"'\''", '"': "'\"'", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'", "\\": r"'\\'"}


class _Error(Exception):
    """The first thing that is wrong."""


def complaint(data: bytes) -> str:
    """What is wrong with the text; empty when it is JSON."""
    scanner = _Scanner(data)
    try:
        scanner.run()
    except _Error as error:
        return str(error)
    return ""


class _Scanner:
    """Walks through the text with its own stack, so that depth costs no recursion."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def run(self) -> None:
        stack: list[bytes] = []
        self._value(stack)
        while stack:
            self._after_value(stack)
        if self._peek():
            raise self._wrong("after top-level value")

    def _peek(self) -> bytes:
        while self._at < len(self._data) and self._data[self._at] in _SPACE:
            self._at += 1
        return self._data[self._at : self._at + 1]

    def _value(self, stack: list[bytes]) -> None:
        """Read a scalar, or enter objects and lists until one is met."""
        while True:
            char = self._peek()
            self._at += 1
            if char == b"{":
                if self._peek() == b"}":
                    self._at += 1
                    return
                self._key()
                stack.append(b"}")
            elif char == b"[":
                if self._peek() == b"]":
                    self._at += 1
                    return
                stack.append(b"]")
            else:
                self._at -= 1
                self._scalar(char)
                return

    def _after_value(self, stack: list[bytes]) -> None:
        char = self._peek()
        is_object = stack[-1] == b"}"
        if char == stack[-1]:
            self._at += 1
            stack.pop()
        elif char == b",":
            self._at += 1
            if is_object:
                self._key()
            self._value(stack)
        else:
            raise self._wrong("after object key:value pair" if is_object else "after array element")

    def _key(self) -> None:
        if self._peek() != b'"':
            raise self._wrong("looking for beginning of object key string")
        self._string()
        if self._peek() != b":":
            raise self._wrong("after object key")
        self._at += 1
        # The value may be an object itself: the caller's loop goes on.

    def _scalar(self, char: bytes) -> None:
        if char == b'"':
            self._string()
        elif char in _LITERALS:
            self._literal(_LITERALS[char])
        elif char == b"-" or char.isdigit():
            self._number()
        else:
            raise self._wrong("looking for beginning of value")

    def _literal(self, word: bytes) -> None:
        for position, wanted in enumerate(word):
            if self._data[self._at : self._at + 1] != bytes([wanted]):
                text = word.decode()
                raise self._wrong(f"in literal {text} (expecting '{text[position]}')")
            self._at += 1

    def _number(self) -> None:
        if self._now() == b"-":
            self._at += 1
        if self._now() == b"0":
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._now() == b".":
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._now() in (b"e", b"E"):
            self._at += 1
            if self._now() in (b"+", b"-"):
                self._at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, where: str) -> None:
        found = _DIGITS.match(self._data, self._at)
        if found is None or not found[0]:
            raise self._wrong(where)
        self._at = found.end()

    def _string(self) -> None:
        self._at += 1
        while True:
            plain = _STRING.match(self._data, self._at)
            assert plain is not None
            self._at = plain.end()
            char = self._now()
            if char == b'"':
                self._at += 1
                return
            if char != b"\\":
                raise self._wrong("in string literal")
            self._at += 1
            self._escape()

    def _escape(self) -> None:
        char = self._now()
        if char == b"u":
            for _ in range(4):
                self._at += 1
                if not self._now() or self._now() not in _HEX:
                    raise self._wrong("in \\u hexadecimal character escape")
        elif not char or char not in _ESCAPES:
            raise self._wrong("in string escape code")
        self._at += 1

    def _now(self) -> bytes:
        return self._data[self._at : self._at + 1]

    def _wrong(self, where: str) -> _Error:
        char = self._now().decode("latin-1")
        if not char:
            return _Error(END)
        shown = _QUOTED.get(char) or (f"'{char}'" if char.isprintable() else _hex(char))
        return _Error(f"invalid character {shown} {where}")


def _hex(char: str) -> str:
    code = ord(char)
    return f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"  # noqa: PLR2004 - ASCII ends
