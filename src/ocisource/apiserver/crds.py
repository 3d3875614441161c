"""CustomResourceDefinitions at work: the resource that a definition makes, and its conditions.

A definition serves from the moment it is stored, so its conditions are set in the same write.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.forms import table
from ocisource.apiserver.schemas import schema
from ocisource.wire import timestamps

_RULES = "x-kubernetes-validations"
NAME = resources.GroupResource("customresourcedefinitions.apiextensions.k8s.io")
Object = dict[str, Any]


def resource_of(crd: Mapping[str, Any]) -> resources.Resource | None:
    """What a stored definition serves; None unless it is established."""
    if not is_established(crd):
        return None
    spec = crd["spec"]
    names = crd["status"]["acceptedNames"]
    served = sorted(
        (version for version in spec["versions"] if version.get("served")),
        key=lambda version: resources.version_priority(version["name"]),
    )
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    if not served:
        return None
    versions = tuple(_version(spec, version) for version in served)
    return resources.Resource(
        group=spec["group"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=names["kind"],
        list_kind=names.get("listKind", ""),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        is_namespaced=spec["scope"] == "Namespaced",
        versions=versions,
        storage_version=storage,
        subresources=("status",) if any(version.has_status for version in versions) else (),
        is_custom=True,
        has_generation=True,
    )


def is_established(crd: Mapping[str, Any]) -> bool:
    """Whether the definition's conditions say that it serves."""
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(
        (each.get("type"), each.get("status")) == ("Established", "True") for each in conditions
    )


def establish(crd: Object, *, registry: resources.Registry, now: float) -> None:
    """Accept the names of a definition and set its conditions, in place."""
    spec, status = crd["spec"], crd["status"]
    problem = _name_conflict(spec, registry)
    if problem is None:
        accepted = {key: value for key, value in spec["names"].items() if value}
        status["acceptedNames"] = accepted
        conditions = [
            ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            (
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ]
    else:
        reason, message = problem
        conditions = [("NamesAccepted", "False", reason, message)]
        if not is_established(crd):
            text = "not all names are accepted"
            conditions.append(("Established", "False", "NotAccepted", text))
    for each in conditions:
        _set_condition(status, *each, now=now)


def unserved(crd: Mapping[str, Any]) -> list[str]:
    """What a definition asks for and this server keeps without doing it, as warnings.

    Whoever relies on it has to hear of it when the definition is written, not when a wrong object
    has passed.
    """
    told: list[str] = []
    for at, version in enumerate(crd["spec"]["versions"]):
        path = f"spec.versions[{at}]"
        if "scale" in (version.get("subresources") or {}):
            told.append(f"{path}.subresources.scale: the scale subresource is not served here")
        schema_path = f"{path}.schema.openAPIV3Schema"
        source = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        rules = list(_rules(source, schema_path))
        if rules:
            more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
            told.append(
                f"{rules[0]}{more}: rules in CEL are kept but not evaluated here; objects that "
                "break them are accepted"
            )
    return told


def _rules(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Where a schema has rules in CEL, from the outside in."""
    if node.get(_RULES):
        yield f"{path}.{_RULES}"
    for name, inner in (node.get("properties") or {}).items():
        yield from _rules(inner, f"{path}.properties[{name}]")
    for field in ("items", "additionalProperties"):
        if isinstance(inner := node.get(field), Mapping):
            yield from _rules(inner, f"{path}.{field}")


def _version(spec: Mapping[str, Any], version: Mapping[str, Any]) -> resources.Version:
    source = (version.get("schema") or {}).get("openAPIV3Schema")
    name = version["name"]
    warning = ""
    if version.get("deprecated"):
        warning = version.get("deprecationWarning") or _deprecation(spec, name)
    return resources.Version(
        name=name,
        columns=table.Columns.from_crd(version),
        structural=schema.Structural(source) if source is not None else None,
        openapi=source,
        has_status="status" in (version.get("subresources") or {}),
        warning=warning,
        selectable=tuple(
            field["jsonPath"].removeprefix(".") for field in version.get("selectableFields") or ()
        ),
    )


def _deprecation(spec: Mapping[str, Any], name: str) -> str:
    """The warning of a deprecated version, which names the newest one to use instead."""
    group, kind = spec["group"], spec["names"]["kind"]
    newer = [
        each["name"]
        for each in spec["versions"]
        if each.get("served")
        and not each.get("deprecated")
        and resources.version_priority(each["name"]) < resources.version_priority(name)
    ]
    text = f"{group}/{name} {kind} is deprecated"
    if not newer:
        return text
    return f"{text}; use {group}/{min(newer, key=resources.version_priority)} {kind}"


def _name_conflict(spec: Mapping[str, Any], registry: resources.Registry) -> tuple[str, str] | None:
    """Why the names cannot be had: reason and message of apiextensions' naming controller.

    It looks at one name after the other, and tells of the last that is taken.
    """
    names = spec["names"]
    plural = names.get("plural", "")
    others = [each for each in registry if each.group == spec["group"] and each.plural != plural]
    words = {word for each in others for word in (each.plural, each.singular, *each.short_names)}
    kinds = {kind for each in others for kind in (each.kind, each.list_name)}
    wanted = (
        ("PluralConflict", (plural,), words),
        ("SingularConflict", (names.get("singular", ""),), words),
        ("ShortNamesConflict", tuple(names.get("shortNames") or ()), words),
        ("KindConflict", (names.get("kind", ""),), kinds),
        ("ListKindConflict", (names.get("listKind", ""),), kinds),
    )
    problem = None
    for reason, called, taken in wanted:
        for name in called:
            if name and name in taken:
                problem = reason, f'"{name}" is already in use'
    return problem


def _set_condition(
    status: Object, kind: str, value: str, reason: str, message: str, *, now: float
) -> None:
    conditions = status.setdefault("conditions", None) or []
    held = next((each for each in conditions if each.get("type") == kind), None)
    changed = timestamps.format_seconds(now)
    if held is not None and held.get("status") == value:
        changed = held.get("lastTransitionTime", changed)
    new = {
        "lastTransitionTime": changed,
        "message": message,
        "reason": reason,
        "status": value,
        "type": kind,
    }
    status["conditions"] = [new if each.get("type") == kind else each for each in conditions] + (
        [] if held is not None else [new]
    )
