"""What may come in: a decoded body taken as an object of its kind, or refused.

Everything that is looked at before the object's own rules: its type, its name, unknown fields,
and whether it is about the object that the path names.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ocisource import errors
from ocisource.apiserver import kinds, requests
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import bodies
from ocisource.apiserver.history import records
from ocisource.apiserver.wording import failures, fielderrors, gotext

Object = dict[str, Any]


def admit(
    kind: kinds.Kind,
    decoded: bodies.Decoded,
    options: requests.WriteOptions,
    *,
    is_patch: bool = False,
) -> tuple[Object, list[str]]:
    """Take a body as an object of the kind; returns it and what to warn of.

    Raises APIStatusError: for another kind, wrong types, and in Strict mode unknown fields. Of a
    body that is 400; of what a patch led to it is 422, as kube-apiserver has it.
    """
    check_type(kind, decoded.value)
    source = {"apiVersion": kind.api_version, "kind": kind.name} | decoded.value
    is_strict = options.validation == "Strict"
    # Written down before the rules drop what they do not know.
    shown = _shown(decoded, source) if is_patch and is_strict else ""

    def refuse(why: str) -> errors.APIStatusError:
        if not is_patch:
            return kind.cannot_be_handled(why)
        value = shown or _shown(decoded, source)
        return failures.invalid("", "", "", [fielderrors.invalid("patch", value, why)])

    try:
        obj, unknown = kind.rules.decode(source)
    except errors.InvalidInputError as error:
        raise refuse(str(error)) from error
    obj.setdefault("metadata", {})
    if options.validation == "Ignore":
        return obj, []
    found = [*decoded.complaints, *(f'unknown field "{path}"' for path in unknown)]
    found = found[: bodies.MAX_COMPLAINTS]
    if found and is_strict:
        raise refuse(f"strict decoding error: {', '.join(found)}")
    return obj, list(_warnings(found))


def admit_applied(
    kind: kinds.Kind, merged: Object, intent: bodies.Decoded, options: requests.WriteOptions
) -> tuple[Object, list[str]]:
    """Take what a server-side apply led to; returns it and what to warn of.

    The intent went through the schema already, so only what is wrong with its text is left to
    tell. Raises APIStatusError.
    """
    ignoring = dataclasses.replace(options, validation="Ignore")
    obj, _ = admit(kind, bodies.Decoded(merged), ignoring)
    if intent.complaints and options.validation == "Strict":
        raise failures.bad_request(
            f"error strict decoding YAML: error converting YAML to JSON: {intent.complaints[0]}"
        )
    return obj, [] if options.validation == "Ignore" else list(_warnings(intent.complaints))


def _warnings(complaints: Iterable[str]) -> Iterator[str]:
    """Complaints as warnings; go-yaml's text of several lines comes one by one."""
    for each in complaints:
        lines = each.removeprefix(bodies.YAML_ERRORS).split("\n")
        yield from filter(None, map(str.strip, lines))


def _shown(decoded: bodies.Decoded, source: Mapping[str, Any]) -> str:
    """What a patch led to, or a strategic patch itself, as refusals show it."""
    if decoded.patch is not None:
        return gotext.plain(decoded.patch)
    return msgspec.json.encode(source, order="sorted").decode()


def check_type(kind: kinds.Kind, value: Any) -> None:
    """Refuse a body that says it is something else; raises APIStatusError."""
    if not isinstance(value, dict):
        raise kind.cannot_be_handled("json: cannot unmarshal into Go value of type map")
    api_version, name = value.get("apiVersion"), value.get("kind")
    api_version, name = (each if each is not None else "" for each in (api_version, name))
    if not isinstance(api_version, str) or not isinstance(name, str):
        raise kind.cannot_be_handled("apiVersion and kind must be strings")
    if kind.builtin is None:
        _check_custom_type(kind, api_version, name)
    elif (name and name != kind.name) or (api_version and api_version != kind.api_version):
        version = api_version or kind.api_version
        why = _why_not(kind, version, name or kind.name)
        raise failures.bad_request(
            f'{name or kind.name} in version "{version.rpartition("/")[2]}" cannot be handled as '
            f"a {kind.name}: {why}"
        )


def _why_not(kind: kinds.Kind, version: str, name: str) -> str:
    if version == kind.api_version and builtins.find(kind.resource.group, name):
        return f"converting (v1.{name}) to (core.{kind.name}): unknown conversion"
    scheme = '"pkg/api/legacyscheme/scheme.go:30"'
    return f'no kind "{name}" is registered for version "{version}" in scheme {scheme}'


def _check_custom_type(kind: kinds.Kind, api_version: str, name: str) -> None:
    if not name:
        raise kind.cannot_be_handled("unmarshalerDecoder: Object 'Kind' is missing")
    if not api_version:
        raise failures.internal(
            "Object 'apiVersion' is missing in 'object has no apiVersion field'"
        )
    if api_version != kind.api_version:
        raise failures.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({kind.api_version})"
        )


def check_name(obj: Mapping[str, Any], name: str) -> None:
    """Refuse an object whose name is not the path's; raises APIStatusError."""
    own = obj["metadata"].get("name", "")
    if not own:
        raise failures.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be "
            "provided"
        )
    if own != name:
        raise failures.bad_request(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
        )


def check_same_object(
    kind: kinds.Kind, obj: Mapping[str, Any], old: Mapping[str, Any], record: records.Record
) -> None:
    """Refuse an update meant for another object of that name; raises APIStatusError."""
    uid, held = obj["metadata"].get("uid", ""), old["metadata"].get("uid", "")
    if uid and uid != held:
        raise failures.conflict(
            kind.resource,
            record.key.name,
            "StorageError: invalid object, Code: 4, "
            f"Key: {_registry_key(kind, record.key)}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held}",
        )


def _registry_key(kind: kinds.Kind, key: records.Key) -> str:
    """Where kube-apiserver would have the object in etcd; its messages say so."""
    group = kind.resource.group if kind.resource.is_custom else ""
    parts = (group, kind.resource.plural, key.namespace, key.name)
    return "/registry/" + "/".join(part for part in parts if part)


def check_intent(kind: kinds.Kind, intent: Any, name: str) -> None:
    """Refuse an apply patch that names another kind or object; raises APIStatusError."""
    if not isinstance(intent, dict):
        raise failures.bad_request("error decoding YAML: the patch is no object")
    version = intent.get("apiVersion") or ""
    if version != kind.api_version:
        raise failures.bad_request(
            "Incorrect version specified in apply patch. Specified patch version: "
            f"{version}, expected: {kind.api_version}"
        )
    metadata = intent.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise failures.bad_request("error decoding YAML: metadata is no object")
    if metadata.get("managedFields"):
        raise failures.bad_request("metadata.managedFields must be nil")
    own = metadata.get("name")
    if own is not None and own != name:
        raise failures.bad_request(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
        )
    if intent.get("kind") != kind.name:
        raise failures.bad_request(
            f"failed to merge config: expected {kind.name}, but got {intent.get('kind')}"
        )
