"""The types of the built-in kinds, as OpenAPI definitions.

Field names, types, required lists, patch strategies and merge keys are those of Kubernetes' own
definitions; the descriptions are this project's. Marks beginning with ``x-go-`` are for
``decoding`` and never leave the server.

Example::

    >>> sorted(DEFINITIONS[f"{CORE}.ConfigMap"]["properties"])[:3]
    ['apiVersion', 'binaryData', 'data']
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

_META_TYPES: Mapping[str, Schema] = {
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

_CORE_TYPES: Mapping[str, Schema] = {
    f"{CORE}.NamespaceSpec": struct(
        "NamespaceSpec",
        "What is wanted of a namespace.",
        {
            "finalizers": several(
                text(**{"x-go-type": "v1.FinalizerName"}), "Who must agree before it is gone."
            )
        },
    ),
    f"{CORE}.NamespaceCondition": struct(
        "NamespaceCondition",
        "One aspect of a namespace's deletion.",
        {
            "lastTransitionTime": time("When the status last changed.", is_always=True),
            "message": text("For people."),
            "reason": text("For programs."),
            "status": text("True, False or Unknown.", **{"x-go-always": ""}),
            "type": text("The aspect.", **{"x-go-always": ""}),
        },
        required=("type", "status"),
    ),
    f"{CORE}.NamespaceStatus": struct(
        "NamespaceStatus",
        "How a namespace is.",
        {
            "conditions": several(
                ref(f"{CORE}.NamespaceCondition"),
                "Where its deletion stands.",
                patch_merge_key="type",
                patch_strategy="merge",
            ),
            "phase": text("Active or Terminating.", **{"x-go-type": "v1.NamespacePhase"}),
        },
    ),
    f"{CORE}.Namespace": kind(
        "",
        "Namespace",
        "A room for names: objects in different namespaces may share a name.",
        {
            "spec": value(f"{CORE}.NamespaceSpec", "What is wanted of the namespace."),
            "status": value(f"{CORE}.NamespaceStatus", "How the namespace is."),
        },
    ),
    f"{CORE}.Secret": kind(
        "",
        "Secret",
        "Small confidential data: passwords, tokens, keys.",
        {
            "data": mapping(BYTES, "The values, in base64; keys of letters, digits, -, _ and ."),
            "immutable": flag("Whether the data can never change again."),
            "stringData": mapping(STRING, "Values as plain text; written into data, never read."),
            "type": text(
                "What the data is for, and so which keys it must have.",
                **{"x-go-type": "v1.SecretType"},
            ),
        },
    ),
    f"{CORE}.ConfigMap": kind(
        "",
        "ConfigMap",
        "Configuration data for others to read.",
        {
            "binaryData": mapping(BYTES, "Values that are no UTF-8 text, in base64."),
            "data": mapping(STRING, "Values that are text; keys of letters, digits, -, _ and ."),
            "immutable": flag("Whether the data can never change again."),
        },
    ),
    f"{CORE}.LocalObjectReference": struct(
        "LocalObjectReference",
        "The name of an object in the same namespace.",
        {"name": text("The name.")},
    ),
    f"{CORE}.ObjectReference": struct(
        "ObjectReference",
        "The address of an object.",
        {
            "apiVersion": text("Its API version."),
            "fieldPath": text("A part of it, instead of the whole."),
            "kind": text("Its kind."),
            "name": text("Its name."),
            "namespace": text("Its namespace."),
            "resourceVersion": text("The version meant, if one is."),
            "uid": text("Its uid.", **{"x-go-type": "types.UID"}),
        },
    ),
    f"{CORE}.ServiceAccount": kind(
        "",
        "ServiceAccount",
        "A name for programs to act under.",
        {
            "automountServiceAccountToken": flag("Whether pods get a token unasked."),
            "imagePullSecrets": several(
                ref(f"{CORE}.LocalObjectReference"), "Secrets for pulling images."
            ),
            "secrets": several(
                ref(f"{CORE}.ObjectReference"),
                "Secrets that pods of this account may use.",
                patch_merge_key="name",
                patch_strategy="merge",
            ),
        },
    ),
    f"{CORE}.EventSource": struct(
        "EventSource",
        "Who reported an event.",
        {"component": text("The program."), "host": text("The node it ran on.")},
    ),
    f"{CORE}.EventSeries": struct(
        "EventSeries",
        "How often an event happened again.",
        {
            "count": integer("How often, so far."),
            "lastObservedTime": micro_time("When last."),
        },
    ),
    f"{CORE}.Event": kind(
        "",
        "Event",
        "Something that happened to an object. Kept for a while, never to be relied on.",
        {
            "action": text("What was done."),
            "count": integer("How often it happened."),
            "eventTime": micro_time("When it first happened.", is_always=True),
            "firstTimestamp": time("When it first happened.", is_always=True),
            "involvedObject": value(f"{CORE}.ObjectReference", "The object it is about."),
            "lastTimestamp": time("When it last happened.", is_always=True),
            "message": text("For people."),
            "reason": text("For programs."),
            "related": ref(f"{CORE}.ObjectReference", "Another object it concerns."),
            "reportingComponent": text("The controller, as a domain name.", **{"x-go-always": ""}),
            "reportingInstance": text("Which instance of it.", **{"x-go-always": ""}),
            "series": ref(f"{CORE}.EventSeries", "The repetitions, if there were any."),
            "source": value(f"{CORE}.EventSource", "Who reported it."),
            "type": text("Normal or Warning."),
        },
        required=("metadata", "involvedObject"),
    ),
}

_EVENTS_TYPES: Mapping[str, Schema] = {
    f"{EVENTS}.EventSeries": struct(
        "EventSeries",
        "How often an event happened again.",
        {
            "count": integer("How often, so far."),
            "lastObservedTime": micro_time("When last.", is_always=True),
        },
        required=("count", "lastObservedTime"),
    ),
    f"{EVENTS}.Event": kind(
        "events.k8s.io",
        "Event",
        "Something that happened to an object. Kept for a while, never to be relied on.",
        {
            "action": text("What was done."),
            "deprecatedCount": integer("The core Event's count."),
            "deprecatedFirstTimestamp": time("The core Event's firstTimestamp.", is_always=True),
            "deprecatedLastTimestamp": time("The core Event's lastTimestamp.", is_always=True),
            "deprecatedSource": value(f"{CORE}.EventSource", "The core Event's source."),
            "eventTime": micro_time("When it first happened.", is_always=True),
            "note": text("For people."),
            "reason": text("For programs."),
            "regarding": value(f"{CORE}.ObjectReference", "The object it is about."),
            "related": ref(f"{CORE}.ObjectReference", "Another object it concerns."),
            "reportingController": text("The controller, as a domain name."),
            "reportingInstance": text("Which instance of it."),
            "series": ref(f"{EVENTS}.EventSeries", "The repetitions, if there were any."),
            "type": text("Normal or Warning."),
        },
        required=("metadata", "eventTime"),
    ),
}

_LEASE_TYPES: Mapping[str, Schema] = {
    f"{COORDINATION}.LeaseSpec": struct(
        "LeaseSpec",
        "Who holds the lease, and for how long.",
        {
            "acquireTime": micro_time("When the holder got it."),
            "holderIdentity": text("The holder.", **{"x-go-pointer": True}),
            "leaseDurationSeconds": integer(
                "Seconds after which others may take it.", is_pointer=True
            ),
            "leaseTransitions": integer("How often the holder changed.", is_pointer=True),
            "renewTime": micro_time("When the holder last renewed it."),
        },
    ),
    f"{COORDINATION}.Lease": kind(
        "coordination.k8s.io",
        "Lease",
        "Something only one holder has at a time, such as the leadership among replicas.",
        {"spec": value(f"{COORDINATION}.LeaseSpec", "Who holds it, and for how long.")},
    ),
}

_REVIEW_TYPES: Mapping[str, Schema] = {
    f"{AUTHORIZATION}.NonResourceAttributes": struct(
        "NonResourceAttributes",
        "A request for a path that is no resource.",
        {"path": text("The path."), "verb": text("The HTTP method, in lower case.")},
    ),
    f"{AUTHORIZATION}.ResourceAttributes": struct(
        "ResourceAttributes",
        "A request for a resource.",
        {
            "group": text("The group; * is all."),
            "name": text("The object's name; empty is all."),
            "namespace": text("The namespace; empty is all or none."),
            "resource": text("The resource; * is all."),
            "subresource": text("The subresource; * is all."),
            "verb": text("get, list, watch, create, update, delete, ...; * is all."),
            "version": text("The version; * is all."),
        },
    ),
    f"{AUTHORIZATION}.SelfSubjectAccessReviewSpec": struct(
        "SelfSubjectAccessReviewSpec",
        "The request in question; exactly one member is set.",
        {
            "nonResourceAttributes": ref(
                f"{AUTHORIZATION}.NonResourceAttributes", "A request for a path."
            ),
            "resourceAttributes": ref(
                f"{AUTHORIZATION}.ResourceAttributes", "A request for a resource."
            ),
        },
    ),
    f"{AUTHORIZATION}.SubjectAccessReviewStatus": struct(
        "SubjectAccessReviewStatus",
        "The answer.",
        {
            "allowed": flag("Whether the request would be allowed.", is_pointer=False)
            | {"x-go-always": False},
            "denied": flag("Whether it would be refused for certain.", is_pointer=False),
            "evaluationError": text("What went wrong in finding out."),
            "reason": text("Why."),
        },
        required=("allowed",),
    ),
    f"{AUTHORIZATION}.SelfSubjectAccessReview": kind(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "The question whether the asker may do something.",
        {
            "spec": value(f"{AUTHORIZATION}.SelfSubjectAccessReviewSpec", "The question."),
            "status": value(f"{AUTHORIZATION}.SubjectAccessReviewStatus", "The answer."),
        },
        required=("spec",),
    ),
    f"{AUTHENTICATION}.BoundObjectReference": struct(
        "BoundObjectReference",
        "The object a token lives and dies with.",
        {
            "apiVersion": text("Its API version."),
            "kind": text("Its kind."),
            "name": text("Its name."),
            "uid": text("Its uid.", **{"x-go-type": "types.UID"}),
        },
    ),
    f"{AUTHENTICATION}.TokenRequestSpec": struct(
        "TokenRequestSpec",
        "What kind of token is wanted.",
        {
            "audiences": several(STRING, "For whom it is meant.") | {"x-go-always": None},
            "boundObjectRef": ref(
                f"{AUTHENTICATION}.BoundObjectReference", "The object it lives and dies with."
            )
            | {"x-go-always": None},
            "expirationSeconds": integer("Seconds it is good for.", bits=64, is_pointer=True)
            | {"x-go-always": None},
        },
        required=("audiences",),
    ),
    f"{AUTHENTICATION}.TokenRequestStatus": struct(
        "TokenRequestStatus",
        "The token.",
        {
            "expirationTimestamp": time("Until when it is good.", is_always=True),
            "token": text("The token itself.", **{"x-go-always": ""}),
        },
        required=("token", "expirationTimestamp"),
    ),
    f"{AUTHENTICATION}.TokenRequest": kind(
        "authentication.k8s.io",
        "TokenRequest",
        "The wish for a token of a service account.",
        {
            "spec": value(f"{AUTHENTICATION}.TokenRequestSpec", "What is wanted."),
            "status": value(f"{AUTHENTICATION}.TokenRequestStatus", "What was given."),
        },
        required=("spec",),
    ),
}

DEFINITIONS: Mapping[str, Schema] = {
    **_META_TYPES,
    **_CORE_TYPES,
    **_EVENTS_TYPES,
    **_LEASE_TYPES,
    **_REVIEW_TYPES,
}
