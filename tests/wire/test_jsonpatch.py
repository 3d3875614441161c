"""JSON patches by RFC 6902, and refused where they do not fit."""

from typing import Any

import pytest

from ocisource import errors
from ocisource.wire import jsonpatch

Patch = list[dict[str, Any]]


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [
        # RFC 6902, appendix A
        (
            {"foo": "bar"},
            [{"op": "add", "path": "/baz", "value": "qux"}],
            {"baz": "qux", "foo": "bar"},
        ),
        (
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
        ),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        (
            {"foo": ["bar", "qux", "baz"]},
            [{"op": "remove", "path": "/foo/1"}],
            {"foo": ["bar", "baz"]},
        ),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        (
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [
                {"op": "test", "path": "/baz", "value": "qux"},
                {"op": "test", "path": "/foo/1", "value": 2},
            ],
            {"baz": "qux", "foo": ["a", 2, "c"]},
        ),
        (
            {"/": 9, "~1": 10},
            [{"op": "test", "path": "/~01", "value": 10}],
            {"/": 9, "~1": 10},
        ),
        (
            {"foo": ["bar"]},
            [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
            {"foo": ["bar", ["abc", "def"]]},
        ),
        ({"a": 1}, [{"op": "replace", "path": "", "value": []}], []),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        # As kube-apiserver's library: a missing member equals null.
        ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    ],
)
def test_applies_operations(doc: Any, patch: Patch, expected: Any) -> None:
    """The examples of the RFC come out as it says."""
    assert jsonpatch.apply(doc, patch) == expected


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "replace", "path": "/a/x", "value": 1}],
        [{"op": "remove", "path": "/x"}],
        [{"op": "remove", "path": ""}],
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "add", "path": "/list/3", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "add", "path": "/list/x", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "move", "from": "/list", "path": "/list/0"}],
        [{"op": "copy", "from": "/x", "path": "/y"}],
        [{"op": "copy", "path": "/y"}],
        [{"op": "add", "value": 1}],
        [{"op": "frobnicate", "path": "/a"}],
    ],
)
def test_refuses_what_does_not_fit(patch: Patch) -> None:
    """A patch that cannot be carried out changes nothing."""
    doc = {"a": 1, "list": [1, 2]}
    with pytest.raises(errors.PatchFailedError):
        jsonpatch.apply(doc, patch)
    assert doc == {"a": 1, "list": [1, 2]}


@pytest.mark.parametrize("patch", [{}, "x", [1], [None], [[]]])
def test_refuses_what_is_no_patch(patch: Any) -> None:
    """What is no list of objects cannot be decoded."""
    with pytest.raises(errors.InvalidInputError, match="json: cannot unmarshal") as caught:
        jsonpatch.apply({}, patch)
    assert not isinstance(caught.value, errors.PatchFailedError)


def test_refuses_too_many_operations() -> None:
    """kube-apiserver's bound holds here as well."""
    with pytest.raises(errors.InvalidInputError, match="allowed maximum operations"):
        jsonpatch.apply({}, [{"op": "test", "path": ""}] * 10_001)


def test_refuses_copies_that_grow_without_end() -> None:
    """Copying a document into itself doubles it each time: 40 steps would fill any memory."""
    patch = [{"op": "copy", "from": "/a", "path": f"/a/{step}"} for step in range(40)]
    with pytest.raises(errors.PatchFailedError, match="add up to too much"):
        jsonpatch.apply({"a": {"x": 1}}, patch)
