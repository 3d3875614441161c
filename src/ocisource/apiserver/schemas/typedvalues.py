"""Objects seen through their schema: which fields they set, how two of them differ or merge.

Objects are merged member by member, unless their schema says ``x-kubernetes-map-type: atomic``.
Lists are one value, unless they are of type ``set`` (each item by itself) or ``map`` (items told
apart by keys); built-in kinds say so with their patch strategy. Where no schema speaks, objects
are granular and lists atomic (structured-merge-diff, ``typed`` and its deduced type).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver.ownership import fieldsets
from ocisource.apiserver.schemas import schema
from ocisource.apiserver.wording import gotext

Type = schema.Node | None
"""None where no schema speaks."""

_ABSENT: Any = object()
_WRONG = {
    "object": "map",
    "array": "list",
    "string": "string",
    "integer": "numeric (int or float)",
    "number": "numeric (int or float)",
    "boolean": "boolean",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What is new, gone and different in the second of two objects."""

    added: fieldsets.FieldSet
    modified: fieldsets.FieldSet
    removed: fieldsets.FieldSet

    @property
    def is_same(self) -> bool:
        """Whether the two are equal."""
        return not (self.added or self.modified or self.removed)


def member_type(kind: Type, name: str) -> Type:
    """The type of a member."""
    return kind.properties.get(name, kind.additional) if kind is not None else None


def _is_declared(kind: Type, name: str) -> bool:
    return kind is not None and name in kind.properties


def _is_granular(value: Any, kind: Type) -> bool:
    """Whether a value is merged by its parts."""
    if isinstance(value, Mapping):
        return kind is None or (kind.map_type != "atomic" and kind.type in ("object", ""))
    if isinstance(value, list):
        return _list_type(kind) != "atomic" and _has_identities(value, kind)
    return False


def _list_type(kind: Type) -> str:
    if kind is None:
        return "atomic"
    if kind.list_type:
        return kind.list_type
    if "merge" in str(kind.source.get("x-kubernetes-patch-strategy", "")).split(","):
        return "map" if kind.source.get("x-kubernetes-patch-merge-key") else "set"
    return "atomic"


def _list_keys(kind: schema.Node) -> tuple[str, ...]:
    return kind.map_keys or (str(kind.source.get("x-kubernetes-patch-merge-key", "")),)


def _has_identities(value: list[Any], kind: Type) -> bool:
    """Whether the items can be told apart; if not, the list is taken as one value."""
    assert kind is not None
    elements = [_element(item, kind) for item in value]
    return None not in elements and len(set(elements)) == len(elements)


def _element(item: Any, kind: schema.Node) -> str | None:
    if _list_type(kind) == "set":
        return fieldsets.valued(item)
    if not isinstance(item, Mapping):
        return None
    keys: dict[str, Any] = {}
    for name in _list_keys(kind):
        child = member_type(kind.items, name)
        value = item.get(name, child.default if child and child.has_default else None)
        if value is None or isinstance(value, Mapping | list):
            return None
        keys[name] = value
    return fieldsets.keyed(keys)


def _items(value: list[Any], kind: schema.Node) -> dict[str, Any]:
    return {str(_element(item, kind)): item for item in value}


def _parts(value: Any, kind: Type) -> Iterator[tuple[str, Any, Type, bool]]:
    """Parts of a granular value: element, value, type, and whether a schema names it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield fieldsets.member(name), item, member_type(kind, name), _is_declared(kind, name)
    else:
        assert kind is not None
        for element, item in _items(value, kind).items():
            yield element, item, kind.items, False


def fields_of(value: Any, kind: Type) -> fieldsets.FieldSet:
    """The fields a value sets: leaves, free keys, items, and whatever is empty."""
    found: fieldsets.FieldSet = {}
    for element, item, below, is_declared in _parts(value, kind):
        if not _is_granular(item, below):
            found[element] = {}
            continue
        is_own = not is_declared or item == {}
        inner = fieldsets.node(fields_of(item, below), is_own=is_own)
        if inner is not None:
            found[element] = inner
    return found


def with_named(fields: fieldsets.FieldSet, kind: Type) -> fieldsets.FieldSet:
    """The set, and the members it only leads through, as far as a schema names them."""
    found: fieldsets.FieldSet = {}
    for element, below in fields.items():
        if element == fieldsets.SELF:
            continue
        child, is_declared = _type_at(element, kind)
        inner = with_named(below, child)
        is_own = fieldsets.is_member(below) or is_declared
        made = fieldsets.node(inner, is_own=is_own)
        assert made is not None
        found[element] = made
    return found


def _type_at(element: str, kind: Type) -> tuple[Type, bool]:
    if element.startswith("f:"):
        name = element[2:]
        return member_type(kind, name), _is_declared(kind, name)
    return (kind.items if kind is not None else None), False


def compare(old: Any, new: Any, kind: Type) -> Comparison:
    """How ``new`` differs from ``old``."""
    result = Comparison({}, {}, {})
    _compare(old, new, kind, result)
    return result


def _compare(old: Any, new: Any, kind: Type, into: Comparison) -> None:
    before = {element: (item, below) for element, item, below, _ in _parts_or_none(old, kind)}
    after = {element: (item, below) for element, item, below, _ in _parts_or_none(new, kind)}
    for element in before | after:
        was, below = before.get(element, (_ABSENT, None))
        now, below_now = after.get(element, (_ABSENT, below))
        below = below_now if below is None else below
        if was is not _ABSENT and now is not _ABSENT and _is_equal(was, now):
            continue
        inner = Comparison({}, {}, {})
        is_leaf = _is_leaf(was, now, below)
        if not is_leaf:
            _compare(was, now, below, inner)
        is_changed = is_leaf and was is not _ABSENT and now is not _ABSENT
        for target, found, is_own in (
            (into.added, inner.added, was is _ABSENT),
            (into.removed, inner.removed, now is _ABSENT),
            (into.modified, inner.modified, is_changed),
        ):
            made = fieldsets.node(found, is_own=is_own)
            if made is not None:
                target[element] = made


def _parts_or_none(value: Any, kind: Type) -> Iterator[tuple[str, Any, Type, bool]]:
    return _parts(value, kind) if isinstance(value, Mapping | list) else iter(())


def _is_leaf(was: Any, now: Any, kind: Type) -> bool:
    """Whether two values are compared as wholes."""
    present = [value for value in (was, now) if value is not _ABSENT]
    if not all(_is_granular(value, kind) for value in present):
        # A member that turns from null or nothing into an object is compared by parts.
        solid = [value for value in present if value is not None]
        return not solid or not all(_is_granular(value, kind) for value in solid)
    kinds = {isinstance(value, list) for value in present}
    return len(kinds) > 1 or not any(present)


def _is_equal(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def merge(live: Any, config: Any, kind: Type) -> Any:
    """``config`` laid over ``live``; neither is changed."""
    if not _is_granular(config, kind) or not _is_granular(live, kind):
        return config
    if isinstance(config, Mapping):
        if not isinstance(live, Mapping):
            return config
        merged = dict(live)
        for name, item in config.items():
            below = member_type(kind, name)
            merged[name] = merge(live[name], item, below) if name in live else item
        return merged
    if not isinstance(live, list):
        return config
    assert kind is not None
    wanted = _items(config, kind)
    items = {
        element: merge(item, wanted[element], kind.items) if element in wanted else item
        for element, item in _items(live, kind).items()
    }
    return list((wanted | items if not items else items | _missing(wanted, items)).values())


def _missing(wanted: Mapping[str, Any], items: Mapping[str, Any]) -> dict[str, Any]:
    return {element: item for element, item in wanted.items() if element not in items}


def without(value: Any, fields: fieldsets.FieldSet, kind: Type) -> Any:
    """The value without the fields of a set; a field takes everything below it along."""
    if not _is_granular(value, kind):
        return value
    if isinstance(value, Mapping):
        left: dict[str, Any] = {}
        for name, item in value.items():
            below = fields.get(fieldsets.member(name))
            if below is None:
                left[name] = item
            elif not fieldsets.is_member(below):
                left[name] = without(item, below, member_type(kind, name))
        return left
    assert kind is not None
    kept = []
    for element, item in _items(value, kind).items():
        below = fields.get(element)
        if below is None:
            kept.append(item)
        elif not fieldsets.is_member(below):
            kept.append(without(item, below, kind.items))
    return kept


def expand(fields: fieldsets.FieldSet, live: Any, kind: Type) -> fieldsets.FieldSet:
    """The set, with whole objects and lists that are merged by parts spelt out.

    A manager that owns ``f:data: {}`` owns what is in it (structured-merge-diff,
    ``ReconcileFieldSetWithSchema``).
    """
    found: fieldsets.FieldSet = {}
    at = {element: (item, below) for element, item, below, _ in _parts_or_none(live, kind)}
    for element, below in fields.items():
        item, child = at.get(element, (None, None))
        if element == fieldsets.SELF or child is None or not _is_granular(item, child):
            found[element] = below
        elif below == {} and item:
            found[element] = {fieldsets.SELF: {}, **fields_of(item, child)}
        else:
            found[element] = expand(below, item, child)
    return found


def check(value: Any, kind: Type) -> None:
    """Raise InvalidInputError for a field no schema names, or a value of the wrong type.

    The text is structured-merge-diff's, beginning with the path.
    """
    problems = list(_problems(value, kind, ""))
    if problems:
        raise errors.InvalidInputError(
            problems[0] if len(problems) == 1 else "errors:\n  " + "\n  ".join(problems)
        )


def _problems(value: Any, kind: Type, path: str) -> Iterator[str]:
    if kind is None or value is None:
        return
    wanted = kind.type
    if wanted and not _fits(value, wanted):
        yield f"{path}: expected {_WRONG[wanted]}, got {_as_go(value, wanted)}"
    elif isinstance(value, Mapping):
        for name, item in value.items():
            here = f"{path}.{name}"
            if name in kind.properties or kind.additional is not None:
                yield from _problems(item, member_type(kind, name), here)
            elif kind.properties and not kind.is_preserving and not kind.is_embedded:
                yield f"{here}: field not declared in schema"
    elif isinstance(value, list):
        yield from _list_problems(value, kind, path)


def _as_go(value: Any, wanted: str) -> str:
    if wanted in ("object", "array"):
        return f"&{{{gotext.plain(value)}}}"
    if wanted in ("integer", "number"):
        return "*value.valueUnstructured"
    return f"&value.valueUnstructured{{Value:{gotext.syntax(value)}}}"


def _list_problems(value: list[Any], kind: schema.Node, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, item in enumerate(value):
        if _list_type(kind) == "atomic":
            yield from _problems(item, kind.items, f"{path}[{at}]")
            continue
        element = _element(item, kind)
        if element is None:
            yield f"{path}: element {at}: {_unkeyed(item, kind)}"
            continue
        shown = next(fieldsets.paths({element: {}}))
        if element in seen:
            yield f"{path}: duplicate entries for key {shown}"
        seen.add(element)
        yield from _problems(item, kind.items, f"{path}{shown}")


def _unkeyed(item: Any, kind: schema.Node) -> str:
    """Why an item of a list of type map has no identity."""
    if not isinstance(item, Mapping):
        return "associative list without keys has an element that's a map type"
    missing = next((name for name in _list_keys(kind) if item.get(name) is None), "")
    return (
        "associative list with keys has an element that omits key field "
        f"{gotext.quote(missing)} (and doesn't have default value)"
    )


def _fits(value: Any, wanted: str) -> bool:
    match wanted:
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool)
