"""The report of `ocisource trace`: blocks of labelled lines, from the object up to its source."""

import datetime
import typing
from collections.abc import Iterable

_WIDTH = 17  # columns of a label
_ORIGIN = (
    ("Origin Revision", "org.opencontainers.image.revision"),
    ("Origin Source", "org.opencontainers.image.source"),
)

Document = dict[str, typing.Any]
Lines = Iterable[tuple[str, str]]


def trace(subject: str, namespace: str, *, applier: Document, source: Document) -> str:
    """The report on one object."""
    first = [("Object", subject)]
    if namespace:
        first.append(("Namespace", namespace))
    first.append(("Status", "Managed by Flux"))
    blocks: list[Lines] = [first, _applier(applier), _source(source, applier["kind"])]
    return "---\n".join(_block(block) for block in blocks)


def _block(lines: Lines) -> str:
    return "".join(
        f"{(label + ':').ljust(_WIDTH)}{text}".rstrip(" ") + "\n" for label, text in lines
    )


def _applier(applier: Document) -> Lines:
    spec, status = applier.get("spec") or {}, applier.get("status") or {}
    yield from _head(applier)
    if spec.get("targetNamespace"):
        yield "Target", spec["targetNamespace"]
    if spec.get("path"):
        yield "Path", spec["path"]
    yield "Revision", str(status.get("lastAppliedRevision") or "")
    yield from _state(status)


def _source(source: Document, applier_kind: str) -> Lines:
    spec, status = source.get("spec") or {}, source.get("status") or {}
    artifact = status.get("artifact") or {}
    yield from _head(source)
    yield "URL", str(spec.get("url") or "")
    ref = spec.get("ref") or {}
    for label, keys in (
        ("Tag", ("tag", "semver")),
        ("Branch", ("branch",)),
        ("Commit", ("commit",)),
    ):
        if found := next((ref[key] for key in keys if ref.get(key)), ""):
            yield label, found
    if ref.get("digest") and not (ref.get("tag") or ref.get("semver")):
        yield "Digest", ref["digest"]
    if artifact:
        yield "Revision", str(artifact.get("revision") or "")
    metadata = artifact.get("metadata") or {}
    if metadata and applier_kind == "Kustomization":
        for label, key in _ORIGIN:
            yield label, str(metadata.get(key) or "")
    yield from _state(status)


def _head(obj: Document) -> Lines:
    yield obj["kind"], obj["metadata"]["name"]
    yield "Namespace", str(obj["metadata"].get("namespace") or "")


def _state(status: Document) -> Lines:
    conditions = status.get("conditions") or ()
    ready = next((each for each in conditions if each.get("type") == "Ready"), None)
    if ready is None:
        yield "Status", "Unknown"
        return
    word = "reconciliation failed" if ready.get("status") == "False" else "reconciled"
    yield "Status", f"Last {word} at {_time(str(ready.get('lastTransitionTime') or ''))}"
    yield "Message", str(ready.get("message") or "")


def _time(text: str) -> str:
    """A time as Go prints it: ``2022-08-02 12:55:34 +0000 UTC``."""
    try:
        moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except ValueError:
        return text
    return moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
