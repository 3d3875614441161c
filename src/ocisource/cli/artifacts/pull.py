"""`ocisource pull artifact`: fetch an artifact and unpack it into a folder."""

import pathlib
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, flags, output, shared
from ocisource.cli.artifacts import remote

_FAILURE = "pulling artifact failed"
_OPERATIONS = ("extract", "copy")
_NOTES = (
    ("source", "org.opencontainers.image.source"),
    ("revision", "org.opencontainers.image.revision"),
)


@shared.command()
@click.argument("words", nargs=-1, metavar="oci://HOST/REPO[:TAG|@DIGEST]")
@click.option(
    "-o",
    "--output",
    "folder",
    default="",
    metavar="DIR",
    help="Folder to unpack into; it must exist.",
)
@click.option(
    "--layer-selector",
    default="",
    metavar="TYPE[:OP]",
    help="Take the layer of this media type, and extract (default) or copy it.",
)
@click.option("--platform", default="linux/amd64", show_default=True, help="Child of an index.")
@click.option(
    "--max-unpacked-size",
    type=flags.Size(),
    default=4 << 30,
    help="Bytes a layer may unpack to.  [default: 4Gi]",
)
@click.option(
    "--max-entries",
    type=int,
    default=1_000_000,
    show_default=True,
    help="Files and folders it may hold.",
)
@click.option(
    "--max-ratio",
    type=int,
    default=250,
    show_default=True,
    help="How many times larger a layer may unpack to.",
)
@click.option(
    "--max-name-length",
    type=int,
    default=4096,
    show_default=True,
    help="Bytes of the longest name in a layer.",
)
@remote.registry_options
@shared.timeout_option
def artifact(*, words: Sequence[str], chosen: choice.Chosen, **values: typing.Any) -> None:
    """Pull an artifact and unpack it into a folder.

    Files in the way are overwritten, nothing is deleted. Links are left out.

    \b
    Examples:
      ocisource pull artifact oci://ghcr.io/stefanprodan/manifests/podinfo:latest -o ./podinfo
      ocisource pull artifact oci://ghcr.io/org/app@sha256:… -o . --creds me:token
      ocisource pull artifact oci://ghcr.io/org/chart:1.0.0 -o . \\
        --layer-selector application/vnd.cncf.helm.chart.content.v1.tar+gzip:copy
    """  # noqa: D301
    url = output.one_name(words, missing="artifact URL is required")
    if not values["folder"]:
        raise errors.UsageError("output path cannot be empty")
    media_type, operation = _layer(values["layer_selector"])
    from ocisource.archive import limits  # noqa: PLC0415
    from ocisource.artifact import pulling  # noqa: PLC0415

    wanted = remote.url_of(words, missing="artifact URL is required")
    folder = pathlib.Path(values["folder"])
    pulling.check_folder(folder)
    login = remote.access(values)
    output.say(output.ACTION, f"pulling artifact from {wanted}")
    with remote.progress("pulling") as progress:
        pulled = remote.run(
            chosen,
            pulling.pull(
                url,
                folder,
                media_type=media_type,
                is_copied=operation == "copy",
                platform=values["platform"],
                limits=limits.Limits(
                    unpacked_bytes=values["max_unpacked_size"],
                    entries=values["max_entries"],
                    ratio=values["max_ratio"],
                    name_bytes=values["max_name_length"],
                ),
                access=login,
                progress=progress,
            ),
            failure=_FAILURE,
        )
    for label, key in _NOTES:
        if pulled.annotations.get(key):
            output.say(output.SUCCESS, f"{label} {pulled.annotations[key]}")
    output.say(output.SUCCESS, f"digest {pulled}")
    for kind, count in sorted(pulled.skipped.items()):
        output.say(output.WARNING, f"left out: {count} x {kind}")
    output.say(output.SUCCESS, f"artifact content extracted to {folder}")


def _layer(text: str) -> tuple[str, str]:
    media_type, colon, operation = text.partition(":")
    if colon and operation not in _OPERATIONS:
        raise errors.UsageError(
            f'invalid --layer-selector "{text}": operation must be "extract" or "copy"'
        )
    return media_type, operation
