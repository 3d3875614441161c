"""JSON merge patches (RFC 7386).

Example::

    >>> apply({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    >>> diff({"a": 1, "b": 2}, {"b": 3})
    {'a': None, 'b': 3}
"""

from typing import Any


def apply(doc: Any, patch: Any) -> Any:
    """The document after the patch; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    # RFC 7386 section 2: a target that is no object is treated as an empty one.
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply(merged.get(key), value)
    return merged


def diff(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that turns ``old`` into ``new``; empty when they are equal.

    A null inside ``new`` cannot be expressed: in a merge patch it means removal.
    """
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if inner := diff(old[key], value):
                patch[key] = inner
        elif not _is_equal(old[key], value):
            patch[key] = value
    return patch


def _is_equal(one: Any, other: Any) -> bool:
    # In Python True == 1; in JSON they differ.
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    return bool(one == other)
