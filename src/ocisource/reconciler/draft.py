"""Draft: the status that a run is about to write, with the object it started from."""

import msgspec

from ocisource import logs
from ocisource.api import artifact as artifacts
from ocisource.api import conditions, ocirepository
from ocisource.reconciler import reasons, summarize

FOLDER = "ocirepository"
SUFFIX = ".tar.gz"


def folder_of(namespace: str, name: str) -> str:
    """The folder of an object in the store."""
    return f"{FOLDER}/{namespace}/{name}"


class Draft:
    """One run's view: ``obj`` as it was at the start, ``status`` as it will be at the end.

    ``now`` is the time of the run as RFC 3339 text, ``folder`` the object's folder in the store.
    ``is_rebuild_due`` says that the stored artifact was made for another platform than the one that
    is configured now, ``is_linked`` that ``latest.tar.gz`` leads to it.
    """

    __slots__ = ("folder", "is_linked", "is_rebuild_due", "now", "obj", "status")

    def __init__(self, obj: ocirepository.OCIRepository, *, now: str) -> None:
        self.obj = obj
        self.now = now
        self.folder = folder_of(obj.metadata.namespace, obj.metadata.name)
        self.is_rebuild_due = False
        self.is_linked = True
        # Nothing is verified here: what another controller said of a signature is not ours to keep.
        self.status = summarize.drop(
            obj.status, reasons.STORAGE_OPERATION_FAILED, reasons.SOURCE_VERIFIED
        )
        if self.generation != obj.status.observed_generation:
            self.reconciling(
                reasons.NEW_GENERATION, f"reconciling new object generation ({self.generation})"
            )

    @property
    def generation(self) -> int:
        """The generation of the spec this run works on."""
        return self.obj.metadata.generation

    def mark(self, type_: str, *, reason: str, message: str) -> None:
        """Set a condition to True."""
        self.status = summarize.mark(
            self.status,
            type_,
            reason=reason,
            message=message,
            generation=self.generation,
            now=self.now,
        )

    def reconciling(self, reason: str, message: str) -> None:
        """Say that, and why, the object is on its way to a new state."""
        self.mark(conditions.RECONCILING, reason=reason, message=message)

    def drop(self, *types: str) -> None:
        """Remove conditions."""
        self.status = summarize.drop(self.status, *types)

    def forget_artifact(self) -> None:
        """The artifact is not, or not any more, in the store."""
        self.status = msgspec.structs.replace(self.status, artifact=None, url="")
        self.drop(reasons.ARTIFACT_IN_STORAGE)
        self.reconciling(reasons.NO_ARTIFACT, "no artifact for resource in storage")

    def keep(self, artifact: artifacts.Artifact, *, url: str) -> None:
        """Record the artifact and the address of its ``latest.tar.gz``."""
        if (artifact, url) != (self.status.artifact, self.status.url):
            self.status = msgspec.structs.replace(self.status, artifact=artifact, url=url)

    def observe_content_config(self, *, checksum: str) -> None:
        """Record the content configuration that the artifact was made with."""
        spec = self.obj.spec
        self.status = msgspec.structs.replace(
            self.status,
            observed_ignore=spec.ignore,
            observed_layer_selector=spec.layer_selector,
            content_config_checksum=checksum,
        )

    def in_progress(self) -> ocirepository.Status:
        """The status to show while the fetch is under way."""
        return summarize.in_progress(self.status, generation=self.generation, now=self.now)

    def bind(self, log: logs.Log) -> logs.Log:
        """The logger with the object's name in every line."""
        meta = self.obj.metadata
        return log.bind(namespace=meta.namespace, name=meta.name)
