"""`ocisource push artifact`: pack a folder, a file or standard input, and push it."""

import asyncio
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, output, shared
from ocisource.cli.artifacts import remote

_FAILURE = "pushing artifact failed"
_TOLD = 0.5  # seconds; a shorter pause is nobody's concern


@shared.command()
@click.argument("words", nargs=-1, metavar="oci://HOST/REPO[:TAG]")
@click.option("-f", "--path", default="", metavar="PATH", help="Folder, file, or - for stdin.")
@click.option("--source", default="", metavar="URL", help="Where the content is from.")
@click.option("--revision", default="", help="Its revision, such as main@sha1:SHA.")
@click.option(
    "-a", "--annotations", multiple=True, metavar="K=V", help="Further annotations; repeatable."
)
@remote.ignore_options
@click.option("--reproducible", is_flag=True, help="Date the artifact to the Unix epoch.")
@click.option("--resolve-symlinks", is_flag=True, help="Pack what links point to.")
@click.option("--debug", is_flag=True, hidden=True)
@shared.output_option
@remote.registry_options
@shared.timeout_option
def artifact(*, words: Sequence[str], chosen: choice.Chosen, **values: typing.Any) -> None:
    """Pack a folder or file and push it to a registry.

    \b
    Examples:
      ocisource push artifact oci://ghcr.io/org/app:v1 -f ./deploy \\
        --source "$(git config --get remote.origin.url)" \\
        --revision "$(git branch --show-current)@sha1:$(git rev-parse HEAD)"
      ocisource push artifact oci://localhost:5000/app:v1 -f app.yaml --source x --revision y
      kustomize build . | ocisource push artifact oci://ghcr.io/org/app:v1 -f - \\
        --source x --revision y --reproducible -o json
    """  # noqa: D301
    url = output.one_name(words, missing="artifact URL is required")
    for flag in ("source", "revision"):
        if not values[flag]:
            raise errors.UsageError(f"--{flag} is required")
    if not values["path"]:
        raise errors.UsageError('invalid path ""')
    # Imported here: wrong usage should not wait for the registry client.
    from ocisource.artifact import pushing  # noqa: PLC0415

    repository, tag = pushing.target(url)
    with remote.local_path(values["path"]) as path:
        annotations = _annotations(values["annotations"])
        login = remote.access(values)
        if values["output"] is None:
            output.say(output.ACTION, f"pushing artifact to {repository}:{tag}")
        with remote.progress("pushing") as progress:
            pushed = remote.run(
                chosen,
                pushing.push(
                    url,
                    path,
                    source=values["source"],
                    revision=values["revision"],
                    annotations=annotations,
                    ignore=remote.ignored(values),
                    is_following=values["resolve_symlinks"],
                    is_reproducible=values["reproducible"],
                    access=login,
                    progress=progress,
                    retries=pushing.patience(chosen.timeout),
                    sleep=_pause,
                ),
                failure=_FAILURE,
            )
    remote.warn_if_empty(pushed.entries)
    if values["output"] is None:
        output.say(output.SUCCESS, f"artifact successfully pushed to {pushed}")
        return
    data = {
        "url": pushed.url,
        "repository": pushed.repository,
        "tag": pushed.tag,
        "digest": pushed.digest,
    }
    output.data(data, output=values["output"])


async def _pause(seconds: float) -> None:
    """Wait before another try, and say so: the person is waiting, too."""
    if seconds >= _TOLD:
        output.say(output.WAITING, f"the registry failed for now, trying again in {seconds:.0f}s")
    await asyncio.sleep(seconds)


def _annotations(items: Sequence[str]) -> dict[str, str]:
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise errors.UsageError(f"invalid annotation {item}, must be in the format key=value")
        found[key] = value
    return found
