"""`ocisource list artifacts`: the tags of a repository and what they are made of."""

import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, output, shared
from ocisource.cli.artifacts import remote

_FAILURE = ""  # what failed, the tags or a manifest, is in the text


@shared.command()
@click.argument("words", nargs=-1, metavar="oci://HOST/REPO")
@click.option("--filter-semver", default="", metavar="RANGE", help="Only versions in this range.")
@click.option("--filter-regex", default="", metavar="REGEX", help="Only tags that match this.")
@shared.output_option
@remote.registry_options
@shared.timeout_option
def artifacts(*, words: Sequence[str], chosen: choice.Chosen, **values: typing.Any) -> None:
    """List the tags of a repository: versions first, newest first.

    \b
    Examples:
      ocisource list artifacts oci://ghcr.io/stefanprodan/manifests/podinfo
      ocisource list artifacts oci://ghcr.io/org/app --filter-semver '>=1.0.0 <2.0.0'
      ocisource list artifacts oci://ghcr.io/org/app --filter-regex '^main-' -o json
    """  # noqa: D301
    url = output.one_name(words, missing="artifact repository URL is required")
    from ocisource.artifact import remote as artifact_remote  # noqa: PLC0415
    from ocisource.oci.grammar import reference  # noqa: PLC0415

    try:
        repository = reference.Repository.parse_url(url)
        artifact_remote.tag_filter(values["filter_semver"], values["filter_regex"])
    except errors.URLInvalidError as error:
        raise errors.UsageError(f"listing tags failed: {error.text}") from None
    except errors.ReferenceInvalidError as error:
        raise errors.UsageError(error.text) from None
    login = remote.access(values)
    work = artifact_remote.list_tags(
        repository,
        semver=values["filter_semver"],
        pattern=values["filter_regex"],
        access=login,
    )
    found = remote.run(chosen, work, failure=_FAILURE)
    _show(url.removeprefix(reference.SCHEME), found, values["output"])


def _show(name: str, found: Sequence[typing.Any], output_: str | None) -> None:
    if output_ is not None:
        data = [
            {
                "artifact": f"{name}:{each.tag}",
                "tag": each.tag,
                "digest": each.digest,
                "source": each.source,
                "revision": each.revision,
                "sizeBytes": each.size,
            }
            for each in found
        ]
        output.data(data, output=output_)
        return
    header = ("ARTIFACT", "DIGEST", "SOURCE", "REVISION")
    cells = [(f"{name}:{each.tag}", each.digest, each.source, each.revision) for each in found]
    output.write(output.table(header, cells))
