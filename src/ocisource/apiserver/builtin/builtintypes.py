"""How types are written down as OpenAPI definitions, and the types all kinds share.

Field names, types, required lists, patch strategies and merge keys are those of Kubernetes' own
definitions; the descriptions are this project's. Marks beginning with ``x-go-`` are for
``decoding`` and never leave the server.

Example::

    >>> sorted(DEFINITIONS[f"{META}.Preconditions"]["properties"])
    ['resourceVersion', 'uid']
"""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

CORE = "io.k8s.api.core.v1"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
EVENTS = "io.k8s.api.events.v1"
COORDINATION = "io.k8s.api.coordination.v1"
AUTHORIZATION = "io.k8s.api.authorization.v1"
AUTHENTICATION = "io.k8s.api.authentication.v1"
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

API_VERSION_DESCRIPTION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values. "
    "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/"
    "api-conventions.md#resources"
)
KIND_DESCRIPTION = (
    "Kind is a string value representing the REST resource this object represents. Servers may "
    "infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. "
    "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/"
    "api-conventions.md#types-kinds"
)
METADATA_DESCRIPTION = (
    "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/"
    "sig-architecture/api-conventions.md#metadata"
)


def text(description: str = "", **marks: Any) -> Schema:
    """A string."""
    return _described({"type": "string", **marks}, description)


def flag(description: str = "", *, is_pointer: bool = True) -> Schema:
    """A boolean; Kubernetes' optional ones are pointers."""
    marks = {"x-go-pointer": True} if is_pointer else {}
    return _described({"type": "boolean", **marks}, description)


def integer(description: str = "", *, bits: int = 32, is_pointer: bool = False) -> Schema:
    """An integer."""
    marks = {"x-go-pointer": True} if is_pointer else {}
    return _described({"type": "integer", "format": f"int{bits}", **marks}, description)


def float64(description: str = "") -> Schema:
    """A number; all of them are pointers."""
    return _described({"type": "number", "format": "double", "x-go-pointer": True}, description)


def ref(name: str, description: str = "", **marks: Any) -> Schema:
    """A member of another definition's type; Go holds it by pointer."""
    return _described({"$ref": f"#/definitions/{name}", "x-go-pointer": True, **marks}, description)


def value(name: str, description: str = "") -> Schema:
    """A member that Go holds by value, and so always writes."""
    return ref(name, description, **{"x-go-always": {}})


def several(items: Schema, description: str = "", **marks: Any) -> Schema:
    """A list; ``patch_key`` merges its objects by that key, ``patch=merge`` its scalars."""
    shown = {f"x-kubernetes-{name.replace('_', '-')}": value for name, value in marks.items()}
    return _described({"type": "array", "items": items, **shown}, description)


def mapping(values: Schema, description: str = "") -> Schema:
    """An object with free keys."""
    return _described({"type": "object", "additionalProperties": values}, description)


def time(description: str = "", *, is_always: bool = False) -> Schema:
    """A ``metav1.Time``."""
    return ref(f"{META}.Time", description, **({"x-go-always": None} if is_always else {}))


def micro_time(description: str = "", *, is_always: bool = False) -> Schema:
    """A ``metav1.MicroTime``."""
    return ref(f"{META}.MicroTime", description, **({"x-go-always": None} if is_always else {}))


def struct(
    name: str,
    description: str,
    properties: Mapping[str, Schema],
    *,
    required: Sequence[str] = (),
) -> Schema:
    """An object with fixed members; ``name`` is Go's."""
    shown: Schema = {"type": "object", "properties": dict(properties), "x-go-type": f"v1.{name}"}
    if required:
        shown["required"] = list(required)
    return _described(shown, description)


def kind(
    group: str,
    name: str,
    description: str,
    properties: Mapping[str, Schema],
    *,
    required: Sequence[str] = (),
) -> Schema:
    """A kind of the API, version v1: members of every object and its own."""
    every = {
        "apiVersion": text(API_VERSION_DESCRIPTION),
        "kind": text(KIND_DESCRIPTION),
        "metadata": value(f"{META}.ObjectMeta", METADATA_DESCRIPTION),
    }
    shown = struct(name, description, every | dict(properties), required=required)
    shown["x-kubernetes-group-version-kind"] = [{"group": group, "kind": name, "version": "v1"}]
    return shown


def _described(shown: Schema, description: str) -> Schema:
    return {"description": description, **shown} if description else shown


STRING = text()
BYTES: Schema = {"type": "string", "format": "byte"}

DEFINITIONS: Mapping[str, Schema] = {
    f"{META}.Time": {
        "type": "string",
        "format": "date-time",
        "description": "A time in RFC 3339 form, whole seconds, in UTC.",
        "x-go-type": "v1.Time",
    },
    f"{META}.MicroTime": {
        "type": "string",
        "format": "date-time",
        "description": "A time in RFC 3339 form with microseconds, in UTC.",
        "x-go-type": "v1.MicroTime",
        "x-go-format": "date-time-micro",
    },
    f"{META}.FieldsV1": {
        "type": "object",
        "description": "A set of fields: f:NAME a member, k:KEYS an item, v:VALUE a set's item.",
        "x-go-type": "v1.FieldsV1",
    },
    f"{META}.ManagedFieldsEntry": struct(
        "ManagedFieldsEntry",
        "Which fields one manager owns, at one version of the API.",
        {
            "apiVersion": text("The version the fields are named in."),
            "fieldsType": text("The form of fieldsV1; always FieldsV1."),
            "fieldsV1": ref(f"{META}.FieldsV1", "The fields."),
            "manager": text("Who owns them."),
            "operation": text("How they were written: Apply or Update."),
            "subresource": text("The subresource they were written through, or empty."),
            "time": time("When the manager last changed them."),
        },
    ),
    f"{META}.OwnerReference": struct(
        "OwnerReference",
        "An object whose deletion deletes this one.",
        {
            "apiVersion": text("The owner's API version.", **{"x-go-always": ""}),
            "blockOwnerDeletion": flag("Whether a foreground deletion waits for this object."),
            "controller": flag("Whether the owner is the managing controller."),
            "kind": text("The owner's kind.", **{"x-go-always": ""}),
            "name": text("The owner's name.", **{"x-go-always": ""}),
            "uid": text("The owner's uid.", **{"x-go-always": "", "x-go-type": "types.UID"}),
        },
        required=("apiVersion", "kind", "name", "uid"),
    ),
    f"{META}.ObjectMeta": struct(
        "ObjectMeta",
        "What every stored object has: its name, labels, versions and times.",
        {
            "annotations": mapping(STRING, "Free data beside the object; not selectable."),
            "clusterName": text("Not used any more."),
            "creationTimestamp": time("When the object was made.", is_always=True),
            "deletionGracePeriodSeconds": integer(
                "Seconds left to end gracefully.", bits=64, is_pointer=True
            ),
            "deletionTimestamp": time("When the deletion was asked for."),
            "finalizers": several(
                STRING, "Who must agree before the object is gone.", patch_strategy="merge"
            ),
            "generateName": text("The beginning of a name the server completes."),
            "generation": integer("Counts the changes of what is wanted.", bits=64),
            "labels": mapping(STRING, "What selectors select by."),
            "managedFields": several(
                ref(f"{META}.ManagedFieldsEntry"), "Which manager owns which fields."
            ),
            "name": text("The name, unique within namespace and resource."),
            "namespace": text("The namespace; empty for cluster-wide objects."),
            "ownerReferences": several(
                ref(f"{META}.OwnerReference"),
                "The objects this one belongs to.",
                patch_merge_key="uid",
                patch_strategy="merge",
            ),
            "resourceVersion": text("The version of the store at the last change; opaque."),
            "selfLink": text("Not used any more."),
            "uid": text("The object's own identity.", **{"x-go-type": "types.UID"}),
        },
    ),
    f"{META}.Condition": struct(
        "Condition",
        "One aspect of an object's state.",
        {
            "lastTransitionTime": time("When the status last changed.", is_always=True),
            "message": text("For people.", **{"x-go-always": ""}),
            "observedGeneration": integer("The generation this speaks of.", bits=64),
            "reason": text("For programs.", **{"x-go-always": ""}),
            "status": text("True, False or Unknown.", **{"x-go-always": ""}),
            "type": text("The aspect.", **{"x-go-always": ""}),
        },
        required=("type", "status", "lastTransitionTime", "reason", "message"),
    ),
    f"{META}.Preconditions": struct(
        "Preconditions",
        "What must hold of an object for it to be deleted.",
        {"resourceVersion": text("The version it must have."), "uid": text("Its uid.")},
    ),
    f"{META}.DeleteOptions": struct(
        "DeleteOptions",
        "How to delete.",
        {
            "apiVersion": text(API_VERSION_DESCRIPTION),
            "dryRun": several(STRING, "All: check everything, change nothing."),
            "gracePeriodSeconds": integer("Seconds to end in.", bits=64, is_pointer=True),
            "kind": text(KIND_DESCRIPTION),
            "orphanDependents": flag("Superseded by propagationPolicy."),
            "preconditions": ref(f"{META}.Preconditions", "What must hold before."),
            "propagationPolicy": text("Orphan, Background or Foreground."),
        },
    ),
    f"{META}.ListMeta": struct(
        "ListMeta",
        "What every list has.",
        {
            "continue": text("Where the next page begins; opaque."),
            "remainingItemCount": integer("How many items follow.", bits=64, is_pointer=True),
            "resourceVersion": text("The version of the store the list was read at."),
            "selfLink": text("Not used any more."),
        },
    ),
    f"{META}.StatusCause": struct(
        "StatusCause",
        "One of several reasons.",
        {
            "field": text("The field in question."),
            "message": text("For people."),
            "reason": text("For programs."),
        },
    ),
    f"{META}.StatusDetails": struct(
        "StatusDetails",
        "What a Status is about.",
        {
            "causes": several(ref(f"{META}.StatusCause"), "The single reasons."),
            "group": text("The group of the resource."),
            "kind": text("The resource or kind."),
            "name": text("The object's name."),
            "retryAfterSeconds": integer("Seconds to wait before trying again."),
            "uid": text("The object's uid."),
        },
    ),
    f"{META}.Status": struct(
        "Status",
        "An answer that holds no object.",
        {
            "apiVersion": text(API_VERSION_DESCRIPTION),
            "code": integer("The HTTP status."),
            "details": ref(f"{META}.StatusDetails", "What it is about."),
            "kind": text(KIND_DESCRIPTION),
            "message": text("For people."),
            "metadata": ref(f"{META}.ListMeta", "The list's, for lists."),
            "reason": text("For programs."),
            "status": text("Success or Failure."),
        },
    ),
    f"{META}.Patch": {"type": "object", "description": "A change to an object."},
    f"{META}.WatchEvent": struct(
        "WatchEvent",
        "One change seen by a watch.",
        {
            "object": ref("io.k8s.apimachinery.pkg.runtime.RawExtension", "The object after it."),
            "type": text("ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
        },
        required=("type", "object"),
    ),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {
        "type": "object",
        "description": "Any object.",
    },
}
