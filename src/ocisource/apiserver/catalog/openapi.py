"""The OpenAPI documents: v2 for older clients, v3 by group and version for newer ones.

What clients read out of them: the schemas (``kubectl explain``, client-side validation), whether
PATCH takes ``fieldValidation`` (then the server validates), and whether a kind may be patched
strategically (only built-in ones; that decides what ``kubectl apply`` sends).

Example::

    >>> v3_path("", "v1"), v3_path("example.com", "v1")
    ('api/v1', 'apis/example.com/v1')
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.builtin import builtins, builtintypes
from ocisource.apiserver.catalog import openapipaths

Document = dict[str, Any]
Schema = Mapping[str, Any]

_OWN_MARK = "x-go-"
_KIND_MARK = "x-kubernetes-group-version-kind"
_META = f"{builtintypes.META}.ObjectMeta"
_LIST_META = f"{builtintypes.META}.ListMeta"
# Definitions every document holds, because operations refer to them.
_ALWAYS = (
    f"{builtintypes.META}.DeleteOptions",
    f"{builtintypes.META}.Patch",
    f"{builtintypes.META}.Status",
    f"{builtintypes.META}.WatchEvent",
    _LIST_META,
    _META,
)
_LIST_KINDS = (
    "https://git.k8s.io/community/contributors/devel/sig-architecture/"
    "api-conventions.md#types-kinds"
)
_OBJECT_DESCRIPTIONS = {
    "apiVersion": builtintypes.API_VERSION_DESCRIPTION,
    "kind": builtintypes.KIND_DESCRIPTION,
    "metadata": builtintypes.METADATA_DESCRIPTION,
}
# What a v2 document cannot say of a custom resource's values (apiextensions,
# ToStructuralOpenAPIV2).
_NOT_IN_V2 = ("allOf", "anyOf", "oneOf", "not", "nullable", "default")
_SHAPE = ("type", "properties", "items", "additionalProperties", "required", "anyOf", "allOf")
_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def v3_path(group: str, version: str) -> str:
    """The key of a group and version in the v3 index."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def v3_index(documents: Mapping[str, Document]) -> Document:
    """The document at ``/openapi/v3``: where each group's document is, with its hash."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(document)}"}
            for path, document in sorted(documents.items())
        }
    }


def _hash(document: Document) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest().upper()


def v3_group(
    served: Iterable[resources.Resource], group: str, version: str, *, server_version: str = ""
) -> Document:
    """The document of one group and version."""
    chosen = [each for each in served if each.group == group and each.version(version)]
    schemas: dict[str, Schema] = {}
    paths: Document = {}
    for resource in sorted(chosen, key=lambda each: each.plural):
        schemas |= _schemas(resource, version)
        paths |= openapipaths.of(resource, version, definition_name(resource, version))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": {path: openapipaths.in_v3(item) for path, item in sorted(paths.items())},
        "components": {
            "schemas": {name: _in_v3(schema) for name, schema in sorted(schemas.items())},
            "securitySchemes": {"BearerToken": openapipaths.BEARER},
        },
        "security": [{"BearerToken": []}],
    }


def v2(served: Iterable[resources.Resource], *, server_version: str = "") -> Document:
    """The document of everything."""
    schemas: dict[str, Schema] = {}
    paths: Document = {}
    for resource in served:
        for version in resource.versions:
            schemas |= _schemas(resource, version.name, is_v2=True)
            name = definition_name(resource, version.name)
            paths |= openapipaths.of(resource, version.name, name)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": {path: openapipaths.in_v2(item) for path, item in sorted(paths.items())},
        "definitions": {name: _in_v2(schema) for name, schema in sorted(schemas.items())},
        "securityDefinitions": {"BearerToken": openapipaths.BEARER},
        "security": [{"BearerToken": []}],
    }


def definition_name(resource: resources.Resource, version: str) -> str:
    """What the documents call a kind: Kubernetes' own name, or the group backwards."""
    builtin = None if resource.is_custom else builtins.find(resource.group, resource.kind)
    if builtin is not None:
        return builtin.definition
    return ".".join((*reversed(resource.group.split(".")), version, resource.kind))


def _schemas(
    resource: resources.Resource, version: str, *, is_v2: bool = False
) -> dict[str, Schema]:
    """The kind, its list, and all they refer to."""
    name = definition_name(resource, version)
    found: dict[str, Schema] = {each: builtins.DEFINITIONS[each] for each in _ALWAYS}
    if resource.is_custom:
        found[name] = _custom(resource, version, is_v2=is_v2)
    else:
        found[name] = builtins.DEFINITIONS[name]
    if "list" in resource.verbs:
        found[f"{name}List"] = _list_of(resource, version, name)
    waiting = list(found.values())
    while waiting:
        for reference in _references(waiting.pop()):
            if reference not in found:
                found[reference] = builtins.DEFINITIONS[reference]
                waiting.append(found[reference])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not _is_free(schema):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _is_free(schema: Schema) -> bool:
    """Whether the member has several JSON types, which the documents leave open."""
    return "x-go-or" in schema


def _mark(resource: resources.Resource, version: str, kind: str) -> list[dict[str, str]]:
    return [{"group": resource.group, "kind": kind, "version": version}]


def _custom(resource: resources.Resource, version: str, *, is_v2: bool) -> Schema:
    served = resource.version(version)
    source = dict(served.openapi or {}) if served is not None else {}
    mark = {_KIND_MARK: _mark(resource, version, resource.kind)}
    if is_v2 and source.get(_PRESERVE):
        return {"type": "object", **mark}
    properties = dict(source.get("properties") or {})
    for name, description in _OBJECT_DESCRIPTIONS.items():
        if name == "metadata":
            properties[name] = builtintypes.value(_META, description)
        else:
            properties[name] = {**properties.get(name, {}), "type": "string"}
            properties[name]["description"] = description
    shown = {**source, "properties": properties, **mark}
    return _reduced(shown) if is_v2 else shown


def _reduced(schema: Schema) -> Schema:
    """A custom resource's schema without what v2 clients stumble over."""
    dropped = set(_NOT_IN_V2)
    if schema.get("nullable") or schema.get(_PRESERVE) or schema.get(_INT_OR_STRING):
        dropped.update(_SHAPE)
    shown: dict[str, Any] = {}
    for name, value in schema.items():
        if name in dropped:
            continue
        if name == "properties":
            shown[name] = {key: _reduced(child) for key, child in value.items()}
        elif name in ("items", "additionalProperties") and isinstance(value, Mapping):
            shown[name] = _reduced(value)
        else:
            shown[name] = value
    return shown


def _list_of(resource: resources.Resource, version: str, name: str) -> Schema:
    return {
        "description": f"{resource.list_name} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": builtintypes.text(builtintypes.API_VERSION_DESCRIPTION),
            "items": {
                "description": f"List of {resource.plural}. More info: {_LIST_KINDS}",
                "type": "array",
                "items": builtintypes.ref(name) if not resource.is_custom else _bare_ref(name),
            },
            "kind": builtintypes.text(builtintypes.KIND_DESCRIPTION),
            "metadata": builtintypes.value(
                _LIST_META, f"Standard list metadata. More info: {_LIST_KINDS}"
            ),
        },
        _KIND_MARK: _mark(resource, version, resource.list_name),
    }


def _bare_ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _in_v2(schema: Any) -> Any:
    return _rewritten(schema, lambda shown: shown)


def _in_v3(schema: Any) -> Any:
    return _rewritten(schema, _with_v3_reference)


def _with_v3_reference(shown: dict[str, Any]) -> dict[str, Any]:
    """Beside a ``$ref`` v3 reads nothing, so a described reference stands in an allOf."""
    reference = shown.get("$ref")
    if not isinstance(reference, str):
        return shown
    target = {"$ref": reference.replace("#/definitions/", "#/components/schemas/")}
    if len(shown) == 1:
        return target
    rest = {name: value for name, value in shown.items() if name != "$ref"}
    return {"allOf": [target], **rest}


def _rewritten(schema: Any, finish: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy without the marks that never leave the server."""
    if isinstance(schema, list):
        return [_rewritten(each, finish) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if _is_free(schema):
        return {"description": schema["description"]} if "description" in schema else {}
    shown: dict[str, Any] = {}
    for name, value in schema.items():
        if name.startswith(_OWN_MARK):
            continue
        if name == "properties" and isinstance(value, Mapping):
            # Names of members are not keywords: "$ref" and "x-..." may stand there.
            shown[name] = {key: _rewritten(child, finish) for key, child in value.items()}
        else:
            shown[name] = _rewritten(value, finish)
    return finish(shown)
