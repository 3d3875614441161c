"""How a command that failed says so: one line on standard error, and an exit code.

No text holds a credential, and there is no traceback.
"""

import sys
import traceback

import click

from ocisource import errors
from ocisource.cli import output, streams

_FAILED, _USAGE = 1, 2  # exit codes
_OWN = "/ocisource/"  # in the path of every module of ours


def told(error: click.ClickException | errors.OcisourceError) -> int:
    """Print an error that was foreseen; its exit code."""
    if isinstance(error, click.ClickException):
        return _fail(_usage(error), _USAGE)
    is_usage = isinstance(error, errors.UsageError | errors.URLInvalidError)
    return _fail(error.text, _USAGE if is_usage else _FAILED)


def system(error: OSError) -> int:
    """Print what the system refused, such as a full disk behind standard output."""
    where = f"{error.filename}: " if error.filename else ""
    return _fail(where + (error.strerror or type(error).__name__), _FAILED)


def mistake(error: Exception) -> int:
    """Print kind and place of an error nobody foresaw; its text may hold a credential."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _OWN in frame.filename]
    where = f" in {own[-1].filename.rpartition(_OWN)[2]}:{own[-1].lineno}" if own else ""
    return _fail(
        f"this should not happen: {type(error).__name__}{where}; please report it "
        "('python -X dev -m ocisource …' shows more)",
        _FAILED,
    )


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text} (see '{context.command_path} --help')" if context is not None else text


def _fail(text: str, code: int) -> int:
    try:
        click.echo(f"✗ {output.visible(text)}", err=True)
    except OSError:
        streams.drop(sys.stderr)  # the exit code says it, too
    return code
