"""Which objects a list or watch is about: labels, and the fields that each kind lets one ask for.

Field labels follow kube-apiserver: name and namespace for every kind, more for events, secrets
and namespaces, and the ``selectableFields`` of a CRD's version.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ocisource.apiserver import kinds, requests
from ocisource.apiserver.history import records
from ocisource.apiserver.wording import failures
from ocisource.wire import selectors

NAME = "metadata.name"
NAMESPACE = "metadata.namespace"
_EVERY = (NAME, NAMESPACE)
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "events": (
        *(f"involvedObject.{name}" for name in _INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "events.events.k8s.io": (
        *(f"regarding.{name}" for name in _INVOLVED),
        "reason",
        "reportingController",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch wants to see of a kind."""

    kind: kinds.Kind
    namespace: str
    labels: selectors.LabelSelector
    fields: selectors.FieldSelector

    @classmethod
    def of(
        cls, kind: kinds.Kind, namespace: str, options: requests.ListOptions, *, name: str = ""
    ) -> "Selection":
        """Read the selectors of a request; raises APIStatusError for a field nobody knows."""
        fields = options.fields
        if name:
            # The older form of a watch, with the name in the path.
            fields = selectors.FieldSelector((*fields.terms, selectors.Term(NAME, name)))
        known = (*_EVERY, *_FIELDS.get(kind.resource.qualified, ()), *kind.version.selectable)
        for term in fields.terms:
            if term.field not in known:
                raise failures.bad_request(_unknown(kind, term.field))
        return cls(kind, namespace, options.labels, fields)

    @property
    def name(self) -> str:
        """The one name that is wanted, if it is only one."""
        return self.fields.exact(NAME) or ""

    @property
    def where(self) -> str:
        """The one namespace that is wanted, if it is only one."""
        return self.namespace or self.fields.exact(NAMESPACE) or ""

    def admits(self, record: records.Record | None) -> bool:
        """Whether an object belongs to what is wanted."""
        if record is None:
            return False
        if self.namespace and record.key.namespace != self.namespace:
            return False
        if self.labels and not self.labels.matches(record.labels):
            return False
        return not self.fields or self.fields.matches(self._values(record))

    def _values(self, record: records.Record) -> Mapping[str, str]:
        values = {NAME: record.key.name, NAMESPACE: record.key.namespace}
        wanted = [term.field for term in self.fields.terms if term.field not in _EVERY]
        if wanted:
            obj = record.decode()
            values.update((field, _value(obj, field)) for field in wanted)
        return values


def _value(obj: Mapping[str, Any], field: str) -> str:
    # Events are stored as core/v1; events.k8s.io/v1 calls the same members otherwise.
    if field in {"source", "reportingComponent", "reportingController"}:
        return _source(obj)
    value: Any = obj
    for part in field.replace("regarding.", "involvedObject.", 1).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return _text(value)


def _source(event: Mapping[str, Any]) -> str:
    # core/v1 ToSelectableFields: the reporting controller stands in for a missing source.
    source = event.get("source") or {}
    return _text(source.get("component") or event.get("reportingComponent"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _unknown(kind: kinds.Kind, field: str) -> str:
    if kind.resource.is_custom or kind.resource.qualified in _FIELDS:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "{NAME}", "{NAMESPACE}"'
