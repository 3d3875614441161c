"""Reading objects of built-in kinds the way Go's decoder reads JSON into their types.

1. A value of the wrong JSON type refuses the whole object (a 400, not a field error).
2. Fields the type does not have are dropped, and their paths told.
3. What Go would leave out when it writes the object again is left out: null, and zero values of
   fields that are neither pointers nor always written. What it always writes is filled in.

Schemas say so with marks of their own: ``x-go-type`` names the Go type for messages,
``x-go-pointer`` keeps zero values, ``x-go-always`` is the value written when there is none,
``x-go-or`` names another JSON type the member may have.
"""

import base64
import binascii
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ocisource import errors
from ocisource.apiserver.schemas import schema
from ocisource.apiserver.wording import fielderrors, gotime

_INT_BITS = {"int32": 32, "int64": 64}
_INDEX = re.compile(r"\[\d+\]")
_ALTERNATIVES: Mapping[str, type] = {"boolean": bool, "array": list}
_GO_KINDS = {dict: "object", list: "array", str: "string", bool: "bool"}
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_WRITTEN = (
    ("date-time", gotime.normal),
    ("date-time-micro", gotime.normal_micro),
)


_Where = tuple[schema.Node, str]
"""The struct and the path of the field that a value stands in."""


def decode(obj: Mapping[str, Any], root: schema.Node) -> tuple[dict[str, Any], list[str]]:
    """The object as Go would hold it, and the paths of unknown fields.

    Raises InvalidInputError with the decoder's text where a value has the wrong type.
    """
    unknown: list[str] = []
    decoded = _struct(obj, root, "", unknown)
    return decoded, sorted(unknown)


class _Field(NamedTuple):
    """What a struct's schema says of one field."""

    node: schema.Node
    is_pointer: bool
    other: tuple[type, ...]
    """Another type that the field may have."""


class _Layout(NamedTuple):
    """The fields of a struct, and what is always written."""

    fields: Mapping[str, _Field]
    always: tuple[tuple[str, Any], ...]


@functools.cache  # built-in types alone are read here: there is an end to them
def _layout(node: schema.Node) -> _Layout:
    marks: Mapping[str, Any] = node.source["properties"]
    fields = {
        key: _Field(
            child,
            bool(marks[key].get("x-go-pointer")),
            tuple(filter(None, [_ALTERNATIVES.get(marks[key].get("x-go-or", ""))])),
        )
        for key, child in node.properties.items()
    }
    always = ((key, marks[key]["x-go-always"]) for key in fields if "x-go-always" in marks[key])
    return _Layout(fields, tuple(always))


def _struct(
    value: Mapping[str, Any], node: schema.Node, path: str, unknown: list[str]
) -> dict[str, Any]:
    fields, always = _layout(node)
    decoded: dict[str, Any] = {}
    for key, item in value.items():
        below = fielderrors.child(path, key)
        field = fields.get(key)
        if field is None:
            unknown.append(below)
            continue
        if item is None:
            continue
        if field.other and isinstance(item, field.other):
            decoded[key] = item
            continue
        written = _value(item, field.node, below, (node, below), unknown)
        if field.is_pointer or not _is_zero(written):
            decoded[key] = written
    for key, zero in always:
        if key not in decoded:
            is_struct = zero == {}
            decoded[key] = _struct({}, fields[key].node, "", unknown) if is_struct else zero
    return decoded


def _value(value: Any, node: schema.Node, path: str, where: _Where, unknown: list[str]) -> Any:
    kind = node.type
    if not kind:  # free-form: apiextensions' JSON
        return value
    if value is None:
        return _zero(node)
    if kind == "object":
        _expect(value, dict, node, where)
        if node.additional is not None:
            below = node.additional
            return {
                key: _value(item, below, fielderrors.child(path, key), where, unknown)
                for key, item in value.items()
            }
        return _struct(value, node, path, unknown) if node.properties else value
    if kind == "array":
        _expect(value, list, node, where)
        assert node.items is not None
        return [
            _value(item, node.items, fielderrors.index(path, at), where, unknown)
            for at, item in enumerate(value)
        ]
    return _scalar(value, node, where)


def _scalar(value: Any, node: schema.Node, where: _Where) -> Any:
    if node.type == "boolean":
        _expect(value, bool, node, where)
        return value
    if node.type in ("integer", "number"):
        return _number(value, node, where)
    if not isinstance(value, str) and node.source.get("format", "").startswith("date-time"):
        # Time.UnmarshalJSON decodes into a string of its own.
        raise errors.InvalidInputError(
            f"json: cannot unmarshal {json_kind(value)} into Go value of type string"
        )
    _expect(value, str, node, where)
    return _string(value, node.source.get("x-go-format") or node.source.get("format", ""))


def _string(value: str, form: str) -> Any:
    if form == "byte":
        return _base64(value)
    for name, normal in _WRITTEN:
        if form == name:
            return normal(value) if value else None
    return value


def _number(value: Any, node: schema.Node, where: _Where) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(json_kind(value), node, where)
    if node.type == "number":
        return value
    if isinstance(value, float):
        raise _mismatch(f"number {value!r}", node, where)
    bits = _INT_BITS.get(node.source.get("format", ""), 64)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise _mismatch(f"number {value}", node, where)
    return value


def _base64(text: str) -> str:
    # Go's decoder skips line ends and wants the padding.
    packed = text.replace("\r", "").replace("\n", "")
    try:
        return base64.b64encode(base64.b64decode(packed, validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        at = next((at for at, char in enumerate(packed) if char not in _BASE64), len(packed))
        raise errors.InvalidInputError(f"illegal base64 data at input byte {at}") from error


def _expect(value: Any, kind: type, node: schema.Node, where: _Where) -> None:
    if not isinstance(value, kind):
        raise _mismatch(json_kind(value), node, where)


def _mismatch(what: str, node: schema.Node, where: _Where) -> errors.InvalidInputError:
    struct, path = where
    field = f"Go struct field {_struct_name(struct)}.{_without_indices(path)}"
    return errors.InvalidInputError(
        f"json: cannot unmarshal {what} into {field} of type {_type_name(node)}"
    )


def json_kind(value: Any) -> str:
    """What Go's decoder calls the JSON type of a value."""
    return _GO_KINDS.get(type(value), "number")


_SCALARS: Mapping[str, Callable[[schema.Node], str]] = {
    "string": lambda node: "[]uint8" if node.source.get("format") == "byte" else "string",
    "boolean": lambda _node: "bool",
    "integer": lambda node: str(node.source.get("format", "int64")),
    "number": lambda _node: "float64",
}


def _type_name(node: schema.Node) -> str:
    if name := node.source.get("x-go-type"):
        return str(name)
    if node.items is not None:
        return f"[]{_type_name(node.items)}"
    if node.additional is not None:
        return f"map[string]{_type_name(node.additional)}"
    return _SCALARS[node.type](node) if node.type in _SCALARS else "map[string]interface {}"


def _struct_name(node: schema.Node) -> str:
    return _type_name(node).rpartition(".")[2]


def _without_indices(path: str) -> str:
    return _INDEX.sub("", path)


def _zero(node: schema.Node) -> Any:
    return {"object": {}, "array": [], "string": "", "boolean": False}.get(node.type, 0)


def _is_zero(value: Any) -> bool:
    return value is None or value is False or value in ("", 0) or value in ({}, [])
