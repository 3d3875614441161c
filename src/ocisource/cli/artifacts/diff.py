"""`ocisource diff artifact`: does a registry's artifact hold what a folder holds."""

import sys
import typing
from collections.abc import Sequence

import click

from ocisource.cli import choice, output, shared
from ocisource.cli.artifacts import remote

if typing.TYPE_CHECKING:
    import pathlib

    from ocisource.artifact import comparing
    from ocisource.oci import registry

_FAILURE = "comparing artifact failed"


@shared.command()
@click.argument("words", nargs=-1, metavar="oci://HOST/REPO[:TAG|@DIGEST]")
@click.option("-p", "--path", default="", metavar="PATH", help="Folder, file, or - for stdin.")
@remote.ignore_options
@click.option("--resolve-symlinks", is_flag=True, help="Compare what links point to.")
@click.option("--text", "has_text", is_flag=True, help="Show how the text of files differs.")
@shared.output_option
@remote.registry_options
@shared.timeout_option
@click.pass_context
def artifact(
    ctx: click.Context, /, *, words: Sequence[str], chosen: choice.Chosen, **values: typing.Any
) -> None:
    """Compare an artifact with a folder or file; exit code 1 when they differ.

    Compared are names, modes and content of files: an artifact that another tool has compressed
    is no difference.

    \b
    Examples:
      ocisource diff artifact oci://ghcr.io/org/app:v1 --path ./deploy
      ocisource diff artifact oci://ghcr.io/org/app:v1 --path ./deploy --text
    """  # noqa: D301
    url = output.one_name(words, missing="artifact URL is required")
    with remote.local_path(values["path"]) as path:
        remote.url_of(words, missing="artifact URL is required")
        login = remote.access(values)
        work = _compare(url, path, values, login)
        found = remote.run(chosen, work, failure=_FAILURE)
    if values["output"] is not None:
        output.data(_as_data(found), output=values["output"])
    if found is None:
        output.say(output.SUCCESS, "no changes detected")
        ctx.exit(0)
    if values["output"] is None:
        output.write(_as_text(found, has_text=values["has_text"]))
    output.say(output.FAILURE, "the remote artifact contents differs from the local one")
    ctx.exit(1)


_Found = tuple["comparing.Content", "comparing.Content"]


async def _compare(
    url: str,
    path: "pathlib.Path",
    values: typing.Mapping[str, typing.Any],
    login: "registry.Access",
) -> _Found | None:
    """The two contents, remote and local; None if they are equal."""
    import asyncio  # noqa: PLC0415

    from ocisource.artifact import building, comparing, pulling  # noqa: PLC0415

    is_following = values["resolve_symlinks"]
    async with building.packed(
        path, ignore=remote.ignored(values), is_following=is_following
    ) as archive:
        with remote.progress("pulling") as progress:
            async with pulling.fetched(url, access=login, progress=progress) as there:
                if str(there.layer.digest) == archive.built.digest:
                    return None
                has_text = values["has_text"]
                theirs = await asyncio.to_thread(comparing.read, there.file, has_text=has_text)
                if theirs.tar_digest == archive.built.tar_digest:
                    return None
                ours = await asyncio.to_thread(comparing.read, archive.file, has_text=has_text)
    return (theirs, ours) if comparing.compare(theirs, ours) else None


def _as_text(found: _Found, *, has_text: bool) -> str:
    from ocisource.artifact import comparing  # noqa: PLC0415

    theirs, ours = found
    difference = comparing.compare(theirs, ours)
    if has_text:
        names = sorted({*difference.added, *difference.removed, *difference.changed})
        text = "".join(
            comparing.unified(name, theirs.entries.get(name), ours.entries.get(name))
            for name in names
        )
        # A file or a pipe (to patch) gets the text as it is.
        return output.visible(text, kept="\n\t") if sys.stdout.isatty() else text
    marks = (("+", difference.added), ("-", difference.removed), ("~", difference.changed))
    lines = sorted((name, mark) for mark, names in marks for name in names)
    return "".join(f"{mark} {output.visible(name, kept='')}\n" for name, mark in lines)


def _as_data(found: _Found | None) -> dict[str, typing.Any]:
    from ocisource.artifact import comparing  # noqa: PLC0415

    if found is None:
        return {"equal": True, "added": [], "removed": [], "changed": []}
    difference = comparing.compare(*found)
    return {
        "equal": False,
        "added": list(difference.added),
        "removed": list(difference.removed),
        "changed": list(difference.changed),
    }
