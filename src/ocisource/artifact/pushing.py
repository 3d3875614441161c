"""Pushing an artifact: pack, upload what the registry lacks, put the manifest under the tag."""

import asyncio
import dataclasses
import datetime
import os
import pathlib
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from ocisource import digest as digests
from ocisource import errors
from ocisource.artifact import building, remote
from ocisource.net import backoff
from ocisource.oci import limits, registry
from ocisource.oci.grammar import artifact, manifest, reference

EPOCH = "1970-01-01T00:00:00Z"
_ONE_PIECE = 8 << 20  # bytes; a layer up to this size is uploaded at once
_CHUNK = 1 << 20  # bytes

_ATTEMPTS_MAX = 10
_LONGEST_PAUSE = 300.0  # seconds
_SPREAD = 1.1  # a pause is up to 10 % longer
_DEFAULT_SECONDS = 300.0


def patience(seconds: float) -> backoff.Backoff:
    """How a push is tried again: after 1 s, 3 s, 9 s, …, ten times at most.

    A push is what a build was for, so a registry's short absence must not fail it. All pauses
    together fit into ``seconds``, so that in the end the registry's own word is the error.

    >>> [patience(seconds).attempts for seconds in (0.5, 60.0, 300.0)]
    [1, 5, 6]
    """
    attempts, total, pause = 1, 0.0, 1.0
    while attempts < _ATTEMPTS_MAX and total + pause <= seconds / _SPREAD:
        attempts, total, pause = attempts + 1, total + pause, min(pause * 3, _LONGEST_PAUSE)
    return backoff.Backoff(cap=_LONGEST_PAUSE, attempts=attempts)


@dataclasses.dataclass(frozen=True, slots=True)
class Pushed:
    """An artifact as the registry has it; ``size`` is the layer's, in bytes.

    ``entries`` counts files and folders, the root included: 1 is an empty artifact.
    """

    repository: str
    tag: str
    digest: str
    size: int
    entries: int

    @property
    def url(self) -> str:
        """``oci://host/path@sha256:…``."""
        return f"oci://{self}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


async def push(
    url: str,
    path: str | os.PathLike[str],
    *,
    source: str,
    revision: str,
    annotations: Mapping[str, str] | None = None,
    ignore: Sequence[str] = building.IGNORED,
    is_following: bool = False,
    is_reproducible: bool = False,
    access: registry.Access | None = None,
    progress: remote.Progress = remote.no_progress,
    retries: backoff.Backoff | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> Pushed:
    """Pack a folder or file and push it to the tag in ``url``.

    ``source`` and ``revision`` tell where it is from (``main@sha1:…``); ``annotations`` of the
    same keys win over them. With ``is_reproducible`` the time of creation is the epoch, so that
    equal content has an equal digest. Without ``access`` the user's Docker config is used.
    What fails for the time being is tried again for about two minutes, or as ``retries`` says.

    Raises URLInvalidError, UsageError, RegistryError and its leaves, TransportError,
    CredentialError, ContentError.

    >>> import asyncio
    >>> pushed = asyncio.run(
    ...     push("oci://ghcr.io/org/app:v1", "deploy/", source="https://…", revision="main@sha1:…")
    ... )
    >>> pushed.tag, pushed.entries, pushed.url.startswith("oci://ghcr.io/org/app@sha256:")
    ('v1', 2, True)
    """
    repository, tag = target(url)
    created = EPOCH if is_reproducible else _text(clock())
    noted = noted_annotations(
        {artifact.SOURCE: source, artifact.REVISION: revision},
        annotations or {},
        created=created,
    )
    folder = pathlib.Path(path)
    async with (
        building.packed(folder, ignore=ignore, is_following=is_following) as archive,
        remote.opened(
            repository,
            access,
            settings=dataclasses.replace(
                limits.DEFAULT, retries=retries or patience(_DEFAULT_SECONDS)
            ),
            sleep=sleep,
        ) as there,
    ):
        layer = manifest.Descriptor(
            manifest.FLUX_CONTENT,
            archive.built.size,
            digests.Digest.parse(archive.built.digest),
        )
        await _upload(there, layer, archive.file, progress)
        config = artifact.config_descriptor()
        if not await there.has_blob(config):
            await there.upload_blob(config, artifact.CONFIG)
        body = artifact.body(layer, annotations=noted)
        put = await there.put_manifest(body, media_type=manifest.OCI_MANIFEST, reference=tag)
    return Pushed(
        repository=str(repository),
        tag=tag,
        digest=str(put.digest),
        size=layer.size,
        entries=archive.built.entries,
    )


def target(url: str) -> tuple[reference.Repository, str]:
    """Repository and tag to push to; raises URLInvalidError, UsageError for a digest."""
    wanted = remote.parse(url)
    if wanted.tag is None:
        raise errors.UsageError(
            f"'{url}' names a digest, which nothing can be pushed to: name a tag"
        )
    return wanted.repository, wanted.tag


def noted_annotations(
    standing: Mapping[str, str], given: Mapping[str, str], *, created: str
) -> dict[str, str]:
    """The manifest's annotations; those given win. Raises UsageError for a time that is none."""
    noted = {artifact.CREATED: created, **standing, **given}
    noted[artifact.CREATED] = noted[artifact.CREATED] or created
    try:
        moment = datetime.datetime.fromisoformat(noted[artifact.CREATED])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise errors.UsageError(
            f'invalid created timestamp "{noted[artifact.CREATED]}": write it with its zone, as in '
            "2022-06-14T11:23:36Z"
        )
    return noted


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _upload(
    there: registry.RemoteRepository,
    layer: manifest.Descriptor,
    file: typing.IO[bytes],
    progress: remote.Progress,
) -> None:
    progress(0, layer.size)
    if not await there.has_blob(layer):
        file.seek(0)
        if layer.size <= _ONE_PIECE:
            await there.upload_blob(layer, file.read())
        else:
            await there.upload_blob(layer, _chunks(file, layer.size, progress))
    progress(layer.size, layer.size)


async def _chunks(
    file: typing.IO[bytes], size: int, progress: remote.Progress
) -> AsyncIterator[bytes]:
    done = 0
    while data := file.read(_CHUNK):
        yield data
        done += len(data)
        progress(done, size)
