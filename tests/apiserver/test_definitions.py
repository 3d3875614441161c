"""CustomResourceDefinitions: what is filled in and what is refused (kube-apiserver v1.20.2)."""

import copy
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.schemas import structuralrules
from tests.apiserver import conftest

Object = dict[str, Any]
_KIND = builtins.find("apiextensions.k8s.io", "CustomResourceDefinition")
assert _KIND is not None
_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def _definition() -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "bads.ex.io"},
        "spec": {
            "group": "ex.io",
            "scope": "Namespaced",
            "names": {"plural": "bads", "kind": "Bad"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }


def _read(given: Object) -> Object:
    assert _KIND is not None
    obj, unknown = _KIND.decode(given)
    assert unknown == []
    _KIND.prepare(obj, None)
    return obj


def _errors(given: Object) -> list[str]:
    assert _KIND is not None
    return [str(each) for each in _KIND.check(_read(given), None)]


def test_names_conversion_and_status_are_filled_in() -> None:
    """What a definition need not say."""
    obj = _read(_definition())
    assert obj["spec"]["names"] == {
        "plural": "bads",
        "singular": "bad",
        "kind": "Bad",
        "listKind": "BadList",
    }
    assert obj["spec"]["conversion"] == {"strategy": "None"}
    assert obj["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    assert _errors(_definition()) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"plural": ""}, ["metadata.name", "spec.names.plural: Required value"]),
        ({"kind": ""}, ["spec.names.singular", "spec.names.kind", "spec.names.listKind"]),
        (
            {"singular": "X y"},
            [f'spec.names.singular: Invalid value: "X y": {_LABEL}'],
        ),
        (
            {"listKind": "x_"},
            [
                (
                    'spec.names.listKind: Invalid value: "x_": may have mixed case, but should '
                    f"otherwise match: {_LABEL}"
                )
            ],
        ),
        (
            {"listKind": "Bad"},
            ['spec.names.listKind: Invalid value: "Bad": kind and listKind may not be the same'],
        ),
        ({"shortNames": ["A b"]}, [f'spec.names.shortNames[0]: Invalid value: "A b": {_LABEL}']),
        ({"categories": ["A b"]}, [f'spec.names.categories[0]: Invalid value: "A b": {_LABEL}']),
    ],
)
def test_names_are_checked(names: Object, found: list[str]) -> None:
    """Names are labels, kinds may have capitals."""
    given = _definition()
    given["spec"]["names"] |= names
    told = _errors(given)
    assert len(told) == len(found)
    assert all(error.startswith(start) for error, start in zip(told, found, strict=True))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"group": "ex"},
            'spec.group: Invalid value: "ex": should be a domain with at least one dot',
        ),
        ({"group": ""}, "spec.group: Required value"),
        ({"scope": ""}, "spec.scope: Required value"),
        (
            {"scope": "foo"},
            'spec.scope: Unsupported value: "foo": supported values: "Cluster", "Namespaced"',
        ),
        (
            {"conversion": {"strategy": "foo"}},
            (
                'spec.conversion.strategy: Unsupported value: "foo": supported values: "None", '
                '"Webhook"'
            ),
        ),
        (
            {"conversion": {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}},
            (
                "spec.conversion.conversionReviewVersions: Forbidden: should not be set when "
                "strategy is not set to Webhook"
            ),
        ),
        (
            {"conversion": {"strategy": "Webhook"}},
            (
                "spec.conversion.strategy: Forbidden: conversion by a webhook is not available in "
                "this server"
            ),
        ),
        (
            {"preserveUnknownFields": True},
            (
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
                "x-preserve-unknown-fields to true in spec.versions[*].schema instead"
            ),
        ),
        (
            {"versions": None},
            (
                "spec.versions: Invalid value: []apiextensions.CustomResourceDefinitionVersion(nil)"
                ": must have exactly one version marked as storage version"
            ),
        ),
    ],
)
def test_the_rest_of_the_spec_is_checked(spec: Object, found: str) -> None:
    """Group, scope, versions and conversion."""
    given = _definition()
    given["spec"] |= spec
    assert found in _errors(given)


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ({"name": "V1"}, f'spec.versions[0].name: Invalid value: "V1": {_LABEL}'),
        (
            {"schema": None},
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            {"deprecationWarning": "x"},
            (
                'spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for '
                "deprecated versions"
            ),
        ),
        (
            {"deprecated": True, "deprecationWarning": ""},
            ('spec.versions[0].deprecationWarning: Invalid value: "": must not be an empty string'),
        ),
        (
            {"deprecated": True, "deprecationWarning": "a\nb"},
            (
                'spec.versions[0].deprecationWarning: Invalid value: "a\\nb": must only contain '
                "printable UTF-8 characters; non-printable character found at index 1"
            ),
        ),
        (
            {"additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": "x"}]},
            (
                'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple '
                "json path starting with ."
            ),
        ),
        (
            {"additionalPrinterColumns": [{"name": "a", "type": "foo", "jsonPath": ".x"}]},
            (
                'spec.additionalPrinterColumns[0].type: Invalid value: "foo": must be one of '
                "boolean,date,integer,number,string"
            ),
        ),
        (
            {"subresources": {"scale": {"statusReplicasPath": ".foo"}}},
            "spec.subresources.scale.specReplicasPath: Required value",
        ),
    ],
)
def test_versions_are_checked(version: Object, found: str) -> None:
    """Names, warnings, columns and subresources of a version."""
    given = _definition()
    given["spec"]["versions"][0] |= version
    assert found in _errors(given)


def test_what_versions_do_not_share_is_told_at_the_version() -> None:
    """With two different schemas each is reported at its own place."""
    given = _definition()
    other = copy.deepcopy(given["spec"]["versions"][0])
    other |= {"name": "v2", "storage": False, "schema": {"openAPIV3Schema": {"type": "string"}}}
    given["spec"]["versions"].append(other)
    assert _errors(given) == [
        (
            'spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "string": must be object '
            "at the root"
        )
    ]


def test_versions_are_told_apart_and_one_is_stored() -> None:
    """Names are unique, and exactly one version is the storage version."""
    given = _definition()
    given["spec"]["versions"] *= 2
    texts = [error.rpartition(": ")[2] for error in _errors(given)]
    assert texts == [
        "must contain unique version names",
        "must have exactly one version marked as storage version",
    ]


def test_an_established_definition_keeps_its_kind() -> None:
    """Group and plural never change; scope and kind not once objects may exist."""
    assert _KIND is not None
    old = _read(_definition())
    changed = _definition()
    changed["spec"]["scope"] = "Cluster"
    changed["spec"]["names"]["kind"] = "Worse"
    new = _read(changed)
    assert _KIND.own_check(new, old) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    assert [str(each) for each in _KIND.own_check(new, old)] == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Worse": field is immutable',
    ]


_AT_A = ".properties[a]"


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({}, [".type: Required value: must not be empty at the root"]),
        ({"type": "string"}, ['.type: Invalid value: "string": must be object at the root']),
        (
            {"type": "object", "nullable": True},
            [".nullable: Forbidden: nullable cannot be true at the root"],
        ),
        (
            {"type": "object", "additionalProperties": True},
            [".additionalProperties: Forbidden: must not be used at the root"],
        ),
        ({"type": "object", "$ref": "#/x"}, [".$ref: Forbidden: $ref is not supported"]),
        ({"type": "object", "id": "x"}, [".id: Forbidden: id is not supported"]),
        (
            {"type": "object", "anyOf": [{"type": "object"}]},
            [".anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            {"type": "object", "default": {}},
            [
                ".default.apiVersion: Required value: must not be empty",
                ".default.kind: Required value: must not be empty",
            ],
        ),
        ({"x-kubernetes-preserve-unknown-fields": True}, []),
    ],
)
def test_roots_of_schemas_are_checked(schema: Object, found: list[str]) -> None:
    """What may not stand at the root."""
    told = structuralrules.check(schema, "s")
    assert [str(error) for error in told] == [f"s{text}" for text in found]


_STRING = {"type": "string"}
_BASE = [
    ({}, [".type: Required value: must not be empty for specified object fields"]),
    ({"type": "array"}, [".items: Required value: must be specified"]),
    (
        {"type": "array", "items": {}},
        [".items.type: Required value: must not be empty for specified array items"],
    ),
    (
        {"type": "array", "items": [_STRING]},
        [".items: Forbidden: items must be a schema object and not an array"],
    ),
    (
        {"type": "foo"},
        [
            (
                '.type: Unsupported value: "foo": supported values: "array", "boolean", "integer", '
                '"number", "object", "string"'
            )
        ],
    ),
    (
        {"type": "string", "pattern": "("},
        [
            (
                '.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
                "error parsing regexp: missing closing ): `(`"
            )
        ],
    ),
    (
        {"type": "object", "properties": {"b": _STRING}, "additionalProperties": _STRING},
        [
            (
                ".additionalProperties: Forbidden: additionalProperties and properties are mutual "
                "exclusive"
            )
        ],
    ),
    (
        {"type": "array", "items": _STRING, "uniqueItems": True},
        [
            (
                ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
                "complexity becomes quadratic"
            )
        ],
    ),
    (
        {"type": "string", "default": 1},
        ['.default: Invalid value: "integer":  in body must be of type string: "integer"'],
    ),
    (
        {"type": "string", "minLength": 2, "default": "a"},
        ['.default: Invalid value: "a":  in body should be at least 2 chars long'],
    ),
    (
        {"type": "object", "default": {"x": 1}},
        ['.default: Invalid value: map[string]interface {}{"x":1}: must not have unknown fields'],
    ),
    ({"x-kubernetes-int-or-string": True}, []),
    (
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, _STRING]},
        [],
    ),
    ({"x-kubernetes-preserve-unknown-fields": True}, []),
    (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
        [".x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
    ),
    (
        {"type": "array", "items": _STRING, "x-kubernetes-list-type": "foo"},
        [
            (
                '.x-kubernetes-list-type: Unsupported value: "foo": supported values: "atomic", '
                '"set", "map"'
            )
        ],
    ),
    (
        {"type": "object", "x-kubernetes-list-type": "atomic"},
        ['.type: Invalid value: "object": must be array if x-kubernetes-list-type is specified'],
    ),
    (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
        [
            (
                '.items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a '
                "list with x-kubernetes-list-type=set"
            )
        ],
    ),
    (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
        [
            (
                ".x-kubernetes-list-map-keys: Required value: must not be empty if "
                "x-kubernetes-list-type is map"
            )
        ],
    ),
    (
        {"type": "array", "items": _STRING, "x-kubernetes-list-map-keys": ["k"]},
        [
            (
                ".x-kubernetes-list-type: Required value: must be map if "
                "x-kubernetes-list-map-keys is non-empty"
            )
        ],
    ),
    (
        {"type": "object", "x-kubernetes-map-type": "foo"},
        [
            (
                '.x-kubernetes-map-type: Unsupported value: "foo": supported values: "atomic", '
                '"granular"'
            )
        ],
    ),
    (
        {"type": "object", "oneOf": [{"properties": {"b": _STRING}}]},
        [".oneOf[0].properties[b].type: Forbidden: must be empty to be structural"],
    ),
    (
        {"type": "object", "x-kubernetes-embedded-resource": True},
        [
            (
                ".properties: Required value: must not be empty if x-kubernetes-embedded-resource "
                "is true without x-kubernetes-preserve-unknown-fields"
            )
        ],
    ),
]


@pytest.mark.parametrize(("schema", "found"), _BASE)
def test_schemas_are_structural(schema: Object, found: list[str]) -> None:
    """What may not stand below the root."""
    whole = {"type": "object", "properties": {"a": schema}}
    told = structuralrules.check(whole, "s")
    assert [str(error) for error in told] == [f"s{_AT_A}{text}" for text in found]


def test_keys_of_maps_among_lists_are_checked() -> None:
    """Keys are scalars, there or defaulted, named once, and members of the items."""
    items = {"type": "object", "required": ["k"], "properties": {"k": {"type": "object"}}}
    schema = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k", "k", "z"],
        "items": items,
    }
    told = structuralrules.check({"type": "object", "properties": {"a": schema}}, "s")
    assert [error.message for error in told] == [
        (
            'Invalid value: "object": must be a scalar type if parent array\'s x-kubernetes-list-'
            "type is map"
        ),
        'Invalid value: []string{"k", "k", "z"}: must not contain duplicate entries',
        'Invalid value: []string{"k", "k", "z"}: entries must all be names of item properties',
    ]


def test_restrictions_name_what_is_specified() -> None:
    """What an alternative speaks of must exist."""
    schema = {"type": "object", "anyOf": [{"properties": {"b": {"minLength": 1}}}]}
    (error,) = structuralrules.check(schema, "s")
    assert str(error) == (
        "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"
    )


def test_metadata_may_restrict_names_alone() -> None:
    """Everything else about metadata is implied."""
    name = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}
    schema = {"type": "object", "properties": {"metadata": name}}
    assert structuralrules.check(schema, "s") == []
    name["properties"] = {"labels": {"type": "object"}}
    assert [error.field for error in structuralrules.check(schema, "s")] == [
        "s.properties[metadata]"
    ]


def test_endless_schemas_are_refused() -> None:
    """No honest schema is a hundred levels deep."""
    schema: Object = {"type": "object"}
    for _ in range(200):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "must not be deeper than 100 levels" in str(structuralrules.check(schema, "s")[0])


_KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "anyOf",
        "not",
        "default",
        "enum",
        "pattern",
        "nullable",
        "required",
        "additionalProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-int-or-string",
        "x-kubernetes-embedded-resource",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "array", "map", "("]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYWORDS, inner, max_size=3),
    max_leaves=12,
)


@hypothesis.given(st.dictionaries(_KEYWORDS, _VALUES, max_size=4))
def test_any_definition_is_read_or_refused(schema: Object) -> None:
    """Whatever stands in a schema, the server says what is wrong, or takes it."""
    assert _KIND is not None
    given = _definition()
    given["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": schema}
    try:
        obj, _ = _KIND.decode(given)
    except errors.InvalidInputError:
        return
    _KIND.prepare(obj, None)
    for error in _KIND.check(obj, None):
        assert str(error)


def _demanding() -> Object:
    """A definition that asks for what the embedded server does not do."""
    crd = conftest.widget_definition()
    crd["metadata"]["name"] = "bads.ex.io"
    crd["spec"] |= {"group": "ex.io", "names": {"plural": "bads", "kind": "Bad"}}
    rule = [{"rule": "self.size > 1"}]
    served, stored = map(copy.deepcopy, crd["spec"]["versions"])
    spec = stored["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = rule
    spec["properties"]["size"]["x-kubernetes-validations"] = rule
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    served["subresources"]["scale"] = scale
    crd["spec"]["versions"] = [served, stored]
    return crd


async def test_what_is_kept_without_being_done_is_told(api: conftest.Api) -> None:
    """Rules in CEL and scales: a warning whenever the definition is written."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    rules = "spec.versions[1].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations"
    told = [
        "spec.versions[0].subresources.scale: the scale subresource is not served here",
        f"{rules} and 1 more: rules in CEL are kept but not evaluated here",
    ]
    made = await api.send("POST", path, _demanding())
    labelled = await api.patch(path + "/bads.ex.io", {"metadata": {"labels": {"a": "b"}}})
    assert (made.status, labelled.status) == (201, 200), (made.body, labelled.body)
    for answer in (made, labelled):
        warnings = getattr(answer.headers, "getall")("Warning")  # noqa: B009 - a multi-mapping's
        assert len(warnings) == len(told)
        pairs = zip(warnings, told, strict=True)
        assert all(warning.startswith(f'299 - "{text}') for warning, text in pairs), warnings
    spec = labelled.doc["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["x-kubernetes-validations"] == [{"rule": "self.size > 1"}]
    plain = await api.patch(path + "/widgets.example.com", {"metadata": {"labels": {"a": "b"}}})
    assert "Warning" not in plain.headers
