"""What happens to every object's metadata: on creation, on update and on deletion.

Pure: objects go in and come out, time and identities are given. Follows the registry's
``rest.BeforeCreate``, ``BeforeUpdate`` and ``BeforeDelete``.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ocisource.apiserver import kinds, requests
from ocisource.apiserver.history import records
from ocisource.apiserver.wording import failures, fielderrors
from ocisource.wire import names, timestamps

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by chance
SUFFIX_LENGTH = 5  # characters
_UINT64_DIGITS = 20

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Birth:
    """What a new object is given: the time (seconds since the epoch), a uid, a name's suffix."""

    now: float
    uid: str
    suffix: str


def begin(obj: Object, *, namespace: str, birth: Birth) -> None:
    """Complete the metadata of a new object in place; raises APIStatusError."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise failures.plain_500("resourceVersion should not be set on objects to be created")
    place(metadata, namespace)
    for server_side in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(server_side, None)
    metadata["creationTimestamp"] = timestamps.format_seconds(birth.now)
    metadata["uid"] = birth.uid
    if metadata.get("generateName") and not metadata.get("name"):
        base = metadata["generateName"][: names.GENERATE_NAME_LENGTH]
        metadata["name"] = base + birth.suffix


def place(metadata: Object, namespace: str) -> None:
    """Take the namespace from the path; raises APIStatusError when the object names another."""
    if not namespace:
        # Objects of the whole cluster have none, whatever they say.
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace", namespace) != namespace:
        raise failures.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = namespace


def first_generation(kind: kinds.Kind, obj: Object) -> None:
    """Drop the status of a new object where it is written apart, and count from 1."""
    if kind.builtin is None and kind.keeps_status_apart:
        obj.pop("status", None)
    if kind.resource.has_generation:
        obj["metadata"]["generation"] = 1


def carry_over(new: Object, old: Object) -> None:
    """Keep what a client may leave out, and what it may not decide."""
    metadata, before = new["metadata"], old["metadata"]
    for kept in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not metadata.get(kept) and kept in before:
            metadata[kept] = before[kept]
    _keep(metadata, before, "creationTimestamp")
    metadata.pop("selfLink", None)
    _keep(metadata, before, "generation")


def limit_to(subresource: str, kind: kinds.Kind, new: Object, old: Object) -> Object:
    """The object that an update through a subresource, or through none, may write."""
    if subresource == "status":
        limited = copy.copy(old)
        limited["metadata"] = dict(old["metadata"])
        for carried in ("managedFields", "resourceVersion"):
            _keep(limited["metadata"], new["metadata"], carried)
        if "status" in new:
            limited["status"] = new["status"]
        else:
            limited.pop("status", None)
        return limited
    if subresource == "finalize":
        limited = dict(old)
        limited["metadata"] = dict(old["metadata"])
        limited["spec"] = dict(old.get("spec", {}))
        _keep(limited["spec"], new.get("spec", {}), "finalizers")
        return limited
    if kind.keeps_status_apart:
        limited = dict(new)
        _keep(limited, old, "status")
        return limited
    return new


def not_written_by(subresource: str, kind: kinds.Kind) -> dict[str, Any]:
    """The fields, as a field set, that a way of writing leaves as they are."""
    if subresource == "status":
        return {"f:metadata": {}, "f:spec": {}}
    return {"f:status": {}} if kind.keeps_status_apart and not subresource else {}


def count_generation(kind: kinds.Kind, new: Object, old: Object) -> None:
    """Add one to the generation when anything but metadata and status changed."""
    if not kind.resource.has_generation:
        return
    ignored = {"apiVersion", "kind", "metadata"}
    if kind.keeps_status_apart:
        ignored.add("status")
    if _without(new, ignored) != _without(old, ignored):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def is_same(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an update changes nothing; the times of managed fields do not count."""
    return _comparable(new) == _comparable(old)


def mark_deleted(obj: Object, *, options: requests.DeleteOptions, now: float) -> bool:
    """Note a deletion in the object; returns whether finalizers keep it alive.

    A second deletion changes nothing but the finalizers that its propagation asks for.
    """
    metadata = obj["metadata"]
    finalizers: list[str] = list(metadata.get("finalizers") or [])
    if options.propagation:
        finalizers = [each for each in finalizers if each not in (FOREGROUND, ORPHAN)]
        wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(options.propagation)
        if wanted:
            finalizers.append(wanted)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if finalizers and not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = timestamps.format_seconds(now)
        metadata["deletionGracePeriodSeconds"] = 0
        if metadata.get("generation"):
            metadata["generation"] += 1
    return bool(finalizers)


def is_finished(obj: Mapping[str, Any]) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    waits = metadata.get("finalizers") or obj.get("spec", {}).get("finalizers")
    is_namespace = obj.get("kind") == "Namespace" and obj.get("apiVersion") == "v1"
    held = waits if is_namespace else metadata.get("finalizers")
    return bool(metadata.get("deletionTimestamp")) and not held


def check_preconditions(
    kind: kinds.Kind, record: records.Record, obj: Object, options: requests.DeleteOptions
) -> None:
    """Refuse to delete another object than the client means; raises APIStatusError (409)."""
    resource, name = kind.resource, record.key.name
    uid = obj["metadata"].get("uid", "")
    if options.uid and options.uid != uid:
        raise failures.conflict(
            resource,
            name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({uid}). The object might have been deleted and then recreated",
            called=kind.name,
        )
    if options.revision and options.revision != str(record.revision):
        raise failures.conflict(
            resource,
            name,
            f"the ResourceVersion in the precondition ({options.revision}) does not match the "
            f"ResourceVersion in record ({record.revision}). The object might have been modified",
            called=kind.name,
        )


def check_revision(kind: kinds.Kind, obj: Object, record: records.Record) -> None:
    """Refuse an update that is based on another revision; raises APIStatusError."""
    wanted = obj["metadata"].get("resourceVersion") or ""
    name = record.key.name
    if wanted in ("", "0"):
        if kind.needs_revision and wanted == "":
            text = "must be specified for an update"
            error = fielderrors.FieldError(
                "metadata.resourceVersion",
                fielderrors.INVALID,
                f"Invalid value: 0x0: {text}",
            )
            raise kind.invalid(name, [error], kind=kind.resource.plural)
        return
    if not (wanted.isascii() and wanted.isdigit()):
        raise failures.plain_500(f'strconv.ParseUint: parsing "{wanted}": invalid syntax')
    if len(wanted) > _UINT64_DIGITS or int(wanted) >= 2**64:
        raise failures.plain_500(f'strconv.ParseUint: parsing "{wanted}": value out of range')
    if int(wanted) != record.revision:
        raise failures.conflict(kind.resource, name, failures.MODIFIED)


def suffix(choose: Callable[[str], str]) -> str:
    """Random characters for ``generateName``; ``choose`` picks one character of a text."""
    return "".join(choose(SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))


def _keep(target: Object, source: Mapping[str, Any], field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def _without(obj: Mapping[str, Any], ignored: set[str]) -> Object:
    return {key: value for key, value in obj.items() if key not in ignored}


def _comparable(obj: Mapping[str, Any]) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    metadata["managedFields"] = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in metadata.get("managedFields") or []
    ]
    return {**_without(obj, {"apiVersion", "kind"}), "metadata": metadata}
