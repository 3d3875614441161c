r"""The OpenAPI v2 document as protobuf, the only form older ``kubectl`` asks for.

The messages are gnostic's ``openapi.v2`` (OpenAPIv2.proto): members of an object become numbered
fields, free-form values YAML texts, maps lists of named entries, and keys beginning with ``x-``
vendor extensions. Only the messages an API server's document needs are here.

Example::

    >>> encode({"swagger": "2.0"})
    b'\n\x032.0'
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_LOW_BITS = 0x7F
_MORE = 0x80


class _Field(NamedTuple):
    """A field of a message; ``kind`` is a scalar, ``any``, a message or ``named MESSAGE``."""

    number: int
    kind: str
    is_repeated: bool = False


_SCHEMA = {
    "$ref": _Field(1, "string"),
    "format": _Field(2, "string"),
    "title": _Field(3, "string"),
    "description": _Field(4, "string"),
    "default": _Field(5, "any"),
    "multipleOf": _Field(6, "double"),
    "maximum": _Field(7, "double"),
    "exclusiveMaximum": _Field(8, "bool"),
    "minimum": _Field(9, "double"),
    "exclusiveMinimum": _Field(10, "bool"),
    "maxLength": _Field(11, "int64"),
    "minLength": _Field(12, "int64"),
    "pattern": _Field(13, "string"),
    "maxItems": _Field(14, "int64"),
    "minItems": _Field(15, "int64"),
    "uniqueItems": _Field(16, "bool"),
    "maxProperties": _Field(17, "int64"),
    "minProperties": _Field(18, "int64"),
    "required": _Field(19, "string", is_repeated=True),
    "enum": _Field(20, "any", is_repeated=True),
    "additionalProperties": _Field(21, "additional"),
    "type": _Field(22, "type"),
    "items": _Field(23, "items"),
    "allOf": _Field(24, "schema", is_repeated=True),
    "properties": _Field(25, "named schema"),
    "readOnly": _Field(27, "bool"),
    "example": _Field(30, "any"),
    "x-": _Field(31, "extension"),
}
_QUERY = {
    "required": _Field(1, "bool"),
    "in": _Field(2, "string"),
    "description": _Field(3, "string"),
    "name": _Field(4, "string"),
    "type": _Field(6, "string"),
    "format": _Field(7, "string"),
    "uniqueItems": _Field(20, "bool"),
}
_PATH = {
    "required": _Field(1, "bool"),
    "in": _Field(2, "string"),
    "description": _Field(3, "string"),
    "name": _Field(4, "string"),
    "type": _Field(5, "string"),
    "format": _Field(6, "string"),
    "uniqueItems": _Field(19, "bool"),
}
_OPERATION = {
    "tags": _Field(1, "string", is_repeated=True),
    "description": _Field(3, "string"),
    "operationId": _Field(5, "string"),
    "produces": _Field(6, "string", is_repeated=True),
    "consumes": _Field(7, "string", is_repeated=True),
    "parameters": _Field(8, "parameter", is_repeated=True),
    "responses": _Field(9, "responses"),
    "schemes": _Field(10, "string", is_repeated=True),
    "x-": _Field(13, "extension"),
}
_MESSAGES: Mapping[str, Mapping[str, _Field]] = {
    "document": {
        "swagger": _Field(1, "string"),
        "info": _Field(2, "info"),
        "paths": _Field(8, "paths"),
        "definitions": _Field(9, "named schema"),
        "security": _Field(12, "requirement", is_repeated=True),
        "securityDefinitions": _Field(13, "named security"),
    },
    "info": {"title": _Field(1, "string"), "version": _Field(2, "string")},
    "item": {
        "get": _Field(2, "operation"),
        "put": _Field(3, "operation"),
        "post": _Field(4, "operation"),
        "delete": _Field(5, "operation"),
        "patch": _Field(8, "operation"),
        "parameters": _Field(9, "parameter", is_repeated=True),
        "x-": _Field(10, "extension"),
    },
    "operation": _OPERATION,
    "schema": _SCHEMA,
    "query": _QUERY,
    "path": _PATH,
    "body": {
        "description": _Field(1, "string"),
        "name": _Field(2, "string"),
        "in": _Field(3, "string"),
        "required": _Field(4, "bool"),
        "schema": _Field(5, "schema"),
    },
    "response": {"description": _Field(1, "string"), "schema": _Field(2, "schema item")},
    "api key": {
        "type": _Field(1, "string"),
        "name": _Field(2, "string"),
        "in": _Field(3, "string"),
        "description": _Field(4, "string"),
    },
}


def encode(document: Mapping[str, Any]) -> bytes:
    """The document as a serialised ``openapi.v2.Document``."""
    return _message("document", document)


def _message(name: str, value: Mapping[str, Any]) -> bytes:
    fields = _MESSAGES[name]
    parts: list[bytes] = []
    for key, item in value.items():
        field = fields.get(key)
        if field is not None:
            values = item if field.is_repeated else [item]
            parts.extend(_encoded(field, each) for each in values)
        elif key.startswith("x-") and "x-" in fields:
            parts.append(_delimited(fields["x-"].number, _named(key, _any(item))))
    return b"".join(parts)


def _encoded(field: _Field, value: Any) -> bytes:
    if field.kind == "bool":
        return _tag(field.number, _VARINT) + b"\x01" if value else b""
    if field.kind == "int64":
        return _tag(field.number, _VARINT) + _varint(int(value))
    if field.kind == "double":
        return _tag(field.number, _FIXED64) + struct.pack("<d", float(value))
    return _delimited(field.number, _bytes(field.kind, value))


def _bytes(kind: str, value: Any) -> bytes:
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value)
    if kind.startswith("named "):
        inner = kind.removeprefix("named ")
        entries = (_delimited(1, _named(key, _bytes(inner, item))) for key, item in value.items())
        return b"".join(entries)
    return _message(kind, value)


def _any(value: Any) -> bytes:
    # gnostic keeps what it has no message for as YAML; JSON is YAML.
    return _delimited(2, (json.dumps(value) + "\n").encode())


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        return _tag(2, _VARINT) + (b"\x01" if value else b"\x00")
    return _delimited(1, _message("schema", value))


def _parameter(value: Mapping[str, Any]) -> bytes:
    where = value["in"]
    if where == "body":
        inner = _delimited(1, _message("body", value))
    else:
        # NonBodyParameter: 3 is a query parameter, 4 one of the path.
        number = 4 if where == "path" else 3
        inner = _delimited(2, _delimited(number, _message(where, value)))
    return _delimited(1, inner)


def _responses(value: Mapping[str, Any]) -> bytes:
    entries = (
        _delimited(1, _named(code, _delimited(1, _message("response", item))))
        for code, item in value.items()
    )
    return b"".join(entries)


def _paths(value: Mapping[str, Any]) -> bytes:
    # 1 is for extensions, paths are 2.
    return b"".join(
        _delimited(2, _named(key, _message("item", item))) for key, item in value.items()
    )


def _requirement(value: Mapping[str, Any]) -> bytes:
    entries = (
        _delimited(1, _named(key, b"".join(_delimited(1, each.encode()) for each in items)))
        for key, items in value.items()
    )
    return b"".join(entries)


def _named(key: str, value: bytes) -> bytes:
    return _delimited(1, key.encode()) + _delimited(2, value)


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "string": lambda value: str(value).encode(),
    "any": _any,
    "additional": _additional,
    "type": lambda value: _delimited(1, str(value).encode()),
    "items": lambda value: _delimited(1, _message("schema", value)),
    "schema item": lambda value: _delimited(1, _message("schema", value)),
    "security": lambda value: _delimited(2, _message("api key", value)),
    "parameter": _parameter,
    "responses": _responses,
    "paths": _paths,
    "requirement": _requirement,
}


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _delimited(number: int, value: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written in two's complement
    encoded = bytearray()
    while value > _LOW_BITS:
        encoded.append(value & _LOW_BITS | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
