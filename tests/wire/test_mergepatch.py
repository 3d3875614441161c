"""JSON merge patches by RFC 7386, and the smallest one between two documents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocisource.wire import mergepatch

_scalars = st.booleans() | st.integers(-3, 3) | st.text(max_size=3)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
_objects = st.dictionaries(st.text("abc", max_size=2), _values, max_size=4)


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [
        # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_applies_patches(doc: Any, patch: Any, expected: Any) -> None:
    """The examples of the RFC come out as it says."""
    assert mergepatch.apply(doc, patch) == expected


@given(_objects, _objects)
def test_finds_the_way_from_one_document_to_another(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    """What ``diff`` finds, ``apply`` carries out; between equals there is nothing to do."""
    patch = mergepatch.diff(old, new)
    assert mergepatch.diff(mergepatch.apply(old, patch), new) == {}
    assert mergepatch.diff(new, new) == {}


def test_tells_true_from_one() -> None:
    """In JSON they are different values, inside lists as well."""
    assert mergepatch.diff({"a": 1}, {"a": True}) == {"a": True}
    assert mergepatch.diff({"a": [1]}, {"a": [True]}) == {"a": [True]}
