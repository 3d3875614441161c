"""Tables (``meta.k8s.io/v1``): what ``kubectl get`` prints, decided by the server.

1. A resource has columns: the name, then the printer columns of its CRD, or those of a built-in.
2. Every object becomes a row of cells, and the object, its metadata or nothing beside them.
3. Dates become ages (``5m``); columns with a priority above 0 are for ``-o wide`` alone.

Example::

    >>> columns = Columns.from_crd({"name": "v1"})
    >>> [column.name for column in columns.columns]
    ['Name', 'Age']
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from ocisource import errors
from ocisource.apiserver.forms import jsonpath
from ocisource.apiserver.wording import gotext, humanduration
from ocisource.wire import timestamps

Object = Mapping[str, Any]
Cell = Callable[[Object, float], Any]

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: http://kubernetes.io/docs/user-guide/identifiers#names"
)
AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the "
    "system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/"
    "sig-architecture/api-conventions.md#metadata"
)
UNKNOWN_AGE = "<unknown>"
_CREATED = ".metadata.creationTimestamp"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column; ``cell`` gives its value for an object at a time (seconds since the epoch)."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        """The entry of ``columnDefinitions``."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one resource."""

    columns: tuple[Column, ...]

    @classmethod
    def from_crd(cls, version: Mapping[str, Any]) -> Self:
        """Columns of an entry of a CRD's ``spec.versions``; without any: name and age."""
        chosen = version.get("additionalPrinterColumns") or [
            {
                "name": "Age",
                "type": "date",
                "jsonPath": _CREATED,
                "description": AGE_DESCRIPTION,
            }
        ]
        return cls((name_column(), *map(_from_path, chosen)))

    @classmethod
    def default(cls) -> Self:
        """Columns of a resource nobody described: name and creation time."""
        created = Column("Created At", _created_at, type="date", description=AGE_DESCRIPTION)
        return cls((name_column(), created))


def name_column(*, priority: int = 0) -> Column:
    """The column every resource has."""
    return Column("Name", _name, format="name", description=NAME_DESCRIPTION, priority=priority)


def age_column() -> Column:
    """The age as built-in resources print it."""
    return Column("Age", _age, description=AGE_DESCRIPTION)


def age(timestamp: object, now: float) -> str:
    """Age of a time as text; nothing there is ``<unknown>``, nonsense ``<invalid>``."""
    if not isinstance(timestamp, str) or not timestamp:
        return UNKNOWN_AGE
    try:
        when = timestamps.parse(timestamp)
    except ValueError:
        return "<invalid>"
    return humanduration.render(now - when)


def render(
    columns: Columns,
    objects: Iterable[Object],
    *,
    now: float,
    include_object: str = "Metadata",
    metadata: Mapping[str, Any] | None = None,
    has_headers: bool = True,
    api_version: str = "meta.k8s.io/v1",
) -> dict[str, Any]:
    """The Table of some objects.

    ``include_object`` is the query parameter: ``Metadata`` (default), ``Object`` or ``None``.
    ``metadata`` is the list's (resourceVersion, continue, ...). A watch sends the column
    definitions in its first Table only (``has_headers``). ``now`` is in seconds since the epoch.
    """
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": {name: value for name, value in (metadata or {}).items() if value},
        "columnDefinitions": [column.definition() for column in columns.columns]
        if has_headers
        else None,
        "rows": [_row(columns.columns, obj, now, include_object, api_version) for obj in objects],
    }


def _row(
    columns: Sequence[Column], obj: Object, now: float, include_object: str, api_version: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": [column.cell(obj, now) for column in columns]}
    if include_object == "Object":
        row["object"] = obj
    elif include_object == "None":
        row["object"] = None
    else:
        row["object"] = partial(obj, api_version=api_version)
    return row


def partial(obj: Object, *, api_version: str = "meta.k8s.io/v1") -> dict[str, Any]:
    """The PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": obj.get("metadata", {}),
    }


def _name(obj: Object, _now: float) -> Any:
    return obj.get("metadata", {}).get("name", "")


def _age(obj: Object, now: float) -> str:
    return age(obj.get("metadata", {}).get("creationTimestamp"), now)


def _created_at(obj: Object, _now: float) -> Any:
    return obj.get("metadata", {}).get("creationTimestamp")


def _from_path(column: Mapping[str, Any]) -> Column:
    text = column.get("jsonPath", "")
    return Column(
        column.get("name", ""),
        _path_cell(text, column.get("type", "string")),
        type=column.get("type", "string"),
        format=column.get("format", ""),
        description=column.get("description")
        or f"Custom resource definition column (in JSONPath format): {text}",
        priority=column.get("priority", 0),
    )


def _path_cell(text: str, kind: str) -> Cell:
    try:
        path = jsonpath.parse(text)
    except errors.InvalidInputError:
        return lambda _obj, _now: None

    def cell(obj: Object, now: float) -> Any:
        found = path.find(obj)
        return _typed(found[0], kind, now) if found else None

    return cell


def _typed(value: Any, kind: str, now: float) -> Any:
    """One value as a column of this type shows it; None where the types do not fit."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "string":
            return _printed(value)
        case "integer" if is_number:
            return int(value)
        case "number" if is_number:
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return age(value, now)
    return None


def _printed(value: Any) -> str:
    """Text of a value as client-go's JSONPath prints it: objects and lists as JSON."""
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping | list):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return gotext.plain(value)
