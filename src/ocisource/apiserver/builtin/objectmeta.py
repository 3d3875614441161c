"""``metadata``: reading it as Go would, and the rules all objects share.

The rules are apimachinery's ``ValidateObjectMeta`` and ``ValidateObjectMetaUpdate``, in their
order: generateName, name, namespace, generation, labels, annotations, owners, finalizers,
managed fields.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ocisource.apiserver.builtin import builtintypes, decoding
from ocisource.apiserver.schemas import schema
from ocisource.apiserver.wording import fielderrors, gotext
from ocisource.wire import names

FieldError = fielderrors.FieldError
Meta = Mapping[str, Any]
NameRule = Callable[[str], list[str]]
"""Complaints about a name, such as ``names.dns_subdomain_errors``."""

MAX_ANNOTATIONS = 256 * 1024  # bytes of all keys and values together
IMMUTABLE = "field is immutable"
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_PATH = "metadata"
_MAX_MANAGER = 128  # characters of a manager's name
_VERSION = re.compile(r"([a-z0-9.-]+/)?[^/]+")

NODE = schema.compiled(
    builtintypes.DEFINITIONS[f"{builtintypes.META}.ObjectMeta"], builtintypes.DEFINITIONS
)


def _holder() -> schema.Node:
    """An object that has metadata alone."""
    node = schema.Node()
    name = f"{builtintypes.META}.ObjectMeta"
    properties = {_PATH: {"$ref": f"#/definitions/{name}"}}
    source = {"type": "object", "x-go-type": "v1.Object", "properties": properties}
    node.compile(source, builtintypes.DEFINITIONS, {name: NODE})
    return node


_HOLDER = _holder()


def coerce(metadata: Any) -> tuple[dict[str, Any], list[str]]:
    """Metadata as Go would write it again, and the paths of fields it does not have.

    Raises InvalidInputError with the decoder's text for a value of the wrong type.
    """
    decoded, unknown = decoding.decode({_PATH: metadata or {}}, _HOLDER)
    return decoded.get(_PATH) or {"creationTimestamp": None}, unknown


def validate(
    metadata: Meta,
    *,
    is_namespaced: bool,
    name_rule: NameRule = names.dns_subdomain_errors,
    needs_known_finalizers: bool = False,
) -> list[FieldError]:
    """What is wrong with the metadata of a new object.

    ``needs_known_finalizers``: built-in kinds take only finalizers with a domain, and the
    standard ones.
    """
    found = list(_check_names(metadata, is_namespaced=is_namespaced, name_rule=name_rule))
    found.extend(_check_values(metadata, needs_known_finalizers=needs_known_finalizers))
    return found


def validate_update(
    new: Meta, old: Meta, *, needs_known_finalizers: bool = False
) -> list[FieldError]:
    """What is wrong with the change from ``old`` metadata to ``new``."""
    found = list(_check_added_finalizers(new, old))
    found.extend(
        fielderrors.invalid(f"{_PATH}.{name}", new.get(name, ""), IMMUTABLE)
        for name in ("name", "namespace", "uid", "creationTimestamp")
        if new.get(name) != old.get(name)
    )
    if new.get("generation", 0) < old.get("generation", 0):
        text = "must not be decremented"
        found.append(fielderrors.invalid(f"{_PATH}.generation", new.get("generation", 0), text))
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != old.get(name):
            text = f"{IMMUTABLE}; may only be changed via deletion"
            found.append(fielderrors.invalid(f"{_PATH}.{name}", new.get(name), text))
    found.extend(_check_values(new, needs_known_finalizers=needs_known_finalizers))
    return found


def _check_names(
    metadata: Meta, *, is_namespaced: bool, name_rule: NameRule
) -> Iterator[FieldError]:
    prefix, name = metadata.get("generateName", ""), metadata.get("name", "")
    if prefix:
        # What the server will add keeps a trailing dash from being the end.
        shown = f"{prefix[:-1]}a" if prefix.endswith("-") else prefix
        for text in name_rule(shown):
            yield fielderrors.invalid(f"{_PATH}.generateName", prefix, text)
    if not name:
        yield fielderrors.required(f"{_PATH}.name", "name or generateName is required")
    else:
        for text in name_rule(name):
            yield fielderrors.invalid(f"{_PATH}.name", name, text)
    namespace = metadata.get("namespace", "")
    if is_namespaced:
        if not namespace:
            yield fielderrors.required(f"{_PATH}.namespace")
        else:
            for text in names.dns_label_errors(namespace):
                yield fielderrors.invalid(f"{_PATH}.namespace", namespace, text)
    elif namespace:
        yield fielderrors.forbidden(f"{_PATH}.namespace", "not allowed on this type")


def _check_values(metadata: Meta, *, needs_known_finalizers: bool) -> Iterator[FieldError]:
    generation = metadata.get("generation", 0)
    if generation < 0:
        text = "must be greater than or equal to 0"
        yield fielderrors.invalid(f"{_PATH}.generation", generation, text)
    yield from check_labels(metadata.get("labels") or {}, f"{_PATH}.labels")
    yield from _check_annotations(metadata.get("annotations") or {})
    yield from _check_owners(metadata.get("ownerReferences") or [])
    for at, name in enumerate(metadata.get("finalizers") or []):
        for text in names.qualified_name_errors(name):
            yield fielderrors.invalid(f"{_PATH}.finalizers", name, text)
        if needs_known_finalizers and not names.qualified_name_errors(name):
            yield from check_finalizer(name, fielderrors.index(f"{_PATH}.finalizers", at))
    yield from _check_managed(metadata.get("managedFields") or [])


def check_labels(labels: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """Keys are qualified names, values label values."""
    for key, value in sorted(labels.items()):
        for text in names.qualified_name_errors(key):
            yield fielderrors.invalid(path, key, text)
        for text in names.label_value_errors(value):
            yield fielderrors.invalid(path, value, text)


def check_finalizer(name: str, path: str) -> Iterator[FieldError]:
    """A finalizer of a built-in kind is a standard one or has a domain."""
    if "/" not in name and name not in STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        yield fielderrors.invalid(path, name, text)


def _check_annotations(annotations: Mapping[str, str]) -> Iterator[FieldError]:
    path = f"{_PATH}.annotations"
    for key in sorted(annotations):
        for text in names.qualified_name_errors(key.lower()):
            yield fielderrors.invalid(path, key, text)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        yield fielderrors.too_long(path, MAX_ANNOTATIONS)


def _check_owners(owners: list[Meta]) -> Iterator[FieldError]:
    path = f"{_PATH}.ownerReferences"
    controller = ""
    for owner in owners:
        version = owner.get("apiVersion", "")
        if not _VERSION.fullmatch(version):
            yield fielderrors.invalid(f"{path}.apiVersion", version, "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                text = f"{name} must not be empty"
                yield fielderrors.invalid(f"{path}.{name}", owner.get(name, ""), text)
        if owner.get("controller"):
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in '
                    f"references for {controller} and {owner.get('name', '')}"
                )
                yield fielderrors.invalid(path, owners, text)
                return
            controller = owner.get("name", "")


def _check_managed(entries: list[Meta]) -> Iterator[FieldError]:
    for at, entry in enumerate(entries):
        path = fielderrors.index(f"{_PATH}.managedFields", at)
        if entry.get("operation", "") not in ("Apply", "Update"):
            text = "must be `Apply` or `Update`"
            yield fielderrors.invalid(f"{path}.operation", entry.get("operation", ""), text)
        if entry.get("fieldsType", "") not in ("", "FieldsV1"):
            text = "must be `FieldsV1`"
            yield fielderrors.invalid(f"{path}.fieldsType", entry["fieldsType"], text)
        yield from check_manager(entry.get("manager", ""), f"{path}.manager")


def check_manager(name: str, path: str) -> Iterator[FieldError]:
    """A manager's name is at most 128 printable characters."""
    if len(name) > _MAX_MANAGER:
        yield fielderrors.too_long(path, _MAX_MANAGER)
    for at, char in enumerate(name):
        if not char.isprintable():
            text = (
                f"invalid character U+{ord(char):04X} (at position {at}): should only contain "
                "printable characters"
            )
            yield fielderrors.invalid(path, name, text)
            return


def _check_added_finalizers(new: Meta, old: Meta) -> Iterator[FieldError]:
    if not old.get("deletionTimestamp"):
        return
    known = set(old.get("finalizers") or [])
    added = sorted(set(new.get("finalizers") or []) - known)
    if added:
        listed = ", ".join(map(gotext.quote, added))
        yield fielderrors.forbidden(
            f"{_PATH}.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
        )
