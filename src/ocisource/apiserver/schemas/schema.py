"""Structural schemas: pruning, defaulting and validation of objects.

A structural schema says for every field whether it exists (pruning), what stands there when
nothing was written (defaulting) and which values are right (validation); the three passes are run
in that order (apiextensions, "Specifying a structural schema").

1. ``prune`` drops what the schema does not name and returns the paths it dropped.
2. ``default`` fills in defaults, and drops a null where null is not allowed.
3. ``validate`` lists what is wrong, in the order of the schema.

Example::

    >>> schema = Structural({"type": "object", "properties": {"spec": {"type": "object"}}})
    >>> schema.prune({"kind": "Demo", "spec": {"a": 1}})
    ['spec.a']
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource.apiserver.schemas import validation
from ocisource.apiserver.wording import fielderrors

FieldError = fielderrors.FieldError
aggregate = fielderrors.aggregate

Source = Mapping[str, Any]

_TYPE_META = frozenset({"apiVersion", "kind", "metadata"})
_ABSENT = object()
_MAX_WHOLE = 2.0**53  # the last float64 up to which every integer has its own


class Node:
    """One place of a structural schema, compiled; places with the same ``$ref`` are one node."""

    __slots__ = (
        "additional",
        "default",
        "is_embedded",
        "is_nullable",
        "is_preserving",
        "items",
        "list_type",
        "map_keys",
        "map_type",
        "properties",
        "source",
        "type",
    )

    def compile(self, source: Source, definitions: Source, known: dict[str, "Node"]) -> None:
        """Read the schema; ``known`` holds the nodes of definitions met so far."""

        def node(child: Source) -> Node:
            return compiled(child, definitions, known)

        self.source = source
        self.type: str = source.get("type", "")
        self.properties = {
            name: node(child) for name, child in (source.get("properties") or {}).items()
        }
        additional, items = source.get("additionalProperties"), source.get("items")
        self.additional = node(additional) if isinstance(additional, Mapping) else None
        self.items = node(items) if isinstance(items, Mapping) else None
        self.default: Any = source.get("default", _ABSENT)
        self.is_nullable = bool(source.get("nullable", False))
        self.is_preserving = (
            bool(source.get("x-kubernetes-preserve-unknown-fields", False)) or additional is True
        )
        self.is_embedded = bool(source.get("x-kubernetes-embedded-resource", False))
        self.list_type: str = source.get("x-kubernetes-list-type", "")
        self.map_type: str = source.get("x-kubernetes-map-type", "")
        self.map_keys: tuple[str, ...] = tuple(source.get("x-kubernetes-list-map-keys") or ())

    @property
    def has_default(self) -> bool:
        """Say whether the schema names a default here (which may be null)."""
        return self.default is not _ABSENT

    def is_wrong_null(self, value: object) -> bool:
        """Say whether the value is a null that must not stand here."""
        return value is None and not self.is_nullable


def compiled(
    source: Source, definitions: Source | None = None, known: dict[str, Node] | None = None
) -> Node:
    """Compile a schema, whose ``$ref`` may name ``definitions`` (and so lead back to itself)."""
    definitions = {} if definitions is None else definitions
    known = {} if known is None else known
    reference = source.get("$ref")
    node = Node()
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in known:
            return known[name]
        known[name] = node
        source = definitions[name]
    node.compile(source, definitions, known)
    return node


class Structural:
    """The compiled schema of one version of a resource; objects are changed in place."""

    __slots__ = ("_has_embedded", "_has_lists", "root", "source")

    def __init__(self, openapi_v3_schema: Source, *, definitions: Source | None = None) -> None:
        self.source = openapi_v3_schema
        self.root = compiled(openapi_v3_schema, definitions)
        # Most schemas have neither, and then validation need not look for them.
        self._has_lists = _says(openapi_v3_schema, "x-kubernetes-list-type")
        self._has_embedded = _says(openapi_v3_schema, "x-kubernetes-embedded-resource")

    def prune(self, obj: dict[str, Any]) -> list[str]:
        """Drop fields nobody specified; returns their paths, such as ``spec.list[0].x``.

        ``apiVersion``, ``kind`` and ``metadata`` of the object and of embedded objects stay.
        """
        return sorted(_prune(obj, self.root, "", is_resource=True))

    def unknown_paths(self, obj: Mapping[str, Any]) -> list[str]:
        """The paths ``prune`` would drop; the object stays as it is."""
        return self.prune(copy.deepcopy(dict(obj)))

    def default(self, obj: dict[str, Any]) -> None:
        """Fill in what is missing, and drop nulls where there must be none."""
        _default(obj, self.root)
        _drop_nulls(obj, self.root)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """What is wrong with the object's values, lists and embedded objects."""
        found = validation.check(self.source, obj, "")
        if self._has_lists:
            found.extend(_check_lists(obj, self.root, ""))
        if self._has_embedded:
            found.extend(_check_embedded(obj, self.root, ""))
        return found


def _says(source: Any, keyword: str) -> bool:
    if isinstance(source, Mapping):
        return keyword in source or any(_says(value, keyword) for value in source.values())
    return isinstance(source, list) and any(_says(value, keyword) for value in source)


def _prune(value: Any, node: Node | None, path: str, *, is_resource: bool = False) -> Iterator[str]:
    if node is None:
        return
    if isinstance(value, dict):
        keeps_meta = is_resource or node.is_embedded
        for key in list(value):
            if keeps_meta and key in _TYPE_META:
                continue
            below = fielderrors.child(path, key)
            child = node.properties.get(key, node.additional)
            if child is not None:
                if isinstance(value[key], float):
                    value[key] = _as_go_writes(value[key])
                yield from _prune(value[key], child, below)
            elif not node.is_preserving:
                del value[key]
                yield below
    elif isinstance(value, list) and (node.items is not None or not node.is_preserving):
        for at, item in enumerate(value):
            yield from _prune(item, node.items, fielderrors.index(path, at))


def _as_go_writes(value: float) -> float:
    """``2.0`` is kept as ``2``: Go's encoder writes a whole float64 without a point."""
    return int(value) if value.is_integer() and abs(value) <= _MAX_WHOLE else value


def _default(value: Any, node: Node | None) -> None:
    if node is None:
        return
    if isinstance(value, dict):
        for name, child in node.properties.items():
            if child.has_default and (name not in value or child.is_wrong_null(value[name])):
                value[name] = copy.deepcopy(child.default)
        for key in value:
            below = node.properties.get(key, node.additional)
            if key not in node.properties:
                _default_item(value, key, below)
            _default(value[key], below)
    elif isinstance(value, list):
        for at, _ in enumerate(value):
            _default_item(value, at, node.items)
            _default(value[at], node.items)


def _default_item(holder: Any, key: Any, node: Node | None) -> None:
    if node is not None and node.has_default and node.is_wrong_null(holder[key]):
        holder[key] = copy.deepcopy(node.default)


def _drop_nulls(value: Any, node: Node | None) -> None:
    """Drop nulls of properties that are neither nullable nor defaulted, as apiextensions does."""
    if node is None:
        return
    if isinstance(value, dict):
        for key in list(value):
            child = node.properties.get(key)
            if child is not None and value[key] is None and child.is_wrong_null(None):
                del value[key]
            else:
                _drop_nulls(value[key], child or node.additional)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item, node.items)


def _check_lists(value: Any, node: Node | None, path: str) -> Iterator[FieldError]:
    """Sets and maps among lists hold each item, or each key, once."""
    if node is None:
        return
    if isinstance(value, Mapping):
        for key in sorted(value):
            below = fielderrors.child(path, key)
            if key in node.properties:
                yield from _check_lists(value[key], node.properties[key], below)
            elif node.additional is not None:
                below = fielderrors.index(path, key)
                yield from _check_lists(value[key], node.additional, below)
    elif isinstance(value, list):
        if node.list_type in ("set", "map"):
            yield from _duplicates(value, node, path)
        for at, item in enumerate(value):
            yield from _check_lists(item, node.items, fielderrors.index(path, at))


def _duplicates(items: list[Any], node: Node, path: str) -> Iterator[FieldError]:
    seen: list[Any] = []
    for at, item in enumerate(items):
        identity = item
        if node.list_type == "map":
            if not isinstance(item, Mapping):
                continue
            identity = {key: item[key] for key in node.map_keys if key in item}
        if identity in seen:
            yield fielderrors.duplicate(fielderrors.index(path, at), identity)
        else:
            seen.append(identity)


def _check_embedded(value: Any, node: Node | None, path: str) -> Iterator[FieldError]:
    if node is None:
        return
    if isinstance(value, Mapping):
        if node.is_embedded:
            for name in ("apiVersion", "kind"):
                if not value.get(name):
                    where = fielderrors.child(path, name)
                    yield fielderrors.required(where, "must not be empty")
        for key in sorted(value):
            child = node.properties.get(key, node.additional)
            yield from _check_embedded(value[key], child, fielderrors.child(path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _check_embedded(item, node.items, fielderrors.index(path, at))
