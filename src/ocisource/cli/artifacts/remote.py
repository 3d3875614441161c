"""What the artifact commands share: the address, the login, texts of failures, progress."""

import asyncio
import contextlib
import os
import pathlib
import sys
import tempfile
import typing
from collections.abc import Callable, Coroutine, Iterator, Sequence

import click

from ocisource import errors
from ocisource.cli import choice, labels, output
from ocisource.wire import durations

if typing.TYPE_CHECKING:
    from ocisource.oci import registry
    from ocisource.oci.grammar import reference

PROVIDERS = ("generic", "aws", "azure", "gcp")
STDIN = "-"
STDIN_NAME = "stdin.yaml"  # the file that standard input becomes in an artifact
_STDIN_MAX = 512 << 20  # bytes

T = typing.TypeVar("T")
F = typing.TypeVar("F", bound=Callable[..., typing.Any])


def registry_options(function: F) -> F:
    """Give a command the options of a login; they come as creds, provider, insecure_registry."""
    for decorate in (
        click.option(
            "--insecure-registry", is_flag=True, help="Allow plain HTTP and any certificate."
        ),
        click.option(
            "--provider",
            type=click.Choice(PROVIDERS),
            default=PROVIDERS[0],
            show_default=True,
            help="Whose login is used; generic is --creds or the Docker config.",
        ),
        click.option("--creds", default="", metavar="USER:PASSWORD", help="Login, or a token."),
    ):
        function = decorate(function)
    return function


def ignore_options(function: F) -> F:
    """Give a command the options of what is left out; they come as ignore_paths, add_…."""
    for decorate in (
        click.option(
            "--add-ignore-paths",
            multiple=True,
            metavar="PATTERNS",
            help="Leave this out, too; comma list, repeatable.",
        ),
        click.option(
            "--ignore-paths",
            multiple=True,
            metavar="PATTERNS",
            help="Leave this out, as in .gitignore; comma list.  [default: VCS, images, zips]",
        ),
    ):
        function = decorate(function)
    return function


def ignored(values: typing.Mapping[str, typing.Any]) -> tuple[str, ...]:
    """The patterns that the options say."""
    from ocisource.archive import sourceignore  # noqa: PLC0415

    chosen = labels.comma_list(values["ignore_paths"]) or sourceignore.COMMAND_LINE
    return (*chosen, *labels.comma_list(values["add_ignore_paths"]))


def url_of(words: Sequence[str], *, missing: str) -> "reference.Reference":
    """The reference that the first word is; raises UsageError, URLInvalidError."""
    from ocisource.artifact import remote  # noqa: PLC0415

    return remote.parse(output.one_name(words, missing=missing))


def access(values: typing.Mapping[str, typing.Any]) -> "registry.Access":
    """The login that the options say; raises CredentialError."""
    from ocisource.artifact import remote  # noqa: PLC0415

    provider = values["provider"]
    if provider != PROVIDERS[0]:
        output.say(output.ACTION, "logging in to registry with provider credentials")
    elif values["creds"]:
        output.say(output.ACTION, "logging in to registry with credentials")
    return remote.access(
        creds=values["creds"], provider=provider, is_insecure=values["insecure_registry"]
    )


def run(chosen: choice.Chosen, work: Coroutine[typing.Any, typing.Any, T], *, failure: str) -> T:
    """Do the work within ``--timeout``; ``failure`` stands before what went wrong, if given."""
    before = f"{failure}: " if failure else ""

    async def timed() -> T:
        async with asyncio.timeout(chosen.timeout):
            return await work

    try:
        return asyncio.run(timed())
    except TimeoutError:
        seconds = durations.format_seconds(chosen.timeout)
        raise errors.DeadlineError(
            f"{before}timed out after {seconds}; --timeout allows more"
        ) from None
    except (errors.UsageError, errors.URLInvalidError):
        raise
    except errors.OcisourceError as error:
        raise errors.OcisourceError(f"{before}{error.text}") from error


@contextlib.contextmanager
def local_path(text: str) -> Iterator[pathlib.Path]:
    """The folder or file to pack; standard input becomes a file. Raises UsageError."""
    if not text:
        raise errors.UsageError('invalid path ""')
    if text != STDIN:
        path = pathlib.Path(text)
        if not path.exists():
            raise errors.UsageError(
                f"invalid path '{text}', must point to an existing directory or file"
            )
        yield path
        return
    data = sys.stdin.buffer.read(_STDIN_MAX + 1).rstrip(b"\r\n")
    if len(data) > _STDIN_MAX:
        raise errors.UsageError(f"standard input is larger than {_STDIN_MAX} bytes")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / STDIN_NAME
        path.write_bytes(data)
        path.chmod(0o644)
        yield path


def warn_if_empty(entries: int) -> None:
    """Say so when an archive holds nothing but its root."""
    if entries <= 1:
        output.say(
            output.WARNING,
            "the artifact is empty: all there is is left out (see --ignore-paths)",
        )


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with bytes, rate and time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _done, _total: None
        return
    from rich import console, progress  # noqa: PLC0415 - on terminals alone

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR"))),
    )
    with bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
