"""The standard streams of a command line, whatever state the caller left them in.

1. A closed stream (``<&-``, ``>&-``) is the null device: nothing else may get its number, and
   writing to it is no failure.
2. What the terminal's character set lacks is written as ``?``; UTF-8 has everything.
"""

import contextlib
import io
import os
import sys
import typing

_MODES = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_WRONLY), ("stderr", "w", os.O_WRONLY))


def prepare() -> None:
    """Open what is closed, and let no character be a failure."""
    for number, (name, mode, flags) in enumerate(_MODES):
        if getattr(sys, name) is None:
            _open_null(number, flags)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream):
            typing.cast("typing.Any", stream).reconfigure(errors="replace")


def is_unicode(stream: typing.TextIO) -> bool:
    """Whether every character can be written."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in {
        "utf-8",
        "utf8",
    }


def drop(stream: typing.TextIO) -> None:
    """Write to nowhere from now on: the reader is gone, and what is buffered is lost."""
    with contextlib.suppress(io.UnsupportedOperation):  # a stream within this process
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_null(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
