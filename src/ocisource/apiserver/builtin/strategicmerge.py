"""Strategic merge patches, for built-in kinds alone.

As a JSON merge patch, except that a list whose schema says ``x-kubernetes-patch-strategy: merge``
is merged: objects by ``x-kubernetes-patch-merge-key``, scalars as a set. Directives
(apimachinery ``strategicpatch``)::

    $patch: replace | delete | merge        in an object, or in a list's item
    $retainKeys: [name, ...]                 other members go
    $deleteFromPrimitiveList/NAME: [...]     scalars to drop from the list NAME
    $setElementOrder/NAME: [...]             the order of the list NAME
"""

from collections.abc import Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver.schemas import schema
from ocisource.apiserver.wording import gotext

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER_OF = "$setElementOrder/"


def apply(doc: Mapping[str, Any], patch: Mapping[str, Any], *, node: schema.Node) -> dict[str, Any]:
    """The document after the patch; neither is changed.

    Raises InvalidInputError for a directive or a list item that cannot be understood.
    """
    return _merge_object(doc, patch, node)


def _merge_object(
    doc: Mapping[str, Any], patch: Mapping[str, Any], node: schema.Node | None
) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE, "merge")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive != "merge":
        shown = gotext.plain(patch)
        raise errors.InvalidInputError(
            f"unknown patch type: {gotext.plain(directive)} in map: {shown}"
        )
    merged = dict(doc)
    retained = patch.get(_RETAIN)
    if retained is not None:
        _check_retained(retained, patch)
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if _is_directive(key):
            continue
        child = _child(node, key)
        if value is None:
            merged.pop(key, None)
        elif key in merged:
            merged[key] = _merge_value(merged[key], value, child)
        else:
            merged[key] = _without_directives(value)
    _follow_directives(merged, patch, node, before=doc)
    return merged


def _without_directives(value: Any) -> Any:
    """What a patch says of a member that is not there yet: nulls and directives mean nothing."""
    if isinstance(value, Mapping):
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not _is_directive(key)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, Mapping) and item.get(_DIRECTIVE) in ("delete", "replace"))
        ]
    return value


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN) or key.startswith((_DELETE_FROM, _ORDER_OF))


def _check_retained(retained: Any, patch: Mapping[str, Any]) -> None:
    if not isinstance(retained, list):
        raise errors.InvalidInputError("invalid patch format of retainKeys")
    extra = [key for key in patch if not _is_directive(key) and key not in retained]
    if any(patch[key] is not None for key in extra):
        raise errors.InvalidInputError("invalid patch format of retainKeys")


def _child(node: schema.Node | None, key: str) -> schema.Node | None:
    return node.properties.get(key, node.additional) if node is not None else None


def _merge_value(old: Any, new: Any, node: schema.Node | None) -> Any:
    if isinstance(new, Mapping):
        return _merge_object(old if isinstance(old, Mapping) else {}, new, node)
    if isinstance(new, list) and node is not None and _is_merged(node):
        return _merge_list(old if isinstance(old, list) else [], new, node)
    return new


def _is_merged(node: schema.Node) -> bool:
    return "merge" in str(node.source.get("x-kubernetes-patch-strategy", "")).split(",")


def _merge_list(old: list[Any], new: list[Any], node: schema.Node) -> list[Any]:
    key = node.source.get("x-kubernetes-patch-merge-key")
    if key is None:
        added = [item for at, item in enumerate(new) if item not in old + new[:at]]
        return _ordered([*old, *added], new, old, key)
    if any(_is_replacing(item) for item in new):
        return [item for item in new if not _is_replacing(item)]
    merged = list(old)
    for item in new:
        if not isinstance(item, Mapping) or key not in item:
            shown = gotext.syntax(item)
            raise errors.InvalidInputError(
                f"map: {shown} does not contain declared merge key: {key}"
            )
        at = _find(merged, key, item[key])
        if item.get(_DIRECTIVE) == "delete":
            merged = [each for each in merged if each.get(key) != item[key]]
        elif at is None:
            merged.append(_merge_object({}, item, node.items))
        else:
            merged[at] = _merge_object(merged[at], item, node.items)
    return _ordered(merged, new, old, key)


def _is_replacing(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get(_DIRECTIVE) == "replace" and len(item) == 1


def _find(items: list[Any], key: str, value: Any) -> int | None:
    for at, item in enumerate(items):
        if isinstance(item, Mapping) and item.get(key) == value:
            return at
    return None


def _follow_directives(
    merged: dict[str, Any],
    patch: Mapping[str, Any],
    node: schema.Node | None,
    *,
    before: Mapping[str, Any],
) -> None:
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            if not isinstance(value, list):
                raise errors.InvalidInputError("invalid patch format of primitive list")
            if isinstance(merged.get(name), list):
                merged[name] = [item for item in merged[name] if item not in value]
        elif key.startswith(_ORDER_OF):
            name = key.removeprefix(_ORDER_OF)
            if not isinstance(value, list):
                raise errors.InvalidInputError("invalid patch format of setElementOrder list")
            if isinstance(merged.get(name), list):
                child = _child(node, name)
                merge_key = child.source.get("x-kubernetes-patch-merge-key") if child else None
                merged[name] = _ordered(merged[name], value, before.get(name) or [], merge_key)


def _ordered(items: list[Any], order: list[Any], before: list[Any], key: str | None) -> list[Any]:
    """Items the patch names stand in its order; the others keep their places before them.

    Two items that were there before keep their order; otherwise the patch's item comes first
    (strategicpatch, ``mergeSortedSlice``).
    """

    def identity(item: Any) -> Any:
        return item.get(key) if key is not None and isinstance(item, Mapping) else item

    wanted = [identity(item) for item in order]
    were = [identity(item) for item in before]
    named = [item for item in items if identity(item) in wanted]
    named.sort(key=lambda item: wanted.index(identity(item)))
    others = [item for item in items if identity(item) not in wanted]
    merged: list[Any] = []
    while named and others:
        left, right = identity(others[0]), identity(named[0])
        is_before = left in were and right in were and were.index(left) < were.index(right)
        merged.append((others if is_before else named).pop(0))
    return [*merged, *named, *others]
