"""Tables: columns by path, ages, and what stands beside the cells."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import jsonpath, table
from ocisource.apiserver.wording import humanduration
from ocisource.wire import timestamps

_NOW = timestamps.parse("2026-11-22T20:37:41Z")
_SPEC: dict[str, Any] = {
    "s": "x",
    "m": {"a": {"z": [1, "b", None, 1.5]}, "A": "q"},
    "l": ["a", "b", {"k": 1}],
    "i": 3,
    "f": 1.25,
    "b": True,
    "d": "2020-01-01T00:00:00Z",
    "none": None,
    "c": [{"type": "Stalled", "status": "False"}, {"type": "Ready", "status": "True"}],
}
_OBJECT = {"metadata": {"name": "c0", "labels": {"a.b/c": "lab"}}, "spec": _SPEC}


@pytest.mark.parametrize(
    ("path", "kind", "cell"),
    [
        (".spec.s", "string", "x"),
        (".spec.m", "string", '{"A":"q","a":{"z":[1,"b",null,1.5]}}'),
        (".spec.l", "string", '["a","b",{"k":1}]'),
        (".spec.l[*]", "string", "a"),
        (".spec.l[1]", "string", "b"),
        (".spec.l[-1]", "string", '{"k":1}'),
        (".spec.l[1:]", "string", "b"),
        (".spec.i", "integer", 3),
        (".spec.f", "number", 1.25),
        (".spec.f", "integer", 1),
        (".spec.i", "string", "3"),
        (".spec.f", "string", "1.25"),
        (".spec.b", "string", "true"),
        (".spec.b", "boolean", True),
        (".spec.s", "integer", None),
        (".spec.i", "boolean", None),
        (".spec.d", "date", "6y327d"),
        (".spec.s", "date", "<invalid>"),
        (".spec.none", "string", "<no value>"),
        (".spec.nothing", "string", None),
        ('.spec.c[?(@.type=="Ready")].status', "string", "True"),
        ("{.spec.c[?(@.type!='Ready')].status}", "string", "False"),
        ('.spec.c[?(@.type=="Never")].status', "string", None),
        (r".metadata.labels.a\.b/c", "string", "lab"),
        # client-go takes the dot in a quoted name for a step.
        (".metadata.labels['a.b/c']", "string", None),
        (r".metadata.labels['a\.b/c']", "string", "lab"),
    ],
)
def test_cells_are_what_the_path_finds(path: str, kind: str, cell: object) -> None:
    """Cells as kube-apiserver v1.20.2 printed them for the same object."""
    columns = table.Columns.from_crd(
        {"additionalPrinterColumns": [{"name": "C", "type": kind, "jsonPath": path}]}
    )
    (row,) = table.render(columns, [_OBJECT], now=_NOW)["rows"]
    assert row["cells"] == ["c0", cell]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (10860, "3h1m"),
        (28799, "7h59m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (176400, "2d1h"),
        (691199, "7d23h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (63158400, "2y1d"),
        (252288000, "8y"),
        (1e10, "317y"),
    ],
)
def test_ages_have_two_units_at_most(seconds: float, text: str) -> None:
    """Ages as ``kubectl`` shows them."""
    assert humanduration.render(seconds) == text


def test_columns_without_a_description_tell_their_path() -> None:
    """The definitions say type, format, description and priority."""
    columns = table.Columns.from_crd(
        {
            "additionalPrinterColumns": [
                {"name": "A", "type": "integer", "jsonPath": ".a", "priority": 1},
                {"name": "B", "type": "string", "jsonPath": ".b", "description": "The b."},
            ]
        }
    )
    definitions = table.render(columns, [], now=0)["columnDefinitions"]
    assert definitions[1:] == [
        {
            "name": "A",
            "type": "integer",
            "format": "",
            "description": "Custom resource definition column (in JSONPath format): .a",
            "priority": 1,
        },
        {"name": "B", "type": "string", "format": "", "description": "The b.", "priority": 0},
    ]


def test_a_resource_without_columns_has_name_and_age() -> None:
    """Nobody need declare columns."""
    obj = {"metadata": {"name": "x", "creationTimestamp": "2026-11-22T20:37:40Z"}}
    shown = table.render(table.Columns.from_crd({}), [obj], now=_NOW)
    assert [each["name"] for each in shown["columnDefinitions"]] == ["Name", "Age"]
    assert shown["rows"][0]["cells"] == ["x", "1s"]


@pytest.mark.parametrize(
    ("include", "wanted"),
    [
        ("Object", _OBJECT),
        ("None", None),
        (
            "Metadata",
            {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": _OBJECT["metadata"],
            },
        ),
    ],
)
def test_rows_carry_as_much_of_the_object_as_asked(include: str, wanted: object) -> None:
    """``includeObject`` decides what stands beside the cells."""
    columns = table.Columns.default()
    (row,) = table.render(columns, [_OBJECT], now=0, include_object=include)["rows"]
    assert row["object"] == wanted


def test_later_tables_of_a_watch_have_no_columns() -> None:
    """Columns come once."""
    shown = table.render(table.Columns.default(), [], now=0, has_headers=False)
    assert shown["columnDefinitions"] is None


def _cells(group: str, kind: str, obj: dict[str, Any]) -> list[Any]:
    builtin = builtins.find(group, kind)
    assert builtin is not None
    columns = builtin.resource.versions[0].columns
    cells: list[Any] = table.render(columns, [obj], now=_NOW)["rows"][0]["cells"]
    return cells


_META = {"name": "x", "creationTimestamp": "2026-11-22T20:37:31Z"}


@pytest.mark.parametrize(
    ("group", "kind", "members", "cells"),
    [
        ("", "Namespace", {"status": {"phase": "Active"}}, ["x", "Active", "10s"]),
        ("", "Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["x", "Opaque", 2, "10s"]),
        ("", "ConfigMap", {"data": {"a": ""}, "binaryData": {"b": ""}}, ["x", 2, "10s"]),
        ("", "ServiceAccount", {"secrets": [{"name": "a"}]}, ["x", 1, "10s"]),
        ("coordination.k8s.io", "Lease", {"spec": {"holderIdentity": "me"}}, ["x", "me", "10s"]),
        ("coordination.k8s.io", "Lease", {"spec": {}}, ["x", "", "10s"]),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            {},
            ["x", "2026-11-22T20:37:31Z"],
        ),
    ],
)
def test_builtin_kinds_print_their_columns(
    group: str, kind: str, members: dict[str, Any], cells: list[Any]
) -> None:
    """The cells of built-in kinds."""
    assert _cells(group, kind, {"metadata": _META, **members}) == cells


def test_events_print_the_same_from_both_groups() -> None:
    """An event is one object, whichever group it is read from."""
    core = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Widget", "name": "w1"},
        "source": {"component": "painter", "host": "here"},
        "message": " red ",
        "reason": "Painted",
        "type": "Normal",
        "count": 3,
        "firstTimestamp": "2026-11-22T20:27:41Z",
        "lastTimestamp": "2026-11-22T20:37:31Z",
    }
    renamed = {
        "metadata": {"name": "e"},
        "regarding": core["involvedObject"],
        "deprecatedSource": core["source"],
        "note": core["message"],
        "reason": "Painted",
        "type": "Normal",
        "deprecatedCount": 3,
        "deprecatedFirstTimestamp": core["firstTimestamp"],
        "deprecatedLastTimestamp": core["lastTimestamp"],
    }
    source = "painter, here"
    wanted = ["10s", "Normal", "Painted", "widget/w1", "", source, "red", "10m", 3, "e"]
    assert _cells("", "Event", core) == wanted
    assert _cells("events.k8s.io", "Event", renamed) == wanted


def test_a_series_of_events_tells_its_last_time_and_count() -> None:
    """A series stands in for count and last time; the reporter for the source."""
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-11-22T20:27:41.000000Z",
        "series": {"count": 7, "lastObservedTime": "2026-11-22T20:37:36.000000Z"},
        "reportingComponent": "example.com/mover",
        "reportingInstance": "m1",
    }
    cells = _cells("", "Event", event)
    assert cells[0] == "5s"
    assert cells[5] == "example.com/mover, m1"
    assert cells[7:9] == ["10m", 7]


@pytest.mark.parametrize(
    "text",
    [".a[", ".a[x]", ".a[?(b)]", ".a[?(@.b==)]", ".a[::0]", ".a[-:1]", f".a[{9**99}]", "a b"],
)
def test_paths_nobody_can_follow_are_refused(text: str) -> None:
    """Wrong paths raise, and a column made of one stays empty."""
    with pytest.raises(errors.InvalidInputError):
        jsonpath.parse(text)
    column = {"name": "C", "type": "string", "jsonPath": text}
    columns = table.Columns.from_crd({"additionalPrinterColumns": [column]})
    assert table.render(columns, [_OBJECT], now=0)["rows"][0]["cells"] == ["c0", None]


@hypothesis.given(st.text(alphabet=".[]@?()='\"*:,\\ab01-<>!", max_size=30))
def test_any_path_is_parsed_or_refused(text: str) -> None:
    """No path makes the parser fail otherwise, or the search."""
    try:
        path = jsonpath.parse(text)
    except errors.InvalidInputError:
        return
    path.find({"a": [{"a": 1, "b": "x"}, 2], "b": {"a": None}, "01": 1})
