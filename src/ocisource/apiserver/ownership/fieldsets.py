"""Sets of fields in the form ``FieldsV1`` has on the wire, and their algebra.

``set ::= { element: set }``, where the elements are ``f:NAME`` (a member), ``k:{keys}`` (an item
of a list of type map), ``v:VALUE`` (an item of a set) and ``i:INDEX``. A field belongs to the set
when its own set is empty or holds ``"."``; one without either only leads to fields below it
(structured-merge-diff, ``fieldpath.Set``). No function changes its arguments.

Example::

    >>> spec = {"f:spec": {"f:a": {}, "f:b": {}}}
    >>> difference(spec, {"f:spec": {"f:b": {}}})
    {'f:spec': {'f:a': {}}}
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource.apiserver.wording import gotext

FieldSet = dict[str, Any]
"""Nested: every value is a FieldSet itself."""

SELF = "."
_SEPARATORS = (",", ":")


def member(name: str) -> str:
    """The element of an object's member."""
    return f"f:{name}"


def keyed(keys: Mapping[str, Any]) -> str:
    """The element of an item told apart by keys."""
    return f"k:{json.dumps(keys, separators=_SEPARATORS, sort_keys=True, ensure_ascii=False)}"


def valued(item: Any) -> str:
    """The element of a set's item."""
    return f"v:{json.dumps(item, separators=_SEPARATORS, sort_keys=True, ensure_ascii=False)}"


def is_member(fields: FieldSet) -> bool:
    """Whether the field whose set this is belongs to the set itself."""
    return not fields or SELF in fields


def node(below: FieldSet, *, is_own: bool) -> FieldSet | None:
    """A field's set from the fields below it and its own membership; None when there is neither."""
    if not below:
        return {} if is_own else None
    return {SELF: {}, **below} if is_own else below


def _children(fields: FieldSet) -> Iterator[tuple[str, FieldSet]]:
    return ((key, value) for key, value in fields.items() if key != SELF)


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """Fields of either."""
    if not one and SELF not in other:
        return other
    merged: FieldSet = {key: value for key, value in one.items() if key != SELF}
    for key, value in _children(other):
        if key not in merged:
            merged[key] = value
            continue
        is_own = is_member(merged[key]) or is_member(value)
        found = node(union(merged[key], value), is_own=is_own)
        assert found is not None
        merged[key] = found
    return merged


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """Fields of ``one`` that ``other`` has not."""
    if not other and SELF not in one:
        return one
    left: FieldSet = {}
    for key, value in _children(one):
        if key not in other:
            left[key] = value
            continue
        is_own = is_member(value) and not is_member(other[key])
        found = node(difference(value, other[key]), is_own=is_own)
        if found is not None:
            left[key] = found
    return left


def recursive_difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """Fields of ``one`` that are neither in ``other`` nor below a field of ``other``."""
    left: FieldSet = {}
    for key, value in _children(one):
        if key not in other:
            left[key] = value
        elif not is_member(other[key]):
            below = recursive_difference(value, other[key])
            found = node(below, is_own=is_member(value))
            if found is not None:
                left[key] = found
    return left


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """Fields of both."""
    shared: FieldSet = {}
    for key, value in _children(one):
        if key in other:
            is_own = is_member(value) and is_member(other[key])
            found = node(intersection(value, other[key]), is_own=is_own)
            if found is not None:
                shared[key] = found
    return shared


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The fields as texts, such as ``.spec.list[k="1"].v``; those of one level before those below.

    Sorted as structured-merge-diff sorts them.
    """
    for key, value in sorted(_children(fields)):
        if is_member(value):
            yield f"{prefix}{_shown(key)}"
    for key, value in sorted(_children(fields)):
        yield from paths(value, f"{prefix}{_shown(key)}")


def _shown(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        pairs = json.loads(rest)
        return f"[{','.join(f'{key}={_scalar(pairs[key])}' for key in sorted(pairs))}]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def _scalar(value: Any) -> str:
    return gotext.quote(value) if isinstance(value, str) else gotext.plain(value)


def is_valid(fields: Any, depth: int = 0) -> bool:
    """Whether decoded JSON has the form of a set; at most 100 levels deep."""
    if not isinstance(fields, dict) or depth > _MAX_DEPTH:
        return False
    return all(
        (key == SELF or _is_element(key)) and is_valid(value, depth + 1)
        for key, value in fields.items()
    )


_MAX_DEPTH = 100  # levels; objects are no deeper


def _is_element(key: str) -> bool:
    kind, colon, rest = key.partition(":")
    if not colon or kind not in ("f", "k", "v", "i"):
        return False
    if kind == "f":
        return True
    try:
        decoded = json.loads(rest)
    except ValueError:
        return False
    return isinstance(decoded, dict) if kind == "k" else True
