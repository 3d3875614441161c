"""What is wrong with JSON that somebody wrote, and where, without a word of what it says."""

import re

from ocisource.net import redact

_BYTE = re.compile(r"\(byte (\d+)\)")  # as msgspec tells where it stopped


def fault(error: Exception, content: bytes) -> str:
    """An error of msgspec's decoder about this text, with line and column in place of a byte.

    The library names places and types, never values.
    """

    def place(found: re.Match[str]) -> str:
        before = content[: int(found[1])]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        return f"(line {line}, column {column})"

    return redact.foreign(_BYTE.sub(place, str(error)))
