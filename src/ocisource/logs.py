"""Structured logs: one JSON object a line with Flux's keys, or one readable line on a terminal.

``level`` is trace, debug, info or error; ``ts`` ISO 8601 UTC with milliseconds; ``msg`` the text;
further keys are the fields bound to the logger, those of the task it is used in (``during``), and
those of the call.
"""

import contextlib
import contextvars
import datetime
import io
import json
import logging
import logging.handlers
import os
import pathlib
import sys
import types
import typing
from collections.abc import Mapping

TRACE = 5
LEVELS: dict[str, int] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "error": logging.ERROR,
}
ENCODINGS = ("json", "console")
FILE_BYTES = 16 * 1024 * 1024  # a log file is rotated at this size
FILE_COUNT = 4  # rotated files kept beside the current one

_ROOT = "ocisource"
_FIELDS = "ocisource_fields"
_COLOURS = {"trace": "2", "debug": "2", "info": "32", "error": "31"}


_NOTHING: Mapping[str, object] = types.MappingProxyType({})
_during: contextvars.ContextVar[Mapping[str, object]] = contextvars.ContextVar(
    "during", default=_NOTHING
)


def during(**fields: object) -> None:
    """From now on write these fields with every line of the present task, whoever logs it.

    A value may make its text only when a line is written, in its ``__str__``.
    """
    _during.set({**_during.get(), **fields})


class Log:
    """A logger with bound fields."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: dict[str, object]) -> None:
        self._logger = logger
        self._fields = fields

    def bind(self, **fields: object) -> "Log":
        """The same logger with more fields."""
        return Log(self._logger, self._fields | fields)

    def is_enabled(self, level: str) -> bool:
        """Whether a line of that level would be written."""
        return self._logger.isEnabledFor(LEVELS[level])

    def trace(self, message: str, **fields: object) -> None:
        """Write a line of level trace."""
        self._write(TRACE, message, fields)

    def debug(self, message: str, **fields: object) -> None:
        """Write a line of level debug."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        """Write a line of level info."""
        self._write(logging.INFO, message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Write a line of level error."""
        self._write(logging.ERROR, message, fields)

    def _write(self, level: int, message: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            said = {**self._fields, **_during.get(), **fields}
            self._logger.log(level, message, extra={_FIELDS: said})


def get(name: str, **fields: object) -> Log:
    """A logger below the product's root; ``fields`` are written with every line."""
    return Log(logging.getLogger(f"{_ROOT}.{name}"), {"logger": name} | fields)


def setup(
    *,
    level: str,
    encoding: str,
    stream: typing.TextIO | None = sys.stderr,
    folder: pathlib.Path | None = None,
) -> None:
    """Send the product's logs to ``stream``, and as JSON to rotated files in ``folder``."""
    root = logging.getLogger(_ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(LEVELS[level])
    root.propagate = False
    if stream is not None:
        console: logging.Handler = _Stream(stream)
        console.setFormatter(
            ConsoleFormatter(is_coloured=stream.isatty())
            if encoding == "console"
            else JSONFormatter()
        )
        root.addHandler(console)
    if stream is None and folder is None:
        root.addHandler(logging.NullHandler())
    if folder is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotated = _PrivateFile(
            folder / "ocisource.log", maxBytes=FILE_BYTES, backupCount=FILE_COUNT, encoding="utf-8"
        )
        rotated.setFormatter(JSONFormatter())
        root.addHandler(rotated)


class _Stream(logging.StreamHandler[typing.TextIO]):
    """A stream whose reader may go: there is nowhere to say so."""

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        """Go on without the line."""


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Rotated files that only their owner may read: messages quote what users declared.

    A line that the disk has no room for is lost, which is told once on standard error.
    """

    _is_told = False

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        """Go on without the line."""
        if self._is_told:
            return
        self._is_told = True
        error = sys.exc_info()[1]
        why = getattr(error, "strerror", None) or type(error).__name__
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"✗ {self.baseFilename}: {why}: log lines are lost\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Close the file; what it could not take is lost."""
        with contextlib.suppress(OSError):
            super().close()

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def _level_name(level: int) -> str:
    return next((name for name, value in reversed(LEVELS.items()) if level >= value), "trace")


def _timestamp(created: float) -> str:
    moment = datetime.datetime.fromtimestamp(created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON text."""
        line: dict[str, object] = {
            "level": _level_name(record.levelno),
            "ts": _timestamp(record.created),
            "msg": record.getMessage(),
        }
        line.update(getattr(record, _FIELDS, {}))
        return json.dumps(line, ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """One readable line: time, level, subject, text, error.

    Texts quote what users declared and registries answered: control characters, which a terminal
    would obey, are written out.
    """

    def __init__(self, *, is_coloured: bool) -> None:
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of text."""
        fields = dict(getattr(record, _FIELDS, {}))
        level = _level_name(record.levelno)
        shown = f"\x1b[{_COLOURS[level]}m{level:5}\x1b[0m" if self._is_coloured else f"{level:5}"
        name, namespace = fields.get("name"), fields.get("namespace")
        subject = f" {namespace}/{name}:" if name and namespace else ""
        error = f": {fields['error']}" if fields.get("error") else ""
        said = f"{subject} {record.getMessage()}{error}"
        if not said.isprintable():
            said = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in said)
        return f"{_timestamp(record.created)} {shown}{said}"
