"""Structural schemas: what is dropped, filled in, and complained of."""

import copy
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource.apiserver.schemas import schema

_PROPERTIES: dict[str, Any] = {
    "url": {"type": "string", "pattern": "^oci://.*$"},
    "n": {"type": "integer", "minimum": 1, "maximum": 5},
    "half": {"type": "number", "multipleOf": 0.5, "maximum": 9, "exclusiveMaximum": True},
    "big": {"type": "integer", "minimum": 1000000},
    "flag": {"type": "boolean"},
    "enum": {"type": "string", "enum": ["a", "b"]},
    "numbers": {"type": "integer", "enum": [1, 2]},
    "s": {"type": "string", "minLength": 2, "maxLength": 4},
    "list": {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
        },
    },
    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "map": {
        "type": "array",
        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    },
    "free": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "minProperties": 1,
        "maxProperties": 2,
    },
    "when": {"type": "string", "format": "date-time"},
    "wait": {"type": "string", "format": "duration"},
    "either": {"x-kubernetes-int-or-string": True},
    "nothing": {"type": "string", "nullable": True},
    "one": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "any": {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "all": {"type": "object", "allOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "no": {"type": "object", "not": {"required": ["a"]}},
    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "inner": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    },
    "d": {
        "type": "object",
        "default": {},
        "properties": {
            "e": {"type": "integer", "default": 3},
            "f": {"type": "string", "default": "q", "nullable": True},
        },
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "required": ["url"], "properties": _PROPERTIES}},
}
_STRUCTURAL = schema.Structural(_SCHEMA)


def _errors(**spec: Any) -> list[str]:
    return [str(each) for each in _STRUCTURAL.validate({"spec": {"url": "oci://x", **spec}})]


# Texts of kube-apiserver v1.20.2; where it leaves the item's index or the path out, later ones.
_WRONG = [
    ({"url": "http"}, "Invalid value: \"http\": spec.url in body should match '^oci://.*$'"),
    ({"url": 3}, 'Invalid value: "integer": spec.url in body must be of type string: "integer"'),
    ({"n": "a"}, 'Invalid value: "string": spec.n in body must be of type integer: "string"'),
    ({"n": 0}, "Invalid value: 0: spec.n in body should be greater than or equal to 1"),
    ({"n": 6}, "Invalid value: 6: spec.n in body should be less than or equal to 5"),
    ({"n": 1.5}, 'Invalid value: "number": spec.n in body must be of type integer: "number"'),
    ({"n": None}, 'Invalid value: "null": spec.n in body must be of type integer: "null"'),
    ({"half": 1.3}, "Invalid value: 1.3: spec.half in body should be a multiple of 0.5"),
    ({"half": 9}, "Invalid value: 9: spec.half in body should be less than 9"),
    ({"big": 1}, "Invalid value: 1: spec.big in body should be greater than or equal to 1e+06"),
    ({"flag": "t"}, 'Invalid value: "string": spec.flag in body must be of type boolean: "string"'),
    ({"enum": "c"}, 'Unsupported value: "c": supported values: "a", "b"'),
    ({"numbers": 3}, 'Unsupported value: 3: supported values: "1", "2"'),
    ({"s": "a"}, 'Invalid value: "a": spec.s in body should be at least 2 chars long'),
    ({"s": "abcde"}, 'Invalid value: "abcde": spec.s in body should be at most 4 chars long'),
    ({"list": []}, "Invalid value: 0: spec.list in body should have at least 1 items"),
    (
        {"list": [{"name": "a"}] * 3},
        "Invalid value: 3: spec.list in body should have at most 2 items",
    ),
    ({"list": {}}, 'Invalid value: "object": spec.list in body must be of type array: "object"'),
    ({"free": {}}, "Invalid value: 1: spec.free in body should have at least 1 properties"),
    (
        {"free": {"a": "", "b": "", "c": ""}},
        "Invalid value: 2: spec.free in body should have at most 2 properties",
    ),
    ({"when": "x"}, 'Invalid value: "x": spec.when in body must be of type date-time: "x"'),
    ({"wait": "5x"}, 'Invalid value: "5x": spec.wait in body must be of type duration: "5x"'),
    (
        {"either": 1.5},
        'Invalid value: "number": spec.either in body must be of type integer,string: "number"',
    ),
    ({"no": {"a": 1}}, 'Invalid value: "": "spec.no" must not validate the schema (not)'),
    (
        {"one": {"a": 1, "b": 1}},
        (
            'Invalid value: "": "spec.one" must validate one and only one schema (oneOf). '
            "Found 2 valid alternatives"
        ),
    ),
]


@pytest.mark.parametrize(("spec", "message"), _WRONG)
def test_wrong_values_are_told_in_the_servers_words(spec: dict[str, Any], message: str) -> None:
    """One wrong value makes one error, at its path."""
    (name,) = spec
    assert _errors(**spec) == [f"spec.{name}: {message}"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"n": 2.0},
        {"either": "5%"},
        {"either": 5},
        {"nothing": None},
        {"s": "éééé"},
        {"wait": "5m"},
        {"when": "2020-01-01T00:00:00Z"},
        {"open": {"q": [1]}},
        {"set": ["a", "b"]},
        {"one": {"a": 1}},
        {"any": {"b": 1}},
        {"all": {"a": 1, "b": 1}},
    ],
)
def test_right_values_pass(spec: dict[str, Any]) -> None:
    """Values within the rules make no error."""
    assert _errors(**spec) == []


def test_errors_below_lists_name_the_item() -> None:
    """An item's error stands at its index."""
    assert _errors(list=[{"v": 1}, {"name": 1, "v": "x"}]) == [
        "spec.list[0].name: Required value",
        (
            'spec.list[1].name: Invalid value: "integer": spec.list[1].name in body must be of '
            'type string: "integer"'
        ),
        (
            'spec.list[1].v: Invalid value: "string": spec.list[1].v in body must be of type '
            'integer: "string"'
        ),
    ]


def test_required_members_are_missed() -> None:
    """What must be there and is not."""
    assert [str(each) for each in _STRUCTURAL.validate({"spec": {}})] == [
        "spec.url: Required value"
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"set": ["a", "b", "a"]}, ['spec.set[2]: Duplicate value: "a"']),
        (
            {"map": [{"k": "a"}, {"k": "a"}]},
            ['spec.map[1]: Duplicate value: map[string]interface {}{"k":"a"}'],
        ),
    ],
)
def test_twins_in_sets_and_maps_are_found(spec: dict[str, Any], found: list[str]) -> None:
    """Each item, or each key, stands once."""
    assert _errors(**spec) == found


def test_embedded_objects_have_a_type() -> None:
    """An embedded object says what it is."""
    assert _errors(inner={}) == [
        "spec.inner.apiVersion: Required value: must not be empty",
        "spec.inner.kind: Required value: must not be empty",
    ]


def test_combinations_tell_the_nearest_miss() -> None:
    """When no alternative holds, the errors of the nearest one follow."""
    assert _errors(any={}) == [
        'spec.any: Invalid value: "": "spec.any" must validate at least one schema (anyOf)',
        "spec.any.a: Required value",
    ]
    assert _errors(all={})[-1] == (
        'spec.all: Invalid value: "": "spec.all" must validate all the schemas (allOf). '
        "None validated"
    )


def test_unknown_fields_are_dropped_and_told() -> None:
    """Pruning keeps what the schema names, free keys, preserved fields and type metadata."""
    obj = {
        "apiVersion": "v1",
        "kind": "Probe",
        "metadata": {"name": "x"},
        "zzz": 1,
        "spec": {
            "url": "oci://x",
            "x": 1,
            "list": [{"name": "a"}, {"name": "b", "w": 1}],
            "free": {"any": "1"},
            "open": {"kept": {"deep": 1}},
            "inner": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "y"}, "spec": {}},
        },
    }
    before = copy.deepcopy(obj)
    assert _STRUCTURAL.unknown_paths(obj) == ["spec.list[1].w", "spec.x", "zzz"]
    assert obj == before
    assert _STRUCTURAL.prune(obj) == ["spec.list[1].w", "spec.x", "zzz"]
    assert obj["spec"]["list"] == [{"name": "a"}, {"name": "b"}]  # type: ignore[index]
    assert obj["spec"]["inner"] == before["spec"]["inner"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"d": {"e": 3, "f": "q"}}),
        ({"d": None}, {"d": {"e": 3, "f": "q"}}),
        ({"d": {"f": None}}, {"d": {"e": 3, "f": None}}),
        ({"d": {"e": None}}, {"d": {"e": 3, "f": "q"}}),
        ({"d": {"e": 1}, "s": None}, {"d": {"e": 1, "f": "q"}}),
        ({"nothing": None}, {"nothing": None, "d": {"e": 3, "f": "q"}}),
    ],
)
def test_defaults_are_filled_in(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Defaults stand where nothing or a wrong null stood; other wrong nulls go."""
    obj = {"spec": given}
    _STRUCTURAL.default(obj)
    assert obj == {"spec": wanted}


def test_defaults_are_not_shared() -> None:
    """What one object got is not changed by another."""
    one: dict[str, Any] = {"spec": {}}
    other: dict[str, Any] = {"spec": {}}
    _STRUCTURAL.default(one)
    one["spec"]["d"]["e"] = 9
    _STRUCTURAL.default(other)
    assert other["spec"]["d"]["e"] == 3


def test_whole_floats_are_kept_as_integers() -> None:
    """``2.0`` is written as ``2``, as Go's encoder does."""
    obj = {"spec": {"n": 2.0, "half": 1.5}}
    _STRUCTURAL.prune(obj)
    assert repr(obj["spec"]) == "{'n': 2, 'half': 1.5}"


def test_schemas_may_lead_back_to_themselves() -> None:
    """A definition that refers to itself is compiled once, and followed as deep as the object."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/definitions/N"}}}
    structural = schema.Structural({"$ref": "#/definitions/N"}, definitions={"N": node})
    obj = {"next": {"next": {"next": {"x": 1}}}}
    assert structural.prune(obj) == ["next.next.next.x"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*_PROPERTIES, "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@hypothesis.given(_JSON)
def test_any_object_can_be_taken_in(spec: Any) -> None:
    """Whatever stands in an object, the three passes end, and pruning leaves nothing unknown."""
    obj = {"spec": spec}
    _STRUCTURAL.prune(obj)
    assert _STRUCTURAL.prune(obj) == []
    _STRUCTURAL.default(obj)
    once = copy.deepcopy(obj)
    _STRUCTURAL.default(obj)
    assert obj == once
    for each in _STRUCTURAL.validate(obj):
        assert each.field
        assert str(each)
