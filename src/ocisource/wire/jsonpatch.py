"""JSON patches (RFC 6902) over JSON pointers (RFC 6901).

:func:`parse` reads a decoded patch document, :func:`apply` carries it out. A patch that is no
patch raises InvalidInputError (an API answers 400), one that does not fit the document raises
PatchFailedError (422).

Example::

    >>> apply({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}])
    {'a': [1, 2]}
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

from ocisource import errors
from ocisource.wire import mergepatch

MAX_OPERATIONS = 10_000  # as kube-apiserver's maxJSONPatchOperations
MAX_COPIED = 500_000  # JSON values; "copy" could double a document with each operation

_OPERATIONS = frozenset({"add", "remove", "replace", "move", "copy", "test"})
_MISSING: Any = object()
_GO_NAMES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object"}


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One step of a patch; ``path`` and ``source`` are unescaped pointer segments."""

    op: str
    path: tuple[str, ...]
    source: tuple[str, ...] | None = None
    value: Any = _MISSING


def apply(doc: Any, patch: Sequence[Any]) -> Any:
    """The document after all operations; the argument is left as it was.

    Raises InvalidInputError and PatchFailedError.
    """
    operations = parse(patch)
    changed = copy.deepcopy(doc)
    budget = MAX_COPIED
    for operation in operations:
        if operation.op == "copy":
            budget -= _weight(_get(changed, operation.source or ()))
            if budget < 0:
                raise errors.PatchFailedError("the copy operations of the patch add up to too much")
        changed = _step(changed, operation)
    return changed


def parse(patch: Any) -> list[Operation]:
    """Read a decoded patch; raises InvalidInputError, or PatchFailedError for a bad operation."""
    if not isinstance(patch, list):
        raise errors.InvalidInputError(
            f"json: cannot unmarshal {_go_name(patch)} into Go value of type jsonpatch.Patch"
        )
    if len(patch) > MAX_OPERATIONS:
        raise errors.InvalidInputError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    return [_operation(item) for item in patch]


def pointer(text: Any) -> tuple[str, ...]:
    """Segments of a JSON pointer, unescaped; raises PatchFailedError."""
    if text == "":
        return ()
    if not isinstance(text, str) or not text.startswith("/"):
        raise errors.PatchFailedError(f"{text!r} is no JSON pointer: it must start with '/'")
    # RFC 6901 section 4: ~1 first, then ~0, so that ~01 becomes ~1.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def _operation(item: Any) -> Operation:
    if not isinstance(item, dict):
        raise errors.InvalidInputError(
            f"json: cannot unmarshal {_go_name(item)} into Go value of type jsonpatch.Operation"
        )
    op = item.get("op")
    if op not in _OPERATIONS:
        raise errors.PatchFailedError(f"unexpected kind of operation: {op!r}")
    if "path" not in item:
        raise errors.PatchFailedError(f'the "{op}" operation has no path')
    needs_source = op in {"move", "copy"}
    if needs_source and "from" not in item:
        raise errors.PatchFailedError(f'the "{op}" operation has no from')
    # As kube-apiserver's library, a value left out is null.
    return Operation(
        op=op,
        path=pointer(item["path"]),
        source=pointer(item["from"]) if needs_source else None,
        value=item.get("value"),
    )


def _step(doc: Any, operation: Operation) -> Any:
    match operation.op:
        case "add":
            return _add(doc, operation.path, copy.deepcopy(operation.value))
        case "remove":
            return _remove(doc, operation.path)
        case "replace":
            _get(doc, operation.path)
            return _replace(doc, operation.path, copy.deepcopy(operation.value))
        case "move":
            return _move(doc, operation)
        case "copy":
            value = copy.deepcopy(_get(doc, operation.source or ()))
            return _add(doc, operation.path, value)
        case _:
            return _test(doc, operation)


def _move(doc: Any, operation: Operation) -> Any:
    source = operation.source or ()
    if operation.path[: len(source)] == source and operation.path != source:
        raise errors.PatchFailedError("a value cannot be moved into itself")
    value = _get(doc, source)
    return _add(_remove(doc, source), operation.path, value)


def _test(doc: Any, operation: Operation) -> Any:
    try:
        found = _get(doc, operation.path)
    except errors.PatchFailedError:
        # As kube-apiserver's library, a missing member equals null.
        if operation.value is None:
            return doc
        raise
    if mergepatch.diff({"": found}, {"": operation.value}):
        raise errors.PatchFailedError(f"testing value {_shown(operation.path)} failed")
    return doc


def _get(doc: Any, path: tuple[str, ...]) -> Any:
    for position, segment in enumerate(path):
        if isinstance(doc, dict) and segment in doc:
            doc = doc[segment]
        elif isinstance(doc, list):
            doc = doc[_index(segment, len(doc) - 1, path)]
        else:
            raise errors.PatchFailedError(f"doc is missing path: {_shown(path[: position + 1])}")
    return doc


def _add(doc: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _get(doc, path[:-1])
    last = path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent), path), value)
    else:
        raise errors.PatchFailedError(f"doc is missing path: {_shown(path)}")
    return doc


def _replace(doc: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _get(doc, path[:-1])
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value
    return doc


def _remove(doc: Any, path: tuple[str, ...]) -> Any:
    if not path:
        raise errors.PatchFailedError("the whole document cannot be removed")
    _get(doc, path)
    parent = _get(doc, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]
    return doc


def _index(segment: str, last: int, path: tuple[str, ...]) -> int:
    # RFC 6901 section 4: digits without a leading zero.
    is_number = segment.isascii() and segment.isdigit() and (segment == "0" or segment[0] != "0")
    if not is_number or len(segment) > len(str(last)) or int(segment) > last:
        raise errors.PatchFailedError(f"unable to access invalid index: {_shown(path)}")
    return int(segment)


def _weight(value: Any) -> int:
    count, rest = 0, [value]
    while rest:
        item = rest.pop()
        count += 1
        if isinstance(item, dict):
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return count


def _shown(path: tuple[str, ...]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _go_name(value: Any) -> str:
    return "array" if isinstance(value, list) else _GO_NAMES.get(type(value), "null")
