"""`ocisource tag artifact`: give an artifact further tags."""

import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, labels, output, shared
from ocisource.cli.artifacts import remote

_FAILURE = "tagging artifact failed"


@shared.command()
@click.argument("words", nargs=-1, metavar="oci://HOST/REPO:TAG")
@click.option("--tag", "tags", multiple=True, metavar="TAG[,TAG]…", help="Tags to give it.")
@remote.registry_options
@shared.timeout_option
def artifact(*, words: Sequence[str], chosen: choice.Chosen, **values: typing.Any) -> None:
    """Give an artifact further tags; nothing is uploaded but the manifest.

    \b
    Examples:
      ocisource tag artifact oci://ghcr.io/org/app:v1.0.0 --tag latest
      ocisource tag artifact oci://ghcr.io/org/app@sha256:… --tag stable,v1
    """  # noqa: D301
    output.one_name(words, missing="artifact name is required")
    tags = labels.comma_list(values["tags"])
    if not tags:
        raise errors.UsageError("--tag is required")
    from ocisource.artifact import remote as artifact_remote  # noqa: PLC0415
    from ocisource.oci.grammar import reference  # noqa: PLC0415

    wanted = remote.url_of(words, missing="artifact name is required")
    for tag in tags:
        reference.Reference.parse(f"{wanted.repository}:{tag}")
    login = remote.access(values)
    output.say(output.ACTION, "tagging artifact")

    def tagged(tag: str) -> None:
        output.say(output.SUCCESS, f"artifact tagged as {wanted.repository}:{tag}")

    work = artifact_remote.tag(wanted, tags, access=login, tagged=tagged)
    remote.run(chosen, work, failure=_FAILURE)
