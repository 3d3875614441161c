"""Who owns which field: ``metadata.managedFields``, and server-side apply.

1. Every write is compared with the object before it; the writer takes the fields it added or
   changed, from whoever owned them.
2. An apply sets what its manager lists, drops what the manager listed before and nobody else
   owns, and refuses to change fields of others unless it is forced.
3. One entry for each manager, operation, version and subresource; at most ten that update, the
   oldest of which are folded into one.

The rules are those of structured-merge-diff's ``merge.Updater`` and apimachinery's
``managedfields``.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ocisource import errors
from ocisource.apiserver.builtin import objectmeta
from ocisource.apiserver.ownership import fieldsets
from ocisource.apiserver.schemas import schema, typedvalues
from ocisource.apiserver.wording import gotext
from ocisource.wire import timestamps

Object = dict[str, Any]

APPLY = "Apply"
UPDATE = "Update"
MAX_UPDATERS = 10  # entries of operation Update kept apart
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
_KEPT_TYPES = 256  # compiled types of resources
_FIELDS_TYPE = "FieldsV1"
# What no manager owns: the object's identity, and what the server counts.
_IGNORED: fieldsets.FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        "f:clusterName": {},
        "f:creationTimestamp": {},
        "f:deletionGracePeriodSeconds": {},
        "f:deletionTimestamp": {},
        "f:generation": {},
        "f:managedFields": {},
        "f:name": {},
        "f:namespace": {},
        "f:resourceVersion": {},
        "f:selfLink": {},
        "f:uid": {},
    },
}
_ROOT_IGNORED: fieldsets.FieldSet = {"f:metadata": {".": {}}}


class ConflictError(errors.APIStatusError):
    """An apply would change fields that others own; ``details`` holds a cause for each."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Manager:
    """What tells the entries of ``managedFields`` apart."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """The manager of an entry."""
        return cls(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )

    def __str__(self) -> str:
        text = gotext.quote(self.name)
        if self.subresource:
            text += f" with subresource {gotext.quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclasses.dataclass(slots=True)
class _Owned:
    """The fields of each manager, and when it last took some."""

    fields: dict[Manager, fieldsets.FieldSet]
    times: dict[Manager, str]

    @classmethod
    def of(cls, obj: Mapping[str, Any] | None) -> Self:
        owned = cls({}, {})
        metadata = (obj or {}).get("metadata") or {}
        for entry in metadata.get("managedFields") or ():
            manager = Manager.of(entry)
            owned.fields[manager] = entry.get("fieldsV1") or {}
            owned.times[manager] = entry.get("time") or ""
        return owned

    def entries(self) -> list[dict[str, Any]]:
        found = [self._entry(manager, fields) for manager, fields in self.fields.items() if fields]
        # Apply before Update, then by age, name, version and subresource, as apimachinery sorts.
        found.sort(
            key=lambda entry: (
                entry["operation"],
                entry.get("time", ""),
                entry["manager"],
                entry["apiVersion"],
                entry.get("subresource", ""),
            )
        )
        return found

    def _entry(self, manager: Manager, fields: fieldsets.FieldSet) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
        }
        if self.times.get(manager):
            entry["time"] = self.times[manager]
        entry |= {"fieldsType": _FIELDS_TYPE, "fieldsV1": fields}
        if manager.subresource:
            entry["subresource"] = manager.subresource
        return entry


def update(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    structural: schema.Structural | None,
    manager: str,
    now: float,
    template: Mapping[str, Any] | None = None,
    subresource: str = "",
) -> Object:
    """``new`` with ``managedFields`` that account for its difference from ``old``.

    ``old`` is None for a new object, which is then compared with ``template`` (what the kind
    writes when nothing is set). ``now`` is in seconds since the epoch. A request that only
    touches ``managedFields`` may replace them, and ``[{}]`` clears them, except by way of a
    subresource.
    """
    kind = _typed(structural)
    owned = _owned_by_request(old, new, subresource)
    before = _bare(old if old is not None else template or {})
    after = _bare(new)
    changes = _visible(typedvalues.compare(before, after, kind))
    writer = Manager(manager, UPDATE, str(new.get("apiVersion", "")), subresource)
    if not changes.is_same:
        taken = fieldsets.union(changes.added, changes.modified)
        for each, fields in list(owned.fields.items()):
            if each != writer:
                left = fieldsets.difference(fields, fieldsets.union(taken, changes.removed))
                _set(owned, each, left)
        mine = owned.fields.get(writer, {})
        mine = fieldsets.difference(fieldsets.union(mine, taken), changes.removed)
        _set(owned, writer, mine)
        if taken and mine:
            owned.times[writer] = timestamps.format_seconds(now)
    _fold_oldest(owned)
    return _with_entries(new, owned)


def apply(
    live: Mapping[str, Any] | None,
    patch: Mapping[str, Any],
    *,
    structural: schema.Structural | None,
    manager: str,
    is_forced: bool,
    now: float,
    template: Mapping[str, Any] | None = None,
    subresource: str = "",
    reset: fieldsets.FieldSet | None = None,
) -> Object:
    """The object after a server-side apply of ``patch``; ``live`` is None when there is none.

    ``reset`` names fields this way of writing leaves alone: nobody owns them by it.

    Raises ConflictError when others own what would change and ``is_forced`` is not set, and
    APIStatusError with code 500, as the real server does, for fields or types the schema does not
    know. When nothing changes, neither do the entries.
    """
    kind = _typed(structural)
    config = _bare(patch)
    _check(config, kind)
    if reset:
        config = typedvalues.without(config, reset, kind)
    base = live if live is not None else template or {}
    before = _bare(base)
    owned = _Owned.of(live)
    applier = Manager(manager, APPLY, str(patch.get("apiVersion", "")), subresource)
    if live is not None and not owned.fields:
        _own_all(owned, before, kind, api_version=str(live.get("apiVersion", "")))
    owned.fields = {
        each: typedvalues.expand(fields, before, kind) for each, fields in owned.fields.items()
    }
    last = owned.fields.get(applier, {})
    owned.fields[applier] = _without_ignored(typedvalues.fields_of(config, kind))
    merged = typedvalues.merge(before, config, kind)
    merged = _pruned(merged, last, owned, kind)
    changes = _visible(typedvalues.compare(before, merged, kind))
    _resolve(owned, applier, changes, is_forced=is_forced)
    entries = owned.entries()
    is_same = changes.is_same and _is_same_but_times(entries, base)
    if is_same and live is not None:
        return dict(live)
    owned.times[applier] = timestamps.format_seconds(now)
    return _with_entries(_with_metadata(merged, base), owned)


def _check(config: Object, kind: schema.Node) -> None:
    try:
        typedvalues.check(config, kind)
    except errors.InvalidInputError as error:
        metadata, version = config["metadata"], config.get("apiVersion", "")
        name = "/".join(str(metadata[part]) for part in ("namespace", "name") if metadata.get(part))
        where = f"{name}; {version}, Kind={config.get('kind', '')}"
        text = f"failed to create typed patch object ({where}): {error}"
        raise errors.APIStatusError(text, code=500) from error


@functools.lru_cache(maxsize=_KEPT_TYPES)
def _typed(structural: schema.Structural | None) -> schema.Node:
    """The type of the whole object: its own schema, with the metadata every object has."""
    root = schema.Node()
    source = {"type": "object", "x-kubernetes-preserve-unknown-fields": structural is None}
    root.compile(source, {}, {})
    if structural is not None:
        root.source = structural.root.source
        root.properties = dict(structural.root.properties)
        root.additional = structural.root.additional
        root.is_preserving = structural.root.is_preserving
    text = schema.compiled({"type": "string"})
    root.properties = {
        **root.properties,
        "apiVersion": text,
        "kind": text,
        "metadata": objectmeta.NODE,
    }
    return root


def _bare(obj: Mapping[str, Any]) -> Object:
    """The object without its managed fields."""
    metadata = obj.get("metadata") or {}
    kept = {name: value for name, value in metadata.items() if name != "managedFields"}
    return {**obj, "metadata": kept}


def _without_ignored(fields: fieldsets.FieldSet) -> fieldsets.FieldSet:
    left = fieldsets.recursive_difference(fields, _IGNORED)
    return fieldsets.difference(left, _ROOT_IGNORED)


def _visible(changes: typedvalues.Comparison) -> typedvalues.Comparison:
    return typedvalues.Comparison(
        added=_without_ignored(changes.added),
        modified=_without_ignored(changes.modified),
        removed=_without_ignored(changes.removed),
    )


def _set(owned: _Owned, manager: Manager, fields: fieldsets.FieldSet) -> None:
    if fields:
        owned.fields[manager] = fields
    else:
        owned.fields.pop(manager, None)


def _owned_by_request(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], subresource: str
) -> _Owned:
    sent = (new.get("metadata") or {}).get("managedFields")
    if subresource or not sent:
        return _Owned.of(old)
    if sent == [{}]:
        return _Owned({}, {})
    if not all(fieldsets.is_valid(entry.get("fieldsV1") or {}) for entry in sent):
        return _Owned.of(old)
    return _Owned.of(new)


def _fold_oldest(owned: _Owned) -> None:
    """Fold the oldest updaters of one version into one entry, when there are too many."""
    updaters = [each for each in owned.fields if each.operation == UPDATE]
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return
    updaters.sort(key=lambda each: (owned.times.get(each, ""), each))
    for each in updaters[: excess + 1]:
        bucket = Manager(ANCIENT, UPDATE, each.api_version)
        if each == bucket:
            continue
        fields, time = owned.fields.pop(each), owned.times.pop(each, "")
        owned.fields[bucket] = fieldsets.union(owned.fields.get(bucket, {}), fields)
        owned.times[bucket] = max(owned.times.get(bucket, ""), time)


def _own_all(owned: _Owned, live: Object, kind: schema.Node, *, api_version: str) -> None:
    """What stands there without an owner belongs to those who wrote before the first apply."""
    everything = Manager(BEFORE_FIRST_APPLY, UPDATE, api_version)
    _set(owned, everything, _visible(typedvalues.compare({}, live, kind)).added)


def _pruned(merged: Object, last: fieldsets.FieldSet, owned: _Owned, kind: schema.Node) -> Object:
    """Drop what the manager listed the last time and nobody owns any more."""
    if not last:
        return merged
    everything = typedvalues.with_named(typedvalues.fields_of(merged, kind), kind)
    listed = typedvalues.with_named(last, kind)
    kept: fieldsets.FieldSet = {}
    for fields in owned.fields.values():
        kept = fieldsets.union(kept, typedvalues.with_named(fields, kind))
    pruned: Object = typedvalues.without(merged, listed, kind)
    left = typedvalues.with_named(typedvalues.fields_of(pruned, kind), kind)
    gone = fieldsets.difference(everything, fieldsets.union(left, kept))
    pruned = typedvalues.without(merged, gone, kind)
    left = typedvalues.with_named(typedvalues.fields_of(pruned, kind), kind)
    gone = fieldsets.intersection(fieldsets.difference(everything, left), listed)
    result: Object = typedvalues.without(merged, gone, kind)
    return result


def _resolve(
    owned: _Owned, applier: Manager, changes: typedvalues.Comparison, *, is_forced: bool
) -> None:
    """Find what others own of the changes: refuse, or take it from them."""
    touched = fieldsets.union(changes.modified, changes.added)
    conflicts = {
        each: shared
        for each, fields in owned.fields.items()
        if each != applier and (shared := fieldsets.intersection(fields, touched))
    }
    if conflicts and not is_forced:
        raise _conflict(conflicts)
    for each, fields in list(owned.fields.items()):
        if each != applier:
            left = fieldsets.difference(fields, conflicts.get(each, {}))
            _set(owned, each, fieldsets.difference(left, changes.removed))


def _conflict(conflicts: Mapping[Manager, fieldsets.FieldSet]) -> ConflictError:
    found = {each: list(fieldsets.paths(conflicts[each])) for each in sorted(conflicts, key=_order)}
    count = sum(map(len, found.values()))
    if count == 1:
        manager, (path,) = next(iter(found.items()))
        message = f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    else:
        blocks = (
            "\n".join((f"conflicts with {manager}:", *(f"- {path}" for path in listed)))
            for manager, listed in found.items()
        )
        message = f"Apply failed with {count} conflicts: " + "\n".join(blocks)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, listed in found.items()
        for path in listed
    ]
    return ConflictError(message, code=409, reason="Conflict", details={"causes": causes})


def _order(manager: Manager) -> str:
    # Managers are compared as the JSON texts that identify them.
    return json.dumps({"manager": manager.name, "operation": manager.operation})


def _is_same_but_times(entries: Sequence[Mapping[str, Any]], obj: Mapping[str, Any]) -> bool:
    def timeless(listed: Sequence[Mapping[str, Any]]) -> list[tuple[Manager, Any]]:
        found = [(Manager.of(entry), entry.get("fieldsV1") or {}) for entry in listed]
        return sorted(found, key=lambda pair: pair[0])

    return timeless(entries) == timeless((obj.get("metadata") or {}).get("managedFields") or ())


def _with_metadata(merged: Object, base: Mapping[str, Any]) -> Object:
    """What no manager owns stays as the object had it."""
    before = base.get("metadata") or {}
    fixed = {
        name: before[name]
        for name in ("creationTimestamp", "generation", "uid", "deletionTimestamp")
        if name in before
    }
    return {**merged, "metadata": {**merged["metadata"], **fixed}}


def _with_entries(obj: Mapping[str, Any], owned: _Owned) -> Object:
    metadata = dict(obj.get("metadata") or {})
    entries = owned.entries()
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)
    return {**obj, "metadata": metadata}
