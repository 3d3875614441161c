"""Notify: which events tell of a run. Pure; the recorder that sends them is handed in elsewhere.

``Normal`` and ``Warning`` events go to Kubernetes and to the notification receiver; a trace is a
``Normal`` Kubernetes event that the receiver does not get.
"""

import dataclasses
import typing

from ocisource import settings
from ocisource.api import artifact as artifacts
from ocisource.api import conditions, ocirepository
from ocisource.reconciler import reasons, steps

NORMAL: typing.Final = "Normal"
WARNING: typing.Final = "Warning"

ORIGIN_SOURCE: typing.Final = "org.opencontainers.image.source"
ORIGIN_REVISION: typing.Final = "org.opencontainers.image.revision"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell about an object."""

    type: str
    reason: str
    message: str
    is_trace: bool = False
    annotations: dict[str, str] = dataclasses.field(default_factory=dict)


class Recorder(typing.Protocol):
    """Where events go; never waits."""

    def record(self, obj: ocirepository.OCIRepository, event: Event) -> None:
        """Tell an event about an object."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The words that depend on how revisions are written."""

    revision_format: str

    @property
    def noun(self) -> str:
        """What a revision is called: the seed's "digest", or "revision" in the Flux form."""
        return "digest" if self.revision_format == settings.REVISION_HEX else "revision"

    def stored_for(self, revision: str) -> str:
        """Text of Ready and ArtifactInStorage."""
        return f"stored artifact for digest '{revision}'"

    def new_revision(self, revision: str, reference: str) -> str:
        """Text of ArtifactOutdated and Reconciling."""
        return f"new {self.noun} '{revision}' for '{reference}'"

    def stored(self, artifact: artifacts.Artifact, url: str) -> str:
        """Text of NewArtifact and of the event of a recovery."""
        text = f"stored artifact with {self.noun} '{artifact.revision}' from '{url}'"
        source = artifact.metadata.get(ORIGIN_SOURCE)
        revision = artifact.metadata.get(ORIGIN_REVISION)
        if source and revision:
            text += f", origin source '{source}', origin revision '{revision}'"
        return text

    def up_to_date(self, revision: str) -> str:
        """Text of ArtifactUpToDate."""
        return f"artifact up-to-date with remote {self.noun}: '{revision}'"


def trace(reason: str, message: str) -> Event:
    """An event that only Kubernetes gets."""
    return Event(type=NORMAL, reason=reason, message=message, is_trace=True)


def link_failed(problem: str) -> Event:
    """``latest.tar.gz`` cannot be made to lead to the artifact."""
    return trace(reasons.SYMLINK_UPDATE_FAILED, f"failed to update status URL symlink: {problem}")


def failure_event(failure: steps.StepFailedError) -> Event:
    """The warning that a failed or stalled run ends with."""
    return Event(type=WARNING, reason=failure.reason, message=failure.message)


def success_event(
    *,
    old: ocirepository.Status,
    new: ocirepository.Status,
    url: str,
    texts: Texts,
    is_content_config_changed: bool = False,
) -> Event | None:
    """NewArtifact, Succeeded (a recovery), or nothing.

    ``is_content_config_changed`` tells of what status has no field for: another platform.

    NewArtifact tells of a new revision or content configuration, never of packed bytes alone.
    A recovery is FetchFailed or StorageOperationFailed before the run and neither after it.
    """
    artifact = new.artifact
    if artifact is None:
        return None
    if is_new_content(old, new) or is_content_config_changed:
        reason = reasons.NEW_ARTIFACT
    elif _has_failed(old) and not _has_failed(new):
        reason = reasons.SUCCEEDED
    else:
        return None
    return Event(
        type=NORMAL,
        reason=reason,
        message=texts.stored(artifact, url),
        annotations={
            ocirepository.REVISION_ANNOTATION: artifact.revision,
            ocirepository.CHECKSUM_ANNOTATION: artifact.checksum,
            ocirepository.DIGEST_ANNOTATION: artifact.digest,
        },
    )


def is_new_content(old: ocirepository.Status, new: ocirepository.Status) -> bool:
    """Whether revision or content configuration of the artifact differ from before."""
    if new.artifact is None:
        return False
    return old.artifact is None or (
        (old.artifact.revision, old.observed_ignore, old.observed_layer_selector)
        != (new.artifact.revision, new.observed_ignore, new.observed_layer_selector)
    )


def _has_failed(status: ocirepository.Status) -> bool:
    return any(
        conditions.get(status.conditions, type_) is not None
        for type_ in (reasons.FETCH_FAILED, reasons.STORAGE_OPERATION_FAILED)
    )
