"""What a CustomResourceDefinition must satisfy: names, versions, columns, schemas.

The rules and texts are apiextensions' ``ValidateCustomResourceDefinition``. What all versions
share is reported at the place the older API had it, as kube-apiserver does: a schema under
``spec.validation``, columns under ``spec.additionalPrinterColumns``.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocisource.apiserver.builtin import objectmeta
from ocisource.apiserver.schemas import structuralrules
from ocisource.apiserver.wording import fielderrors, gotext
from ocisource.wire import names

FieldError = fielderrors.FieldError
Object = dict[str, Any]
Version = Mapping[str, Any]

_SCOPES = ("Cluster", "Namespaced")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
)
_MAX_WARNING = 256  # bytes of a deprecation warning
# The older API's names of a conversion webhook's members, which the messages still use.
_WEBHOOK = {
    "clientConfig": "webhookClientConfig",
    "conversionReviewVersions": "conversionReviewVersions",
}
_MIXED_CASE = "may have mixed case, but should otherwise match: "


def default(obj: Object) -> None:
    """Fill in names, conversion, and the stored versions of a definition that has none."""
    spec = obj["spec"]
    called = spec["names"]
    if called.get("kind"):
        called.setdefault("singular", called["kind"].lower())
        called.setdefault("listKind", f"{called['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if not obj["status"].get("storedVersions"):
        obj["status"]["storedVersions"] = _storage_versions(obj) or None


def prepare(obj: Object, old: Object | None) -> None:
    """A new definition has no status; storage versions are remembered."""
    if old is not None:
        obj["status"] = copy.deepcopy(old["status"])
    else:
        obj["status"] = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": None,
        }
    stored = list(obj["status"].get("storedVersions") or ())
    stored.extend(name for name in _storage_versions(obj) if name not in stored)
    obj["status"]["storedVersions"] = stored or None


def _storage_versions(obj: Object) -> list[str]:
    versions = obj["spec"].get("versions") or ()
    return [version.get("name", "") for version in versions if version.get("storage")]


def check(obj: Object, old: Object | None) -> list[FieldError]:
    """What is wrong with a prepared definition, or with its change."""
    spec = obj["spec"]
    found: list[FieldError] = []
    if old is None:
        wanted = f"{spec['names'].get('plural', '')}.{spec.get('group', '')}"
        name = obj["metadata"].get("name", "")
        if name != wanted:
            text = 'must be spec.names.plural+"."+spec.group'
            found.append(fielderrors.invalid("metadata.name", name, text))
    found.extend(_check_group(spec.get("group", "")))
    found.extend(_check_scope(spec.get("scope", "")))
    found.extend(_check_versions(spec))
    found.extend(_check_names(spec["names"], "spec.names"))
    found.extend(_check_shared(spec.get("versions") or ()))
    found.extend(_check_conversion(spec.get("conversion") or {}))
    if spec.get("preserveUnknownFields"):
        text = (
            "cannot set to true, set x-preserve-unknown-fields to true in spec.versions[*].schema "
            "instead"
        )
        found.append(fielderrors.invalid("spec.preserveUnknownFields", True, text))
    if old is not None:
        found.extend(_check_fixed(spec, old))
    found.extend(_check_stored(obj))
    return found


def _check_group(group: str) -> Iterator[FieldError]:
    if not group:
        yield fielderrors.required("spec.group")
    elif texts := names.dns_subdomain_errors(group):
        yield fielderrors.invalid("spec.group", group, ",".join(texts))
    elif "." not in group:
        text = "should be a domain with at least one dot"
        yield fielderrors.invalid("spec.group", group, text)


def _check_scope(scope: str) -> Iterator[FieldError]:
    if not scope:
        yield fielderrors.required("spec.scope")
    elif scope not in _SCOPES:
        yield fielderrors.not_supported("spec.scope", scope, _SCOPES)


def _check_versions(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    versions: Sequence[Version] = spec.get("versions") or ()
    shared = _shared(versions, "schema") is not None
    for at, version in enumerate(versions):
        path = fielderrors.index("spec.versions", at)
        name = version.get("name", "")
        if texts := names.dns1035_label_errors(name):
            yield fielderrors.invalid(f"{path}.name", name, ",".join(texts))
        yield from _check_deprecation(version, path)
        if not _schema(version):
            text = "schemas are required"
            yield fielderrors.required(f"{path}.schema.openAPIV3Schema", text)
        elif not shared:
            yield from structuralrules.check(_schema(version), f"{path}.schema.openAPIV3Schema")
        if _shared(versions, "additionalPrinterColumns") is None:
            yield from _check_columns(version, f"{path}.additionalPrinterColumns")
        if _shared(versions, "subresources") is None:
            yield from _check_subresources(version, f"{path}.subresources")
    if len({version.get("name", "") for version in versions}) != len(versions):
        yield _bad_versions(spec, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield _bad_versions(spec, "must have exactly one version marked as storage version")
    first = versions[0].get("name", "") if versions else ""
    if first and (texts := names.dns1035_label_errors(first)):
        yield fielderrors.invalid("spec.version", first, ",".join(texts))


def _bad_versions(spec: Mapping[str, Any], detail: str) -> FieldError:
    versions = spec.get("versions")
    kind = "[]apiextensions.CustomResourceDefinitionVersion"
    shown = f"{kind}(nil)" if versions is None else f"{kind}{{{', '.join(map(_go, versions))}}}"
    message = f"Invalid value: {shown}: {detail}"
    return FieldError("spec.versions", fielderrors.INVALID, message)


def _go(version: Version) -> str:
    """A version in Go's syntax; members that all versions share are nil there."""
    members = (
        f"Name:{gotext.quote(version.get('name', ''))}",
        f"Served:{gotext.plain(bool(version.get('served')))}",
        f"Storage:{gotext.plain(bool(version.get('storage')))}",
        f"Deprecated:{gotext.plain(bool(version.get('deprecated')))}",
        "DeprecationWarning:(*string)(nil)",
        "Schema:(*apiextensions.CustomResourceValidation)(nil)",
        "Subresources:(*apiextensions.CustomResourceSubresources)(nil)",
        "AdditionalPrinterColumns:[]apiextensions.CustomResourceColumnDefinition(nil)",
    )
    return f"apiextensions.CustomResourceDefinitionVersion{{{', '.join(members)}}}"


def _schema(version: Version) -> Mapping[str, Any]:
    shown: Mapping[str, Any] | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return {"type": ""} | dict(shown) if shown is not None else {}


def _shared(versions: Sequence[Version], member: str) -> Any:
    """What all versions say alike, or None."""
    said = [version.get(member) for version in versions]
    return said[0] if said and all(each == said[0] for each in said) else None


def _check_shared(versions: Sequence[Version]) -> Iterator[FieldError]:
    if not versions:
        return
    if _shared(versions, "schema") is not None and _schema(versions[0]):
        yield from structuralrules.check(_schema(versions[0]), "spec.validation.openAPIV3Schema")
    if _shared(versions, "subresources") is not None:
        yield from _check_subresources(versions[0], "spec.subresources")
    if _shared(versions, "additionalPrinterColumns") is not None:
        yield from _check_columns(versions[0], "spec.additionalPrinterColumns")


def _check_deprecation(version: Version, path: str) -> Iterator[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    path = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        yield fielderrors.invalid(path, warning, "can only be set for deprecated versions")
    if len(warning.encode()) > _MAX_WARNING:
        text = f"must be <= {_MAX_WARNING} characters long"
        yield fielderrors.invalid(path, warning, text)
    if not warning:
        yield fielderrors.invalid(path, warning, "must not be an empty string")
    for at, char in enumerate(warning):
        if not char.isprintable():
            text = (
                "must only contain printable UTF-8 characters; non-printable character found at "
                f"index {at}"
            )
            yield fielderrors.invalid(path, warning, text)
            break


def _check_columns(version: Version, path: str) -> Iterator[FieldError]:
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        here = fielderrors.index(path, at)
        if not column.get("name"):
            yield fielderrors.required(f"{here}.name")
        kind, form = column.get("type", ""), column.get("format", "")
        types = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            yield fielderrors.required(f"{here}.type", types)
        elif kind not in _COLUMN_TYPES:
            yield fielderrors.invalid(f"{here}.type", kind, types)
        if form and form not in _COLUMN_FORMATS:
            text = f"must be one of {','.join(_COLUMN_FORMATS)}"
            yield fielderrors.invalid(f"{here}.format", form, text)
        if not column.get("jsonPath"):
            yield fielderrors.required(f"{here}.JSONPath")
        else:
            yield from _check_path(column["jsonPath"], f"{here}.JSONPath")


def _check_path(text: str, path: str) -> Iterator[FieldError]:
    if not text.startswith("."):
        yield fielderrors.invalid(path, text, "must be a simple json path starting with .")


def _check_subresources(version: Version, path: str) -> Iterator[FieldError]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    rules = (
        ("specReplicasPath", ".spec", True),
        ("statusReplicasPath", ".status", True),
        ("labelSelectorPath", ".status", False),
    )
    for name, root, is_required in rules:
        here, value = f"{path}.scale.{name}", scale.get(name) or ""
        roots = (".spec", ".status") if name == "labelSelectorPath" else (root,)
        if not value:
            if is_required:
                yield fielderrors.required(here)
        elif not value.startswith("."):
            yield fielderrors.invalid(here, value, "must be a simple json path starting with .")
        elif not any(value.startswith(f"{each}.") for each in roots):
            text = f"should be a json path under {' or '.join(roots)}"
            yield fielderrors.invalid(here, value, text)


def _check_names(called: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for member, is_mixed in (
        ("plural", False),
        ("singular", False),
        ("kind", True),
        ("listKind", True),
    ):
        name = called.get(member, "")
        if not name:
            yield fielderrors.required(f"{path}.{member}")
        elif texts := names.dns1035_label_errors(name.lower() if is_mixed else name):
            text = ",".join(texts)
            shown = f"{_MIXED_CASE}{text}" if is_mixed else text
            yield fielderrors.invalid(f"{path}.{member}", name, shown)
    for member in ("shortNames", "categories"):
        for at, name in enumerate(called.get(member) or ()):
            if texts := names.dns1035_label_errors(name):
                here = fielderrors.index(f"{path}.{member}", at)
                yield fielderrors.invalid(here, name, ",".join(texts))
    if called.get("kind") and called.get("kind") == called.get("listKind"):
        text = "kind and listKind may not be the same"
        yield fielderrors.invalid(f"{path}.listKind", called["listKind"], text)


def _check_conversion(conversion: Mapping[str, Any]) -> Iterator[FieldError]:
    strategy, path = conversion.get("strategy", ""), "spec.conversion"
    webhook = conversion.get("webhook")
    if not strategy:
        yield fielderrors.required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield fielderrors.not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        # Nothing here calls out: say so instead of serving unconverted objects.
        text = "conversion by a webhook is not available in this server"
        yield fielderrors.forbidden(f"{path}.strategy", text)
    elif webhook is not None:
        text = "should not be set when strategy is not set to Webhook"
        for member, older in _WEBHOOK.items():
            if webhook.get(member):
                yield fielderrors.forbidden(f"{path}.{older}", text)


def _check_fixed(spec: Mapping[str, Any], old: Object) -> Iterator[FieldError]:
    """What may not change: the group and plural always, scope and kind once established."""
    before = old["spec"]
    is_established = any(
        each.get("type") == "Established" and each.get("status") == "True"
        for each in old["status"].get("conditions") or ()
    )
    rules = (
        ("spec.group", spec.get("group"), before.get("group"), True),
        ("spec.names.plural", spec["names"].get("plural"), before["names"].get("plural"), True),
        ("spec.scope", spec.get("scope"), before.get("scope"), is_established),
        ("spec.names.kind", spec["names"].get("kind"), before["names"].get("kind"), is_established),
    )
    for path, new, was, is_fixed in rules:
        if is_fixed and new != was:
            yield fielderrors.invalid(path, new, objectmeta.IMMUTABLE)


def _check_stored(obj: Object) -> Iterator[FieldError]:
    stored = obj["status"].get("storedVersions") or []
    path = "status.storedVersions"
    versions = obj["spec"].get("versions") or ()
    if not stored:
        message = "Invalid value: []string(nil): must have at least one stored version"
        yield FieldError(path, fielderrors.INVALID, message)
    known = [version.get("name", "") for version in versions]
    for at, name in enumerate(stored):
        if name not in known:
            text = "must appear in spec.versions"
            yield fielderrors.invalid(fielderrors.index(path, at), name, text)
