"""The columns of the built-in kinds' Tables, as kube-apiserver's printers fill them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ocisource.apiserver.builtin import eventversions
from ocisource.apiserver.forms import table

Object = Mapping[str, Any]


def _size(*names: str) -> table.Cell:
    return lambda obj, _now: sum(len(obj.get(name) or ()) for name in names)


def _at(*names: str) -> table.Cell:
    def cell(obj: Object, _now: float) -> Any:
        value: Any = obj
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if value is not None else ""

    return cell


NAMESPACE = table.Columns(
    (
        table.name_column(),
        table.Column("Status", _at("status", "phase"), description="The status of the namespace"),
        table.age_column(),
    )
)

SECRET = table.Columns(
    (
        table.name_column(),
        table.Column("Type", _at("type"), description="What the data is for."),
        table.Column("Data", _size("data"), description="The number of values."),
        table.age_column(),
    )
)

CONFIG_MAP = table.Columns(
    (
        table.name_column(),
        table.Column("Data", _size("data", "binaryData"), description="The number of values."),
        table.age_column(),
    )
)

SERVICE_ACCOUNT = table.Columns(
    (
        table.name_column(),
        table.Column("Secrets", _size("secrets"), description="The number of Secrets."),
        table.age_column(),
    )
)

LEASE = table.Columns(
    (
        table.name_column(),
        table.Column("Holder", _at("spec", "holderIdentity"), description="The holder."),
        table.age_column(),
    )
)


def _first_seen(obj: Object, now: float) -> str:
    return table.age(obj.get("firstTimestamp") or obj.get("eventTime"), now)


def _last_seen(obj: Object, now: float) -> str:
    series = obj.get("series") or {}
    last = series.get("lastObservedTime") or obj.get("lastTimestamp")
    return table.age(last, now) if last else _first_seen(obj, now)


def _count(obj: Object, _now: float) -> int:
    series = obj.get("series") or {}
    # An event that was never counted happened once.
    return int(series.get("count") or obj.get("count") or 1)


def _about(obj: Object, _now: float) -> str:
    about = obj.get("involvedObject") or {}
    kind, name = str(about.get("kind", "")).lower(), about.get("name", "")
    return f"{kind}/{name}" if name else kind


def _source(obj: Object, _now: float) -> str:
    source = obj.get("source") or {}
    parts = [source.get("component", "")]
    if source.get("host"):
        parts.append(source["host"])
    if parts == [""]:
        parts = [obj.get("reportingComponent", "")]
        if obj.get("reportingInstance"):
            parts.append(obj["reportingInstance"])
    return ", ".join(parts)


def _message(obj: Object, _now: float) -> str:
    return str(obj.get("message", "")).strip()


EVENT = table.Columns(
    (
        table.Column("Last Seen", _last_seen, description="When it happened last."),
        table.Column("Type", _at("type"), description="Normal or Warning."),
        table.Column("Reason", _at("reason"), description="Why, for programs."),
        table.Column("Object", _about, description="The object that this event is about."),
        table.Column(
            "Subobject",
            _at("involvedObject", "fieldPath"),
            description="The part of the object, if it is not the whole.",
            priority=1,
        ),
        table.Column("Source", _source, description="Who reported it.", priority=1),
        table.Column("Message", _message, description="What happened, for people."),
        table.Column("First Seen", _first_seen, description="When it happened first.", priority=1),
        table.Column("Count", _count, description="How often it happened.", priority=1),
        table.name_column(priority=1),
    )
)


def _of_core(cell: table.Cell) -> table.Cell:
    return lambda obj, now: cell(eventversions.to_core(obj), now)


NEW_EVENT = table.Columns(
    tuple(dataclasses.replace(column, cell=_of_core(column.cell)) for column in EVENT.columns)
)
"""Columns of events.k8s.io: the cells read events as core/v1 holds them."""
