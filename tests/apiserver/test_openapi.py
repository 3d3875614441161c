"""OpenAPI documents: what kubectl reads out of them."""

import json
from typing import Any

import pytest

from ocisource.apiserver import crds, resources
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.catalog import openapi, openapiproto
from ocisource.manifests import load

Object = dict[str, Any]
_ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}
_BUILTIN = tuple(each.resource for each in builtins.BUILTINS)


def _custom() -> resources.Resource:
    crd = load.crd()
    status = _ESTABLISHED | {"acceptedNames": crd["spec"]["names"]}
    resource = crds.resource_of({**crd, "status": status})
    assert resource is not None
    return resource


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def _groups() -> list[tuple[str, str]]:
    return sorted(
        {(each.group, version.name) for each in _BUILTIN for version in each.versions}
        | {("source.toolkit.fluxcd.io", name) for name in ("v1", "v1beta2")}
    )


@pytest.mark.parametrize(("group", "version"), _groups())
def test_group_documents_stand_by_themselves(group: str, version: str) -> None:
    """Every reference leads somewhere, and nothing of our own marks leaks."""
    document = openapi.v3_group((*_BUILTIN, _custom()), group, version)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert document["paths"]
    assert _references(document) <= known
    assert "x-go-" not in json.dumps(document)


def test_the_v2_document_stands_by_itself() -> None:
    """Every reference leads somewhere, and nothing of our own marks leaks."""
    document = openapi.v2((*_BUILTIN, _custom()))
    known = {f"#/definitions/{name}" for name in document["definitions"]}
    assert _references(document) <= known
    assert "x-go-" not in json.dumps(document)


def _patches(document: Object, kind: str) -> list[Object]:
    return [
        item["patch"]
        for item in document["paths"].values()
        if item.get("patch", {}).get("x-kubernetes-group-version-kind", {}).get("kind") == kind
    ]


@pytest.mark.parametrize(
    ("group", "version", "kind", "is_strategic"),
    [("", "v1", "Secret", True), ("source.toolkit.fluxcd.io", "v1", "OCIRepository", False)],
)
def test_patch_says_what_it_takes(group: str, version: str, kind: str, is_strategic: bool) -> None:
    """The server validates fields, and only built-in kinds are patched strategically."""
    document = openapi.v3_group((*_BUILTIN, _custom()), group, version)
    patches = _patches(document, kind)
    assert patches
    for patch in patches:
        assert "fieldValidation" in {each["name"] for each in patch["parameters"]}
        content = patch["requestBody"]["content"]
        assert ("application/strategic-merge-patch+json" in content) is is_strategic
        assert "application/apply-patch+yaml" in content


def test_custom_kinds_are_named_by_their_group_backwards() -> None:
    """As apiextensions names them, with their kind marked."""
    document = openapi.v3_group([_custom()], "source.toolkit.fluxcd.io", "v1")
    schemas = document["components"]["schemas"]
    shown = schemas["io.fluxcd.toolkit.source.v1.OCIRepository"]
    mark = {"group": "source.toolkit.fluxcd.io", "kind": "OCIRepository", "version": "v1"}
    assert shown["x-kubernetes-group-version-kind"] == [mark]
    (reference,) = shown["properties"]["metadata"]["allOf"]
    assert reference["$ref"].endswith("meta.v1.ObjectMeta")
    assert "io.fluxcd.toolkit.source.v1.OCIRepositoryList" in schemas


def test_the_index_names_documents_with_their_hash() -> None:
    """Another document has another address."""
    one = openapi.v3_index({"api/v1": {"a": 1}})["paths"]["api/v1"]["serverRelativeURL"]
    other = openapi.v3_index({"api/v1": {"a": 2}})["paths"]["api/v1"]["serverRelativeURL"]
    assert one.startswith("/openapi/v3/api/v1?hash=")
    assert one != other


def test_merge_keys_are_told() -> None:
    """Clients compute strategic patches with them."""
    document = openapi.v2(_BUILTIN)
    account = document["definitions"]["io.k8s.api.core.v1.ServiceAccount"]["properties"]
    assert account["secrets"]["x-kubernetes-patch-merge-key"] == "name"
    assert account["secrets"]["x-kubernetes-patch-strategy"] == "merge"


def test_what_v2_cannot_say_is_left_open() -> None:
    """Nullable and preserved values have no type there, and alternatives go."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "anyOf": [{"required": ["n"]}],
                        "properties": {
                            "n": {"type": "string", "nullable": True, "description": "N."},
                            "e": {"x-kubernetes-int-or-string": True, "anyOf": []},
                            "p": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                            "d": {"type": "integer", "default": 3},
                        },
                    }
                },
            }
        },
    }
    names = {"plural": "xs", "kind": "X", "singular": "x", "listKind": "XList"}
    spec = {"group": "ex.io", "scope": "Cluster", "names": names, "versions": [version]}
    resource = crds.resource_of({"spec": spec, "status": _ESTABLISHED | {"acceptedNames": names}})
    assert resource is not None
    shown = openapi.v2([resource])["definitions"]["io.ex.v1.X"]["properties"]["spec"]
    assert shown == {
        "type": "object",
        "properties": {
            "n": {"description": "N."},
            "e": {"x-kubernetes-int-or-string": True},
            "p": {"x-kubernetes-preserve-unknown-fields": True},
            "d": {"type": "integer"},
        },
    }


def _fields(data: bytes) -> list[tuple[int, int, Any]]:
    """The fields of a protobuf message: number, wire type, value."""
    found: list[tuple[int, int, Any]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            found.append((number, kind, varint()))
            continue
        size = 8 if kind == 1 else varint()
        assert kind in {1, 2}
        assert at + size <= len(data)
        found.append((number, kind, data[at : at + size]))
        at += size
    return found


def test_the_protobuf_form_holds_the_same() -> None:
    """Numbers of gnostic's OpenAPIv2.proto, read back by hand."""
    document = openapi.v2(_BUILTIN, server_version="v1")
    fields = _fields(openapiproto.encode(document))
    assert fields[0] == (1, 2, b"2.0")
    (definitions,) = [value for number, _, value in fields if number == 9]
    named = {
        {each[0]: each[2] for each in _fields(entry)}[1].decode(): entry
        for _, _, entry in _fields(definitions)
    }
    assert set(named) == set(document["definitions"])
    entry = {each[0]: each[2] for each in _fields(named["io.k8s.api.core.v1.ConfigMap"])}
    schema = _fields(entry[2])
    described = {number for number, _, _ in schema}
    assert {4, 22, 25, 31} <= described
    (extension,) = [value for number, _, value in schema if number == 31]
    name, value = (each[2] for each in _fields(extension))
    assert name == b"x-kubernetes-group-version-kind"
    (yaml_text,) = (each[2] for each in _fields(value))
    assert json.loads(yaml_text) == [{"group": "", "kind": "ConfigMap", "version": "v1"}]
