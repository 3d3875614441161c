"""Ownership of fields and server-side apply, as kube-apiserver v1.20.2 answered the same writes."""

import copy
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.ownership import fieldsets, managedfields
from ocisource.apiserver.schemas import schema, typedvalues

_NOW = 1_600_000_000.0
_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "url": {"type": "string"},
                "list": {"type": "array", "items": {"type": "string"}},
                "set": {
                    "type": "array",
                    "items": {"type": "string"},
                    "x-kubernetes-list-type": "set",
                },
                "map": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "k": {"type": "string"},
                            "v": {"type": "integer"},
                            "o": {"type": "object", "properties": {"p": {"type": "string"}}},
                        },
                    },
                },
                "free": {"type": "object", "additionalProperties": {"type": "string"}},
                "whole": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                },
                "o": {"type": "object", "properties": {"a": {"type": "string"}}},
            },
        },
        "status": {"type": "object", "properties": {"s": {"type": "string"}}},
    },
}
_STRUCTURAL = schema.Structural(_SCHEMA)
_CONFIG_MAP = builtins.find("", "ConfigMap")
assert _CONFIG_MAP is not None
_ROOT = _CONFIG_MAP.structural
_TEMPLATE = _CONFIG_MAP.template

Object = dict[str, Any]


def _config_map(data: Object | None = None, **metadata: Any) -> Object:
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", **metadata}}
    return obj | ({"data": data} if data is not None else {})


def _update(old: Object | None, new: Object, manager: str, *, now: float = _NOW) -> Object:
    return managedfields.update(
        old, new, structural=_ROOT, manager=manager, now=now, template=_TEMPLATE
    )


def _changed(old: Object, manager: str, data: Object, *, now: float = _NOW) -> Object:
    new = copy.deepcopy(old)
    new["data"] = {
        key: value for key, value in {**old["data"], **data}.items() if value is not None
    }
    return _update(old, new, manager, now=now)


def _apply(live: Object | None, patch: Object, manager: str, *, is_forced: bool = False) -> Object:
    return managedfields.apply(
        live,
        patch,
        structural=_ROOT,
        manager=manager,
        is_forced=is_forced,
        now=_NOW,
        template=_TEMPLATE,
    )


def _owned(obj: Object) -> dict[str, Object]:
    return {
        f"{entry['manager']} {entry['operation']}": entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", [])
    }


def _created() -> Object:
    return _update(
        None,
        _config_map({"k": "1", "l": "2"}, labels={"x": "1"}, annotations={"q": "1"}),
        "a",
    )


_META_OF_A: Object = {
    "f:annotations": {".": {}, "f:q": {}},
    "f:labels": {".": {}, "f:x": {}},
}


def test_the_creator_owns_what_it_wrote() -> None:
    """Free keys have an entry for the object that holds them; names and versions have none."""
    obj = _created()
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2020-09-13T12:26:40Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:data": {".": {}, "f:k": {}, "f:l": {}},
                "f:metadata": _META_OF_A,
            },
        }
    ]


def test_whoever_changes_a_field_takes_it() -> None:
    """The former owner keeps the rest; a removed field is nobody's."""
    obj = _changed(_created(), "b", {"k": "2", "n": "3"})
    assert _owned(obj) == {
        "a Update": {"f:data": {".": {}, "f:l": {}}, "f:metadata": _META_OF_A},
        "b Update": {"f:data": {"f:k": {}, "f:n": {}}},
    }
    obj = _changed(obj, "c", {"l": None})
    assert _owned(obj) == {
        "a Update": {"f:data": {}, "f:metadata": _META_OF_A},
        "b Update": {"f:data": {"f:k": {}, "f:n": {}}},
    }


def test_a_write_that_changes_nothing_changes_no_entry() -> None:
    """Not even its time."""
    obj = _changed(_created(), "b", {"k": "2"})
    assert _changed(obj, "b", {"k": "2"}, now=_NOW + 60) == obj
    assert _changed(obj, "z", {"k": "2"}, now=_NOW + 60) == obj


def test_applying_anothers_field_conflicts() -> None:
    """Every field in question is named, with its owner."""
    obj = _changed(_created(), "b", {"k": "2", "n": "3"})
    with pytest.raises(managedfields.ConflictError) as caught:
        _apply(obj, _config_map({"k": "9", "n": "4"}, labels={"x": "2"}), "ap")
    assert str(caught.value) == (
        'Apply failed with 3 conflicts: conflicts with "a" using v1:\n- .metadata.labels.x\n'
        'conflicts with "b" using v1:\n- .data.k\n- .data.n'
    )
    assert caught.value.code == 409
    assert caught.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "a" using v1',
            "field": ".metadata.labels.x",
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "b" using v1',
            "field": ".data.k",
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "b" using v1',
            "field": ".data.n",
        },
    ]


def test_a_forced_apply_takes_the_fields() -> None:
    """And the others lose them."""
    obj = _changed(_created(), "b", {"k": "2", "n": "3"})
    patch = _config_map({"k": "9", "z": "1"}, labels={"x": "2"})
    obj = _apply(obj, patch, "ap", is_forced=True)
    assert obj["data"] == {"k": "9", "l": "2", "n": "3", "z": "1"}
    assert _owned(obj) == {
        "ap Apply": {"f:data": {"f:k": {}, "f:z": {}}, "f:metadata": {"f:labels": {"f:x": {}}}},
        "a Update": {
            "f:data": {".": {}, "f:l": {}},
            "f:metadata": {"f:annotations": {".": {}, "f:q": {}}, "f:labels": {}},
        },
        "b Update": {"f:data": {"f:n": {}}},
    }


def test_equal_values_are_shared() -> None:
    """Two managers may apply the same value; what one gives up the other keeps."""
    obj = _apply(None, _config_map({"k": "9", "z": "1"}), "ap")
    obj = _apply(obj, _config_map({"k": "9"}), "ap2")
    obj = _apply(obj, _config_map({}), "ap")
    assert obj["data"] == {"k": "9"}
    assert _owned(obj)["ap2 Apply"] == {"f:data": {"f:k": {}}}
    with pytest.raises(
        managedfields.ConflictError, match=r"1 conflict: conflict with .ap2.: \.data\.k"
    ):
        _apply(obj, _config_map({"k": "0"}), "ap")


def test_what_an_applier_leaves_out_is_removed() -> None:
    """Unless somebody else owns it."""
    obj = _apply(None, _config_map({"k": "9", "z": "1"}), "ap")
    obj = _changed(obj, "b", {"mine": "1"})
    obj = _apply(obj, _config_map({"k": "9"}), "ap")
    assert obj["data"] == {"k": "9", "mine": "1"}


def test_the_same_apply_again_changes_nothing() -> None:
    """Neither the object nor the time of its entry."""
    obj = _apply(None, _config_map({"k": "9"}), "ap")
    again = managedfields.apply(
        obj,
        _config_map({"k": "9"}),
        structural=_ROOT,
        manager="ap",
        is_forced=False,
        now=_NOW + 60,
        template=_TEMPLATE,
    )
    assert again == obj


def test_cleared_entries_are_taken_up_before_the_next_apply() -> None:
    """``managedFields: [{}]`` clears them; then everything belongs to before-first-apply."""
    new = copy.deepcopy(_created())
    new["metadata"]["managedFields"] = [{}]
    obj = _update(_created(), new, "z")
    assert "managedFields" not in obj["metadata"]
    obj = _apply(obj, _config_map({"k": "1"}), "ap")
    assert _owned(obj) == {
        "ap Apply": {"f:data": {"f:k": {}}},
        "before-first-apply Update": {
            "f:data": {".": {}, "f:k": {}, "f:l": {}},
            "f:metadata": _META_OF_A,
        },
    }


def test_a_subresource_has_entries_of_its_own_and_clears_none() -> None:
    """What was written through status is told apart, and managedFields of the request ignored."""
    old = managedfields.update(
        None,
        {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"url": "a"}},
        structural=_STRUCTURAL,
        manager="a",
        now=_NOW,
    )
    new = copy.deepcopy(old) | {"status": {"s": "1"}}
    new["metadata"]["managedFields"] = [{}]
    obj = managedfields.update(
        old, new, structural=_STRUCTURAL, manager="a", now=_NOW, subresource="status"
    )
    entries = obj["metadata"]["managedFields"]
    assert [entry.get("subresource") for entry in entries] == [None, "status"]
    assert entries[1]["fieldsV1"] == {"f:status": {".": {}, "f:s": {}}}


def test_many_updaters_are_folded_into_one() -> None:
    """At most ten entries of operation Update; the oldest become ancient-changes."""
    obj = _created()
    for at in range(12):
        obj = _changed(obj, f"m{at:02d}", {f"f{at}": "1"}, now=_NOW + at)
    names = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert names == ["ancient-changes", *(f"m{at:02d}" for at in range(3, 12))]
    assert _owned(obj)["ancient-changes Update"]["f:data"] == {
        ".": {},
        "f:k": {},
        "f:l": {},
        "f:f0": {},
        "f:f1": {},
        "f:f2": {},
    }


def _typed(spec: Object) -> Object:
    return {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec}


def _apply_typed(live: Object | None, spec: Object, manager: str, **options: Any) -> Object:
    return managedfields.apply(
        live,
        _typed(spec),
        structural=_STRUCTURAL,
        manager=manager,
        is_forced=options.get("is_forced", False),
        now=_NOW,
    )


def test_lists_are_merged_as_the_schema_says() -> None:
    """Sets by item, maps by key, anything else as a whole."""
    live = _apply_typed(
        None,
        {
            "set": ["a", "b"],
            "map": [{"k": "1", "v": 1}, {"k": "2", "o": {"p": "q"}}],
            "list": ["x"],
            "whole": {"a": "1"},
        },
        "one",
    )
    assert _owned(live)["one Apply"]["f:spec"] == {
        "f:set": {'v:"a"': {}, 'v:"b"': {}},
        "f:map": {
            'k:{"k":"1"}': {".": {}, "f:k": {}, "f:v": {}},
            'k:{"k":"2"}': {".": {}, "f:k": {}, "f:o": {"f:p": {}}},
        },
        "f:list": {},
        "f:whole": {},
    }
    both = _apply_typed(live, {"set": ["c"], "map": [{"k": "3"}, {"k": "1", "v": 1}]}, "two")
    assert both["spec"]["set"] == ["a", "b", "c"]
    assert both["spec"]["map"] == [
        {"k": "1", "v": 1},
        {"k": "2", "o": {"p": "q"}},
        {"k": "3"},
    ]
    with pytest.raises(managedfields.ConflictError) as caught:
        _apply_typed(both, {"list": ["y"], "whole": {"b": "1"}, "map": [{"k": "1", "v": 2}]}, "x")
    assert str(caught.value) == (
        'Apply failed with 4 conflicts: conflicts with "one":\n- .spec.list\n- .spec.whole\n'
        '- .spec.map[k="1"].v\nconflicts with "two":\n- .spec.map[k="1"].v'
    )
    left = _apply_typed(both, {"set": ["b"], "map": [{"k": "2", "o": {"p": "q"}}]}, "one")
    assert left["spec"] == {
        "set": ["b", "c"],
        "map": [{"k": "1", "v": 1}, {"k": "2", "o": {"p": "q"}}, {"k": "3"}],
    }


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"zzz": 1}, ".spec.zzz: field not declared in schema"),
        ({"url": 1}, ".spec.url: expected string, got &value.valueUnstructured{Value:1}"),
        (
            {"map": [{"k": "1", "v": "x"}]},
            '.spec.map[k="1"].v: expected numeric (int or float), got *value.valueUnstructured',
        ),
        ({"free": []}, ".spec.free: expected map, got &{[]}"),
        ({"set": {}}, ".spec.set: expected list, got &{map[]}"),
        ({"map": [{"k": "2"}, {"k": "2"}]}, '.spec.map: duplicate entries for key [k="2"]'),
        (
            {"map": [{"v": 1}]},
            (
                ".spec.map: element 0: associative list with keys has an element that omits key "
                'field "k" (and doesn\'t have default value)'
            ),
        ),
    ],
)
def test_patches_the_schema_does_not_know_are_refused(spec: Object, problem: str) -> None:
    """Code 500 and structured-merge-diff's words, after the name of the object."""
    with pytest.raises(errors.APIStatusError) as caught:
        _apply_typed(None, spec, "a")
    assert caught.value.code == 500
    assert str(caught.value) == f"failed to create typed patch object (x; x/v1, Kind=X): {problem}"


def test_what_a_way_of_writing_leaves_alone_is_nobodys() -> None:
    """``reset`` keeps the status out of an apply by the front door."""
    obj = managedfields.apply(
        None,
        {**_typed({"url": "a"}), "status": {"s": "1"}},
        structural=_STRUCTURAL,
        manager="a",
        is_forced=False,
        now=_NOW,
        reset={"f:status": {}},
    )
    assert "status" not in obj
    assert _owned(obj)["a Apply"] == {"f:spec": {"f:url": {}}}


_NAMES = st.sampled_from(["f:a", "f:b", 'k:{"n":"1"}', 'v:"x"', "i:0"])
_SETS: st.SearchStrategy[Object] = st.recursive(
    st.just({}),
    lambda inner: st.tuples(st.dictionaries(_NAMES, inner, max_size=3), st.booleans()).map(
        lambda pair: {".": {}, **pair[0]} if pair[1] and pair[0] else pair[0]
    ),
    max_leaves=8,
)


@hypothesis.given(_SETS, _SETS)
def test_field_sets_obey_the_laws_of_sets(one: Object, other: Object) -> None:
    """Union, difference and intersection fit together."""
    both = fieldsets.union(one, other)
    shared = fieldsets.intersection(one, other)
    left = fieldsets.difference(one, other)
    members = {name: set(fieldsets.paths(each)) for name, each in (("1", one), ("2", other))}
    assert set(fieldsets.paths(both)) == members["1"] | members["2"]
    assert set(fieldsets.paths(shared)) == members["1"] & members["2"]
    assert set(fieldsets.paths(left)) == members["1"] - members["2"]
    assert fieldsets.is_valid(both)


_ITEMS = st.fixed_dictionaries(
    {"k": st.sampled_from(["1", "2", "3"])}, optional={"v": st.integers(0, 2)}
)
# An empty list or object that nobody else has an item in leaves with its last item.
_SPECS: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {},
    optional={
        "url": st.sampled_from(["a", "b"]),
        "list": st.lists(st.sampled_from(["x", "y"]), max_size=2),
        "set": st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True),
        "map": st.lists(_ITEMS, min_size=1, max_size=3, unique_by=lambda item: str(item["k"])),
        "free": st.dictionaries(st.sampled_from("pq"), st.sampled_from("12"), min_size=1),
        "o": st.just({"a": "1"}),
    },
)


@hypothesis.given(st.lists(st.tuples(st.sampled_from("abc"), _SPECS, st.booleans()), max_size=6))
def test_any_row_of_applies_leaves_each_manager_what_it_asked_for(
    row: list[tuple[str, Object, bool]],
) -> None:
    """After a forced apply the object holds the whole patch, and nobody owns what is not there."""
    live: Object | None = None
    for manager, spec, is_update in row:
        if is_update and live is not None:
            live = managedfields.update(
                live, {**live, "spec": spec}, structural=_STRUCTURAL, manager=manager, now=_NOW
            )
        else:
            live = _apply_typed(live, spec, manager, is_forced=True)
            root = _STRUCTURAL.root.properties["spec"]
            assert typedvalues.merge(live.get("spec", {}), spec, root) == live.get("spec", {})
        there = set(fieldsets.paths(typedvalues.compare({}, live, _STRUCTURAL.root).added))
        for entry in live["metadata"].get("managedFields", []):
            assert set(fieldsets.paths(entry["fieldsV1"])) <= there | {".spec"}
