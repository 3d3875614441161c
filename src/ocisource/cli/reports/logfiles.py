"""The rotated log files of `ocisource up`, as one stream of lines that can be followed."""

import collections
import json
import os
import pathlib
import time
import typing
from collections.abc import Callable, Iterator

from ocisource import errors
from ocisource.wire import timestamps

NAME = "ocisource.log"
_POLL = 0.2  # seconds between two looks for new lines


def lines(
    folder: pathlib.Path,
    *,
    since: float | None,
    tail: int,
    is_following: bool,
    seconds: float | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Lines from the oldest to the newest file; raises UsageError.

    ``since`` in seconds since the epoch; ``tail`` lines at most, all if negative; following ends
    after ``seconds``.
    """
    with _opened(folder / NAME) as current:
        old = (line for file in _rotated(folder) for line in _read(file))
        standing = (line for part in (old, current) for line in part if _is_new(line, since))
        yield from standing if tail < 0 else collections.deque(standing, maxlen=tail)
        if not is_following:
            return
        until = None if seconds is None else clock() + seconds
        yield from _followed(folder / NAME, current, until, sleep=sleep, clock=clock)


def _followed(
    path: pathlib.Path,
    current: typing.TextIO,
    until: float | None,
    *,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
) -> Iterator[str]:
    """New lines, through rotations: the file that has the name is taken up after the old one."""
    opened: typing.TextIO | None = None
    pending = ""
    try:
        while until is None or clock() < until:
            read = (opened or current).readline()
            pending += read
            if pending.endswith("\n"):
                yield pending
                pending = ""
            elif not read:
                if _is_other(path, opened or current):
                    replaced, opened = opened, _opened(path)
                    if replaced is not None:
                        replaced.close()
                else:
                    sleep(_POLL)
    finally:
        if opened is not None:
            opened.close()


def _is_other(path: pathlib.Path, file: typing.TextIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False  # between two steps of a rotation


def _opened(path: pathlib.Path) -> typing.TextIO:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from None


def _rotated(folder: pathlib.Path) -> list[pathlib.Path]:
    """``ocisource.log.4`` before ``ocisource.log.1``."""
    numbered = [
        (int(path.suffix[1:]), path)
        for path in folder.glob(f"{NAME}.*")
        if path.suffix[1:].isdecimal()
    ]
    return [path for _, path in sorted(numbered, reverse=True)]


def _read(path: pathlib.Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except FileNotFoundError:
        return  # rotated away meanwhile


def _is_new(line: str, since: float | None) -> bool:
    if since is None:
        return True
    try:
        return timestamps.parse(str(json.loads(line).get("ts"))) >= since
    except (ValueError, AttributeError):
        return False
