"""The types of CustomResourceDefinition, as OpenAPI definitions; see ``builtintypes``."""

from collections.abc import Mapping
from typing import Any

from ocisource.apiserver.builtin import builtintypes as types

_NAME = types.EXTENSIONS
_SCHEMA = f"{_NAME}.JSONSchemaProps"
_ALWAYS: Mapping[str, Any] = {"x-go-always": ""}
_POINTER: Mapping[str, Any] = {"x-go-pointer": True}
_JSON: types.Schema = {"x-go-pointer": True}


def _schemas(description: str) -> types.Schema:
    return types.several(types.ref(_SCHEMA), description)


def _named_schemas(description: str) -> types.Schema:
    return types.mapping(types.ref(_SCHEMA), description)


def _count(description: str) -> types.Schema:
    return types.integer(description, bits=64, is_pointer=True)


def _plain_flag(description: str) -> types.Schema:
    return types.flag(description, is_pointer=False)


_SCHEMA_PROPERTIES: Mapping[str, types.Schema] = {
    "$ref": types.text("Not allowed in a definition.", **_POINTER),
    "$schema": types.text(),
    "additionalItems": types.ref(_SCHEMA, **{"x-go-or": "boolean"}),
    "additionalProperties": types.ref(
        _SCHEMA, "The schema of members that are not named, or a boolean.", **{"x-go-or": "boolean"}
    ),
    "allOf": _schemas("Schemas that must all hold."),
    "anyOf": _schemas("Schemas of which one must hold."),
    "default": {**_JSON, "description": "What stands there when nothing was written."},
    "definitions": _named_schemas("Not allowed in a definition."),
    "dependencies": {"type": "object", "additionalProperties": {}},
    "description": types.text("For people."),
    "enum": types.several({}, "The values allowed."),
    "example": _JSON,
    "exclusiveMaximum": _plain_flag("Whether maximum itself is excluded."),
    "exclusiveMinimum": _plain_flag("Whether minimum itself is excluded."),
    "externalDocs": types.ref(f"{_NAME}.ExternalDocumentation"),
    "format": types.text("The format of a string or number."),
    "id": types.text(),
    "items": types.ref(_SCHEMA, "The schema of a list's items.", **{"x-go-or": "array"}),
    "maxItems": _count("The most items."),
    "maxLength": _count("The most characters."),
    "maxProperties": _count("The most members."),
    "maximum": types.float64("The largest number."),
    "minItems": _count("The fewest items."),
    "minLength": _count("The fewest characters."),
    "minProperties": _count("The fewest members."),
    "minimum": types.float64("The smallest number."),
    "multipleOf": types.float64("What the number must be a multiple of."),
    "not": types.ref(_SCHEMA, "A schema that must not hold."),
    "nullable": _plain_flag("Whether null is allowed."),
    "oneOf": _schemas("Schemas of which exactly one must hold."),
    "pattern": types.text("The regular expression a string must match."),
    "patternProperties": _named_schemas("Not allowed in a definition."),
    "properties": _named_schemas("The members by name."),
    "required": types.several(types.STRING, "The members that must be there."),
    "title": types.text("For people."),
    "type": types.text("object, array, string, integer, number or boolean."),
    "uniqueItems": _plain_flag("Must not be true."),
    "x-kubernetes-embedded-resource": _plain_flag("Whether the value is an object of the API."),
    "x-kubernetes-int-or-string": _plain_flag("Whether the value is an integer or a string."),
    "x-kubernetes-list-map-keys": types.several(
        types.STRING, "The members that tell the items of a list of type map apart."
    ),
    "x-kubernetes-list-type": types.text("atomic, set or map: how lists are merged.", **_POINTER),
    "x-kubernetes-map-type": types.text("granular or atomic: how objects are merged.", **_POINTER),
    "x-kubernetes-preserve-unknown-fields": types.flag("Whether unknown members are kept."),
    "x-kubernetes-validations": types.several(
        types.ref(f"{_NAME}.ValidationRule"), "Rules in CEL; kept, and not evaluated."
    ),
}

_NAMES = types.struct(
    "CustomResourceDefinitionNames",
    "The names a resource is known by.",
    {
        "categories": types.several(types.STRING, "Groups of resources it belongs to."),
        "kind": types.text("The kind, in CamelCase.", **_ALWAYS),
        "listKind": types.text("The kind of a list of them."),
        "plural": types.text("The resource's name in addresses.", **_ALWAYS),
        "shortNames": types.several(types.STRING, "Short names."),
        "singular": types.text("The name for one of them."),
    },
    required=("plural", "kind"),
)

DEFINITIONS: Mapping[str, types.Schema] = {
    _SCHEMA: types.struct("JSONSchemaProps", "A JSON schema.", _SCHEMA_PROPERTIES),
    f"{_NAME}.ExternalDocumentation": types.struct(
        "ExternalDocumentation",
        "Where more is written.",
        {"description": types.text(), "url": types.text()},
    ),
    f"{_NAME}.ValidationRule": types.struct(
        "ValidationRule",
        "A rule in CEL.",
        {
            "fieldPath": types.text(),
            "message": types.text(),
            "messageExpression": types.text(),
            "optionalOldSelf": types.flag(),
            "reason": types.text(**_POINTER),
            "rule": types.text(**_ALWAYS),
        },
        required=("rule",),
    ),
    f"{_NAME}.CustomResourceDefinitionNames": _NAMES,
    f"{_NAME}.ServiceReference": types.struct(
        "ServiceReference",
        "A service of the cluster.",
        {
            "name": types.text(**_ALWAYS),
            "namespace": types.text(**_ALWAYS),
            "path": types.text(**_POINTER),
            "port": types.integer(is_pointer=True),
        },
        required=("namespace", "name"),
    ),
    f"{_NAME}.WebhookClientConfig": types.struct(
        "WebhookClientConfig",
        "How to reach a webhook.",
        {
            "caBundle": types.BYTES,
            "service": types.ref(f"{_NAME}.ServiceReference"),
            "url": types.text(**_POINTER),
        },
    ),
    f"{_NAME}.WebhookConversion": types.struct(
        "WebhookConversion",
        "A webhook that converts between versions.",
        {
            "clientConfig": types.ref(f"{_NAME}.WebhookClientConfig"),
            "conversionReviewVersions": types.several(types.STRING) | {"x-go-always": None},
        },
        required=("conversionReviewVersions",),
    ),
    f"{_NAME}.CustomResourceConversion": types.struct(
        "CustomResourceConversion",
        "How objects of one version become objects of another.",
        {
            "strategy": types.text("None: only apiVersion is changed.", **_ALWAYS),
            "webhook": types.ref(f"{_NAME}.WebhookConversion"),
        },
        required=("strategy",),
    ),
    f"{_NAME}.CustomResourceColumnDefinition": types.struct(
        "CustomResourceColumnDefinition",
        "A column of the resource's table.",
        {
            "description": types.text("For people."),
            "format": types.text("The format of the cells."),
            "jsonPath": types.text("Where the value stands.", **_ALWAYS),
            "name": types.text("The heading.", **_ALWAYS),
            "priority": types.integer("Above 0: shown with -o wide alone."),
            "type": types.text("integer, number, string, boolean or date.", **_ALWAYS),
        },
        required=("name", "type", "jsonPath"),
    ),
    f"{_NAME}.CustomResourceSubresourceScale": types.struct(
        "CustomResourceSubresourceScale",
        "Where the scale subresource finds its numbers.",
        {
            "labelSelectorPath": types.text(**_POINTER),
            "specReplicasPath": types.text(**_ALWAYS),
            "statusReplicasPath": types.text(**_ALWAYS),
        },
        required=("specReplicasPath", "statusReplicasPath"),
    ),
    f"{_NAME}.CustomResourceSubresourceStatus": {
        "type": "object",
        "description": "The status subresource is there.",
    },
    f"{_NAME}.CustomResourceSubresources": types.struct(
        "CustomResourceSubresources",
        "The subresources of a resource.",
        {
            "scale": types.ref(f"{_NAME}.CustomResourceSubresourceScale"),
            "status": types.ref(f"{_NAME}.CustomResourceSubresourceStatus"),
        },
    ),
    f"{_NAME}.CustomResourceValidation": types.struct(
        "CustomResourceValidation",
        "The schema of a version.",
        {"openAPIV3Schema": types.ref(_SCHEMA, "The schema.")},
    ),
    f"{_NAME}.SelectableField": types.struct(
        "SelectableField",
        "A field that field selectors may name.",
        {"jsonPath": types.text(**_ALWAYS)},
        required=("jsonPath",),
    ),
    f"{_NAME}.CustomResourceDefinitionVersion": types.struct(
        "CustomResourceDefinitionVersion",
        "One version of a resource.",
        {
            "additionalPrinterColumns": types.several(
                types.ref(f"{_NAME}.CustomResourceColumnDefinition"), "Columns of its table."
            ),
            "deprecated": _plain_flag("Whether its use earns a warning."),
            "deprecationWarning": types.text("The warning.", **_POINTER),
            "name": types.text("The version: v1, v1beta2, ...", **_ALWAYS),
            "schema": types.ref(f"{_NAME}.CustomResourceValidation", "Its schema."),
            "selectableFields": types.several(
                types.ref(f"{_NAME}.SelectableField"), "Fields that selectors may name."
            ),
            "served": _plain_flag("Whether it is served.") | {"x-go-always": False},
            "storage": _plain_flag("Whether objects are stored in it.") | {"x-go-always": False},
            "subresources": types.ref(f"{_NAME}.CustomResourceSubresources", "Its subresources."),
        },
        required=("name", "served", "storage"),
    ),
    f"{_NAME}.CustomResourceDefinitionSpec": types.struct(
        "CustomResourceDefinitionSpec",
        "A resource: its group, names, scope and versions.",
        {
            "conversion": types.ref(f"{_NAME}.CustomResourceConversion", "Between versions."),
            "group": types.text("The group.", **_ALWAYS),
            "names": types.value(f"{_NAME}.CustomResourceDefinitionNames", "The names."),
            "preserveUnknownFields": _plain_flag("Must be false."),
            "scope": types.text("Cluster or Namespaced.", **_ALWAYS),
            "versions": types.several(
                types.ref(f"{_NAME}.CustomResourceDefinitionVersion"), "The versions."
            )
            | {"x-go-always": None},
        },
        required=("group", "names", "scope", "versions"),
    ),
    f"{_NAME}.CustomResourceDefinitionCondition": types.struct(
        "CustomResourceDefinitionCondition",
        "One aspect of a definition's state.",
        {
            "lastTransitionTime": types.time("When the status last changed.", is_always=True),
            "message": types.text("For people."),
            "reason": types.text("For programs."),
            "status": types.text("True, False or Unknown.", **_ALWAYS),
            "type": types.text("Established, NamesAccepted, ...", **_ALWAYS),
        },
        required=("type", "status"),
    ),
    f"{_NAME}.CustomResourceDefinitionStatus": types.struct(
        "CustomResourceDefinitionStatus",
        "How a definition is.",
        {
            "acceptedNames": types.value(
                f"{_NAME}.CustomResourceDefinitionNames", "The names in use."
            ),
            "conditions": types.several(
                types.ref(f"{_NAME}.CustomResourceDefinitionCondition"), "Its conditions."
            )
            | {"x-go-always": None},
            "storedVersions": types.several(
                types.STRING, "Versions that objects were ever stored in."
            )
            | {"x-go-always": None},
        },
    ),
    f"{_NAME}.CustomResourceDefinition": types.kind(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "A resource the API serves because somebody declared it.",
        {
            "spec": types.value(f"{_NAME}.CustomResourceDefinitionSpec", "What is declared."),
            "status": types.value(f"{_NAME}.CustomResourceDefinitionStatus", "How it is."),
        },
        required=("spec",),
    ),
}
