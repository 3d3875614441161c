"""What a CRD's schema must be like: structural, and without what the API does not support.

1. Every value has a type, except where ``x-kubernetes-int-or-string`` or
   ``x-kubernetes-preserve-unknown-fields`` stands in for it.
2. ``allOf``, ``anyOf``, ``oneOf`` and ``not`` only restrict: they name no types, defaults or
   extensions of their own.
3. Lists of type ``set`` and ``map`` have items that can be told apart.
4. Defaults are valid themselves.

Texts are apiextensions' ``schema.ValidateStructural`` and
``ValidateCustomResourceDefinitionOpenAPISchema``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import re2

from ocisource.apiserver.schemas import schema, validation
from ocisource.apiserver.wording import fielderrors, gotext

FieldError = fielderrors.FieldError
Schema = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_SCALARS = frozenset({"boolean", "integer", "number", "string"})
_UNSUPPORTED = (
    "$ref",
    "$schema",
    "additionalItems",
    "definitions",
    "dependencies",
    "id",
    "patternProperties",
)
_COMBINED = ("allOf", "anyOf", "oneOf")
_META = ("apiVersion", "kind", "metadata")
_META_MEMBERS = frozenset({"name", "generateName"})
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_MAX_DEPTH = 100  # levels of a schema; no honest one is deeper
# What a schema inside allOf, anyOf, oneOf or not must not say, and what it must be instead.
_VALUE_FREE: Mapping[str, str] = {
    "additionalProperties": "undefined",
    "default": "undefined",
    "description": "empty",
    "nullable": "false",
    "title": "empty",
    "type": "empty",
    "x-kubernetes-embedded-resource": "false",
    "x-kubernetes-int-or-string": "false",
    "x-kubernetes-list-map-keys": "empty",
    "x-kubernetes-list-type": "undefined",
    "x-kubernetes-map-type": "undefined",
    "x-kubernetes-preserve-unknown-fields": "false",
}


def check(source: Schema, path: str) -> list[FieldError]:
    """What is wrong with the schema of a version, which stands at ``path``."""
    found = list(_check_supported(source, path, 0))
    if found:
        return found
    found.extend(_check_root(source, path))
    found.extend(_check_node(source, path, is_root=True, role="root"))
    if not found:
        found.extend(_check_complete(source, path))
    found.extend(_check_defaults(source, path, is_root=True))
    return found


def _check_supported(source: Schema, path: str, depth: int) -> Iterator[FieldError]:
    if depth > _MAX_DEPTH:
        yield fielderrors.forbidden(path, f"must not be deeper than {_MAX_DEPTH} levels")
        return
    for name in _UNSUPPORTED:
        if source.get(name) is not None:
            where = fielderrors.child(path, name)
            yield fielderrors.forbidden(where, f"{name} is not supported")
    kind = source.get("type", "")
    if kind and kind not in _TYPES:
        yield fielderrors.not_supported(f"{path}.type", kind, _TYPES)
    if source.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fielderrors.forbidden(f"{path}.uniqueItems", text)
    additional = source.get("additionalProperties")
    if additional is not None and source.get("properties") and additional is not False:
        text = "additionalProperties and properties are mutual exclusive"
        yield fielderrors.forbidden(f"{path}.additionalProperties", text)
    elif additional is False and source.get("properties"):
        text = "additionalProperties cannot be set to false"
        yield fielderrors.forbidden(f"{path}.additionalProperties", text)
    if isinstance(source.get("items"), list):
        text = "items must be a schema object and not an array"
        yield fielderrors.forbidden(f"{path}.items", text)
    yield from _check_pattern(source, path)
    for where, child in _children(source, path):
        yield from _check_supported(child, where, depth + 1)


def _check_pattern(source: Schema, path: str) -> Iterator[FieldError]:
    pattern = source.get("pattern")
    if not pattern:
        return
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        text = f"must be a valid regular expression, but isn't: {_as_go_says(error, pattern)}"
        yield fielderrors.invalid(f"{path}.pattern", pattern, text)


def _as_go_says(error: Exception, pattern: str) -> str:
    """An error of RE2 in the words of Go's ``regexp/syntax``."""
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    what, _, where = text.partition(": ")
    what = {"missing )": "missing closing )"}.get(what, what)
    return f"error parsing regexp: {what}: `{pattern if what == 'missing closing )' else where}`"


def _children(source: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Schemas right below one, with their paths."""
    for name, child in sorted((source.get("properties") or {}).items()):
        yield fielderrors.index(f"{path}.properties", name), child
    for name in ("items", "additionalProperties", "not"):
        if isinstance(source.get(name), Mapping):
            yield f"{path}.{name}", source[name]
    for name in _COMBINED:
        for at, child in enumerate(source.get(name) or ()):
            yield fielderrors.index(f"{path}.{name}", at), child


def _check_root(source: Schema, path: str) -> Iterator[FieldError]:
    kind = source.get("type", "")
    if not kind:
        if not source.get(_PRESERVE):
            yield fielderrors.required(f"{path}.type", "must not be empty at the root")
    elif kind != "object":
        yield fielderrors.invalid(f"{path}.type", kind, "must be object at the root")
    if source.get("additionalProperties") is not None:
        text = "must not be used at the root"
        yield fielderrors.forbidden(f"{path}.additionalProperties", text)
    if source.get("nullable"):
        text = "nullable cannot be true at the root"
        yield fielderrors.forbidden(f"{path}.nullable", text)


def _check_node(
    source: Schema, path: str, *, is_root: bool = False, role: str = ""
) -> Iterator[FieldError]:
    yield from _check_type(source, path, role)
    yield from _check_extensions(source, path)
    yield from _check_list_type(source, path)
    yield from _check_map_type(source, path)
    if is_root or source.get("x-kubernetes-embedded-resource"):
        yield from _check_meta(source, path)
    yield from _check_value_free(source, path)
    for name, child in sorted((source.get("properties") or {}).items()):
        where = fielderrors.index(f"{path}.properties", name)
        yield from _check_node(child, where, role="specified object fields")
    additional, items = source.get("additionalProperties"), source.get("items")
    if isinstance(additional, Mapping):
        where = f"{path}.additionalProperties"
        yield from _check_node(additional, where, role="specified object fields")
    if isinstance(items, Mapping):
        yield from _check_node(items, f"{path}.items", role="specified array items")
    elif source.get("type") == "array":
        yield fielderrors.required(f"{path}.items", "must be specified")


def _check_type(source: Schema, path: str, role: str) -> Iterator[FieldError]:
    if source.get("type") or role == "root":
        return
    if source.get("x-kubernetes-int-or-string") or source.get(_PRESERVE):
        return
    yield fielderrors.required(f"{path}.type", f"must not be empty for {role}")


def _check_extensions(source: Schema, path: str) -> Iterator[FieldError]:
    if source.get(_PRESERVE) is False:
        text = "must be true or undefined"
        yield fielderrors.invalid(f"{path}.{_PRESERVE}", False, text)
    if source.get("x-kubernetes-embedded-resource"):
        if not source.get("properties") and not source.get(_PRESERVE):
            text = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield fielderrors.required(f"{path}.properties", text)
        if source.get("type") != "object":
            text = "must be object if x-kubernetes-embedded-resource is true"
            kind = source.get("type", "")
            if kind:
                yield fielderrors.invalid(f"{path}.type", kind, text)
            else:
                yield fielderrors.required(f"{path}.type", text)


def _check_list_type(source: Schema, path: str) -> Iterator[FieldError]:
    kind, keys = source.get("x-kubernetes-list-type"), source.get("x-kubernetes-list-map-keys")
    here = f"{path}.x-kubernetes-list-type"
    if kind is None:
        if keys:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            yield fielderrors.required(here, text)
        return
    if kind not in ("atomic", "set", "map"):
        yield fielderrors.not_supported(here, kind, ("atomic", "set", "map"))
        return
    if source.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        yield fielderrors.invalid(f"{path}.type", source.get("type", ""), text)
        return
    items = source.get("items") or {}
    if kind == "set":
        yield from _check_set_items(items, f"{path}.items")
    elif kind == "map":
        yield from _check_map_items(source, items, path)
    if kind != "map" and keys:
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield fielderrors.invalid(here, kind, text)


def _check_set_items(items: Schema, path: str) -> Iterator[FieldError]:
    if items.get("nullable"):
        text = "cannot be nullable when x-kubernetes-list-type is set"
        yield fielderrors.forbidden(f"{path}.nullable", text)
    for kind, mark in (("object", "x-kubernetes-map-type"), ("array", "x-kubernetes-list-type")):
        if items.get("type") == kind and items.get(mark) != "atomic":
            if kind == "array" and items.get(mark) is None:
                continue  # lists are atomic unless told otherwise
            text = "must be atomic as item of a list with x-kubernetes-list-type=set"
            yield fielderrors.invalid(f"{path}.{mark}", items.get(mark), text)


def _check_map_items(source: Schema, items: Schema, path: str) -> Iterator[FieldError]:
    keys = list(source.get("x-kubernetes-list-map-keys") or ())
    here = f"{path}.x-kubernetes-list-map-keys"
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield fielderrors.invalid(f"{path}.items.type", items.get("type", ""), text)
        return
    if not keys:
        yield fielderrors.required(here, "must not be empty if x-kubernetes-list-type is map")
    properties: Schema = items.get("properties") or {}
    required = items.get("required") or ()
    for key in dict.fromkeys(keys):
        place = fielderrors.index(f"{path}.items.properties", key)
        child = properties.get(key)
        if child is None:
            continue
        if child.get("type") not in _SCALARS:
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield fielderrors.invalid(f"{place}.type", child.get("type", ""), text)
        if key not in required and child.get("default") is None:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property"
            )
            yield fielderrors.required(f"{place}.default", text)
    shown = f"Invalid value: []string{{{', '.join(map(gotext.quote, keys))}}}"
    if len(set(keys)) != len(keys):
        message = f"{shown}: must not contain duplicate entries"
        yield FieldError(here, fielderrors.INVALID, message)
    if any(key not in properties for key in keys):
        message = f"{shown}: entries must all be names of item properties"
        yield FieldError(here, fielderrors.INVALID, message)


def _check_map_type(source: Schema, path: str) -> Iterator[FieldError]:
    kind = source.get("x-kubernetes-map-type")
    if kind is None:
        return
    if kind not in ("atomic", "granular"):
        here = f"{path}.x-kubernetes-map-type"
        yield fielderrors.not_supported(here, kind, ("atomic", "granular"))
    elif source.get("type") != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        yield fielderrors.invalid(f"{path}.type", source.get("type", ""), text)


def _check_meta(source: Schema, path: str) -> Iterator[FieldError]:
    properties: Schema = source.get("properties") or {}
    for name in _META:
        wanted = "object" if name == "metadata" else "string"
        child = properties.get(name)
        if child is None:
            continue
        place = fielderrors.index(f"{path}.properties", name)
        if child.get("type") and child["type"] != wanted:
            yield fielderrors.invalid(f"{place}.type", child["type"], f"must be {wanted}")
    metadata = properties.get("metadata") or {}
    extra = set(metadata.get("properties") or {}) - _META_MEMBERS
    said = set(metadata) - {"type", "properties", "description"}
    if metadata.get("type") in (None, "object") and (extra or said):
        place = fielderrors.index(f"{path}.properties", "metadata")
        text = (
            "must not specify anything other than name and generateName, but metadata is "
            "implicitly specified"
        )
        yield fielderrors.forbidden(place, text)


def _check_value_free(source: Schema, path: str) -> Iterator[FieldError]:
    for name in _COMBINED:
        for at, child in enumerate(source.get(name) or ()):
            where = fielderrors.index(f"{path}.{name}", at)
            yield from _check_restriction(child, where, is_either=_is_int_or_string(source, name))
    if isinstance(source.get("not"), Mapping):
        yield from _check_restriction(source["not"], f"{path}.not")


def _is_int_or_string(source: Schema, name: str) -> bool:
    """``anyOf: [{type: integer}, {type: string}]`` is the one use of types allowed there."""
    types = [child.get("type") for child in source.get(name) or ()]
    is_pair = name == "anyOf" and types == ["integer", "string"]
    return bool(source.get("x-kubernetes-int-or-string")) and is_pair


def _check_restriction(
    child: Schema, path: str, *, is_either: bool = False
) -> Iterator[FieldError]:
    for name, instead in _VALUE_FREE.items():
        if child.get(name) and not (name == "type" and is_either):
            yield fielderrors.forbidden(f"{path}.{name}", f"must be {instead} to be structural")
    for where, below in _children(child, path):
        if not where.endswith(".additionalProperties"):
            yield from _check_restriction(below, where)


def _check_complete(source: Schema, path: str) -> Iterator[FieldError]:
    """What is restricted must be specified."""
    for name in _COMBINED:
        for at, child in enumerate(source.get(name) or ()):
            where = fielderrors.index(f"{path}.{name}", at)
            yield from _check_specified(child, source, where, path)
    for where, child in _children(source, path):
        if any(where.startswith(f"{path}.{name}") for name in ("properties[", "items", "addit")):
            yield from _check_complete(child, where)


def _check_specified(child: Schema, source: Schema, where: str, path: str) -> Iterator[FieldError]:
    for name, below in sorted((child.get("properties") or {}).items()):
        place = fielderrors.index(f"{path}.properties", name)
        inner = fielderrors.index(f"{where}.properties", name)
        known = (source.get("properties") or {}).get(name)
        additional = source.get("additionalProperties")
        if known is None and isinstance(additional, Mapping):
            known, place = additional, f"{path}.additionalProperties"
        if known is None:
            yield fielderrors.required(place, f"because it is defined in {inner}")
        else:
            yield from _check_specified(below, known, inner, place)
    if isinstance(child.get("items"), Mapping):
        known = source.get("items") or {}
        yield from _check_specified(child["items"], known, f"{where}.items", f"{path}.items")
    for name in _COMBINED:
        for at, below in enumerate(child.get(name) or ()):
            inner = fielderrors.index(f"{where}.{name}", at)
            yield from _check_specified(below, source, inner, path)


def _check_defaults(source: Schema, path: str, *, is_root: bool = False) -> Iterator[FieldError]:
    default = source.get("default")
    if default is not None:
        yield from _check_default(source, default, f"{path}.default", is_root=is_root)
    for where, child in _children(source, path):
        yield from _check_defaults(child, where)


def _check_default(
    source: Schema, default: Any, path: str, *, is_root: bool
) -> Iterator[FieldError]:
    if is_root or source.get("x-kubernetes-embedded-resource"):
        for name in ("apiVersion", "kind"):
            if not isinstance(default, Mapping) or not default.get(name):
                yield fielderrors.required(f"{path}.{name}", "must not be empty")
        return
    structural = schema.Structural({"type": "object", "properties": {"v": source}})
    holder = {"v": default}
    if structural.unknown_paths(holder):
        yield fielderrors.invalid(path, default, "must not have unknown fields")
        return
    for error in validation.check(source, default, ""):
        where = f"{path}.{error.field}" if error.field else path
        yield FieldError(where, error.type, error.message)
