"""Sources as rows of a table: which are wanted, and what their cells say."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ocisource import errors
from ocisource.api import conditions, ocirepository
from ocisource.cli import output
from ocisource.wire import selectors

if typing.TYPE_CHECKING:
    from ocisource.kube import client

WAITING = "waiting to be reconciled"
_HIDDEN_METADATA = ("managedFields",)

Source = ocirepository.OCIRepository
Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which sources are wanted and how they are shown."""

    name: str = ""
    is_everywhere: bool = False
    label_selector: str = ""
    condition: tuple[str, str, bool] | None = None  # type, status, and whether they must be equal
    has_header: bool = True
    output: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, typing.Any]) -> "Query":
        """What the options of a command say; raises UsageError."""
        try:
            selectors.LabelSelector.parse(values["label_selector"])
        except errors.InvalidInputError as error:
            raise errors.UsageError(f"unable to parse label selector: {error}") from None
        return cls(
            name=values["name"],
            is_everywhere=values["all_namespaces"],
            label_selector=values["label_selector"],
            condition=_condition(values["status_selector"]),
            has_header=not values["no_header"],
            output=values["output"],
        )

    def scope(self, namespace: str) -> "client.Scope":
        """What the API server is asked for."""
        from ocisource.kube import client  # noqa: PLC0415

        return client.Scope(**self.selection(namespace))

    def selection(self, namespace: str) -> dict[str, str]:
        """Namespace, label selector and field selector."""
        return {
            "namespace": "" if self.is_everywhere else namespace,
            "label_selector": self.label_selector,
            "field_selector": f"metadata.name={self.name}" if self.name else "",
        }


def selected(found: Iterable[Source], query: Query) -> list[Source]:
    """The sources whose conditions are as wanted; an absent condition equals nothing."""
    return [obj for obj in found if query.condition is None or _is_wanted(obj, *query.condition)]


def table(
    found: Iterable[Source], query: Query, *, prefix: str = "", has_header: bool | None = None
) -> str:
    """The sources as a table."""
    header = ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"]
    if query.is_everywhere:
        header.insert(0, "NAMESPACE")
    is_headed = query.has_header if has_header is None else has_header
    cells = [_cells(obj, prefix=prefix)[0 if query.is_everywhere else 1 :] for obj in found]
    return output.table(header, cells, has_header=is_headed)


def ready(found: conditions.Conditions) -> tuple[str, str]:
    """READY and MESSAGE of conditions."""
    condition = conditions.get(found, conditions.READY)
    return (condition.status, condition.message) if condition else (conditions.FALSE, WAITING)


def read(document: Document) -> Source:
    """A document of any source kind, as far as a row needs it."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    artifact = status.get("artifact") or {}
    known = {
        "metadata": document.get("metadata") or {},
        "spec": {"suspend": bool(spec.get("suspend"))},
        "status": {
            "conditions": status.get("conditions") or [],
            "artifact": {
                "revision": artifact.get("revision") or "",
                "size": artifact.get("size"),
            },
        },
    }
    return msgspec.convert(known, Source)


def clean(document: Document) -> Document:
    """The document without bookkeeping that nobody reads."""
    metadata = {
        key: value for key, value in document["metadata"].items() if key not in _HIDDEN_METADATA
    }
    return document | {"metadata": metadata}


def as_list(found: Sequence[Document]) -> Document:
    """Documents as one, the way kubectl prints several."""
    return {"apiVersion": "v1", "kind": "List", "items": [clean(each) for each in found]}


def _cells(obj: Source, *, prefix: str) -> list[str]:
    status, message = ready(obj.status.conditions)
    revision = obj.status.artifact.revision if obj.status.artifact is not None else ""
    return [
        obj.metadata.namespace,
        prefix + obj.metadata.name,
        output.shortened(revision),
        str(obj.spec.suspend),
        status,
        output.shortened(message),
    ]


def _condition(text: str) -> tuple[str, str, bool] | None:
    if not text:
        return None
    sign = "!=" if "!=" in text else "="
    kind, found, status = text.partition(sign)
    if not found:
        raise errors.UsageError(
            f"expected status selector in type=status or type!=status format, but found: {text}"
        )
    return kind.lower(), status.lower(), sign == "="


def _is_wanted(obj: Source, kind: str, status: str, is_equal: bool) -> bool:  # noqa: FBT001
    has = any(
        each.type.lower() == kind and each.status.lower() == status
        for each in obj.status.conditions
    )
    return has is is_equal
