"""The types of namespaces, secrets, config maps, service accounts, events and leases.

See ``builtintypes`` for how they are written down.

Example::

    >>> sorted(DEFINITIONS[f"{types.CORE}.ConfigMap"]["properties"])[:3]
    ['apiVersion', 'binaryData', 'data']
"""

from collections.abc import Mapping

from ocisource.apiserver.builtin import builtintypes as types

DEFINITIONS: Mapping[str, types.Schema] = {
    f"{types.CORE}.NamespaceSpec": types.struct(
        "NamespaceSpec",
        "What is wanted of a namespace.",
        {
            "finalizers": types.several(
                types.text(**{"x-go-type": "v1.FinalizerName"}), "Who must agree before it is gone."
            )
        },
    ),
    f"{types.CORE}.NamespaceCondition": types.struct(
        "NamespaceCondition",
        "One aspect of a namespace's deletion.",
        {
            "lastTransitionTime": types.time("When the status last changed.", is_always=True),
            "message": types.text("For people."),
            "reason": types.text("For programs."),
            "status": types.text("True, False or Unknown.", **{"x-go-always": ""}),
            "type": types.text("The aspect.", **{"x-go-always": ""}),
        },
        required=("type", "status"),
    ),
    f"{types.CORE}.NamespaceStatus": types.struct(
        "NamespaceStatus",
        "How a namespace is.",
        {
            "conditions": types.several(
                types.ref(f"{types.CORE}.NamespaceCondition"),
                "Where its deletion stands.",
                patch_merge_key="type",
                patch_strategy="merge",
            ),
            "phase": types.text("Active or Terminating.", **{"x-go-type": "v1.NamespacePhase"}),
        },
    ),
    f"{types.CORE}.Namespace": types.kind(
        "",
        "Namespace",
        "A room for names: objects in different namespaces may share a name.",
        {
            "spec": types.value(f"{types.CORE}.NamespaceSpec", "What is wanted of the namespace."),
            "status": types.value(f"{types.CORE}.NamespaceStatus", "How the namespace is."),
        },
    ),
    f"{types.CORE}.Secret": types.kind(
        "",
        "Secret",
        "Small confidential data: passwords, tokens, keys.",
        {
            "data": types.mapping(
                types.BYTES, "The values, in base64; keys of letters, digits, -, _ and ."
            ),
            "immutable": types.flag("Whether the data can never change again."),
            "stringData": types.mapping(
                types.STRING, "Values as plain text; written into data, never read."
            ),
            "type": types.text(
                "What the data is for, and so which keys it must have.",
                **{"x-go-type": "v1.SecretType"},
            ),
        },
    ),
    f"{types.CORE}.ConfigMap": types.kind(
        "",
        "ConfigMap",
        "Configuration data for others to read.",
        {
            "binaryData": types.mapping(types.BYTES, "Values that are no UTF-8 text, in base64."),
            "data": types.mapping(
                types.STRING, "Values that are text; keys of letters, digits, -, _ and ."
            ),
            "immutable": types.flag("Whether the data can never change again."),
        },
    ),
    f"{types.CORE}.LocalObjectReference": types.struct(
        "LocalObjectReference",
        "The name of an object in the same namespace.",
        {"name": types.text("The name.")},
    ),
    f"{types.CORE}.ObjectReference": types.struct(
        "ObjectReference",
        "The address of an object.",
        {
            "apiVersion": types.text("Its API version."),
            "fieldPath": types.text("A part of it, instead of the whole."),
            "kind": types.text("Its kind."),
            "name": types.text("Its name."),
            "namespace": types.text("Its namespace."),
            "resourceVersion": types.text("The version meant, if one is."),
            "uid": types.text("Its uid.", **{"x-go-type": "types.UID"}),
        },
    ),
    f"{types.CORE}.ServiceAccount": types.kind(
        "",
        "ServiceAccount",
        "A name for programs to act under.",
        {
            "automountServiceAccountToken": types.flag("Whether pods get a token unasked."),
            "imagePullSecrets": types.several(
                types.ref(f"{types.CORE}.LocalObjectReference"), "Secrets for pulling images."
            ),
            "secrets": types.several(
                types.ref(f"{types.CORE}.ObjectReference"),
                "Secrets that pods of this account may use.",
                patch_merge_key="name",
                patch_strategy="merge",
            ),
        },
    ),
    f"{types.CORE}.EventSource": types.struct(
        "EventSource",
        "Who reported an event.",
        {"component": types.text("The program."), "host": types.text("The node it ran on.")},
    ),
    f"{types.CORE}.EventSeries": types.struct(
        "EventSeries",
        "How often an event happened again.",
        {
            "count": types.integer("How often, so far."),
            "lastObservedTime": types.micro_time("When last."),
        },
    ),
    f"{types.CORE}.Event": types.kind(
        "",
        "Event",
        "Something that happened to an object. Kept for a while, never to be relied on.",
        {
            "action": types.text("What was done."),
            "count": types.integer("How often it happened."),
            "eventTime": types.micro_time("When it first happened.", is_always=True),
            "firstTimestamp": types.time("When it first happened.", is_always=True),
            "involvedObject": types.value(
                f"{types.CORE}.ObjectReference", "The object it is about."
            ),
            "lastTimestamp": types.time("When it last happened.", is_always=True),
            "message": types.text("For people."),
            "reason": types.text("For programs."),
            "related": types.ref(f"{types.CORE}.ObjectReference", "Another object it concerns."),
            "reportingComponent": types.text(
                "The controller, as a domain name.", **{"x-go-always": ""}
            ),
            "reportingInstance": types.text("Which instance of it.", **{"x-go-always": ""}),
            "series": types.ref(f"{types.CORE}.EventSeries", "The repetitions, if there were any."),
            "source": types.value(f"{types.CORE}.EventSource", "Who reported it."),
            "type": types.text("Normal or Warning."),
        },
        required=("metadata", "involvedObject"),
    ),
    f"{types.EVENTS}.EventSeries": types.struct(
        "EventSeries",
        "How often an event happened again.",
        {
            "count": types.integer("How often, so far."),
            "lastObservedTime": types.micro_time("When last.", is_always=True),
        },
        required=("count", "lastObservedTime"),
    ),
    f"{types.EVENTS}.Event": types.kind(
        "events.k8s.io",
        "Event",
        "Something that happened to an object. Kept for a while, never to be relied on.",
        {
            "action": types.text("What was done."),
            "deprecatedCount": types.integer("The core Event's count."),
            "deprecatedFirstTimestamp": types.time(
                "The core Event's firstTimestamp.", is_always=True
            ),
            "deprecatedLastTimestamp": types.time(
                "The core Event's lastTimestamp.", is_always=True
            ),
            "deprecatedSource": types.value(
                f"{types.CORE}.EventSource", "The core Event's source."
            ),
            "eventTime": types.micro_time("When it first happened.", is_always=True),
            "note": types.text("For people."),
            "reason": types.text("For programs."),
            "regarding": types.value(f"{types.CORE}.ObjectReference", "The object it is about."),
            "related": types.ref(f"{types.CORE}.ObjectReference", "Another object it concerns."),
            "reportingController": types.text("The controller, as a domain name."),
            "reportingInstance": types.text("Which instance of it."),
            "series": types.ref(
                f"{types.EVENTS}.EventSeries", "The repetitions, if there were any."
            ),
            "type": types.text("Normal or Warning."),
        },
        required=("metadata", "eventTime"),
    ),
    f"{types.COORDINATION}.LeaseSpec": types.struct(
        "LeaseSpec",
        "Who holds the lease, and for how long.",
        {
            "acquireTime": types.micro_time("When the holder got it."),
            "holderIdentity": types.text("The holder.", **{"x-go-pointer": True}),
            "leaseDurationSeconds": types.integer(
                "Seconds after which others may take it.", is_pointer=True
            ),
            "leaseTransitions": types.integer("How often the holder changed.", is_pointer=True),
            "renewTime": types.micro_time("When the holder last renewed it."),
        },
    ),
    f"{types.COORDINATION}.Lease": types.kind(
        "coordination.k8s.io",
        "Lease",
        "Something only one holder has at a time, such as the leadership among replicas.",
        {"spec": types.value(f"{types.COORDINATION}.LeaseSpec", "Who holds it, and for how long.")},
    ),
}
