"""Kept: which fields of a status the installed CustomResourceDefinition keeps.

An API server drops what its schema does not name. Where Flux's own definition is installed that
may be ``artifact.checksum`` or ``contentConfigChecksum``: compared against what we want, such a
field would seem to be missing for ever, and every run would write. So only what is kept is
compared and sent.

Example::

    kept = await kept.read(api, resource)
    wanted = kept.status(status)
"""

import typing
from collections.abc import Iterator, Mapping

import msgspec

from ocisource import errors, logs
from ocisource.api import artifact as artifacts
from ocisource.api import conditions, ocirepository
from ocisource.kube import resources
from ocisource.reconciler import declared

_DEFINITIONS: typing.Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PRESERVE: typing.Final = "x-kubernetes-preserve-unknown-fields"
_KIND: typing.Final = "x-kubernetes-group-version-kind"
_OBSERVED_CONFIG: typing.Final = frozenset({"observedIgnore", "observedLayerSelector"})
# 403: no right to look; 404: the document is not served.
_UNREADABLE: typing.Final = frozenset({403, 404})

Schema = Mapping[str, typing.Any]

_log = logs.get("definition")

# Every field that is ever written, each with a value that is not its default.
_SPECIMEN: typing.Final = ocirepository.Status(
    observed_generation=1,
    conditions=(
        conditions.Condition(
            type="Ready",
            status="True",
            reason="Succeeded",
            message="stored",
            last_transition_time="2022-06-14T11:23:36Z",
            observed_generation=1,
        ),
    ),
    url="http://host/latest",
    artifact=artifacts.Artifact(
        path="path",
        url="http://host/path",
        revision="revision",
        checksum="checksum",
        digest="sha256:digest",
        last_update_time="2022-06-14T11:23:36Z",
        size=1,
        metadata={"key": "value"},
    ),
    last_handled_reconcile_at="now",
    content_config_checksum="sha256:checksum",
    observed_ignore="*.md",
    observed_layer_selector=ocirepository.LayerSelector(media_type="a/b", operation="copy"),
)


class Documents(typing.Protocol):
    """Reads any JSON document of the Kubernetes API."""

    async def document(self, path: str) -> Mapping[str, typing.Any]:
        """The document; raises APIStatusError."""
        ...


class Kept:
    """What is kept of a status; ``schema`` is the structural schema of the status, if known."""

    def __init__(self, schema: Schema | None = None) -> None:
        self.dropped: tuple[str, ...] = ()
        self.has_observed_config = True
        if schema is not None:
            whole = msgspec.to_builtins(_SPECIMEN)
            remaining = _pruned(whole, schema)
            self.dropped = tuple(sorted(_missing(whole, remaining)))
            self.has_observed_config = remaining.keys() >= _OBSERVED_CONFIG
        self._schema = schema if self.dropped else None

    def status(self, status: ocirepository.Status) -> ocirepository.Status:
        """The status as it will be once it is written and read again."""
        if self._schema is None:
            return status
        return msgspec.convert(
            _pruned(msgspec.to_builtins(status), self._schema), ocirepository.Status
        )

    def comparable(
        self, old: ocirepository.Status, new: ocirepository.Status
    ) -> ocirepository.Status:
        """The old status with what could not be kept in it taken from the new one."""
        if self.has_observed_config:
            return old
        return msgspec.structs.replace(
            old,
            observed_ignore=new.observed_ignore,
            observed_layer_selector=new.observed_layer_selector,
        )

    def is_content_config_changed(self, obj: ocirepository.OCIRepository) -> bool:
        """Whether ignore rules or layer selector differ from those of the stored artifact.

        Where the definition does not keep the observed ones, any new generation may have changed
        them.
        """
        if self.has_observed_config:
            return declared.is_content_config_changed(obj)
        return obj.status.observed_generation != obj.metadata.generation


EVERYTHING: typing.Final = Kept()


async def read(api: Documents, resource: resources.Resource[ocirepository.OCIRepository]) -> Kept:
    """What the cluster keeps of a status of this resource.

    Asked of the definition and, where that may not be read, of the OpenAPI document, which
    everybody may read on servers that publish it. Where neither can be had, all is taken for kept:
    the worst of it is a write more at each run. Raises APIStatusError and TransportError.
    """
    try:
        schema = await _from_definition(api, resource)
        if schema is None:
            schema = await _from_openapi(api, resource)
    except errors.APIStatusError as error:
        if error.code not in _UNREADABLE:
            raise
        schema = None
    if schema is None:
        _log.info("the definition may not be read: every field of status is taken for kept")
        return EVERYTHING
    found = Kept(schema)
    if found.dropped:
        _log.info("the installed definition keeps no such fields of status", fields=found.dropped)
    return found


async def _from_definition(
    api: Documents, resource: resources.Resource[ocirepository.OCIRepository]
) -> Schema | None:
    path = f"{_DEFINITIONS}/{resource.plural}.{resource.group}"
    try:
        definition = await api.document(path)
    except errors.APIStatusError as error:
        if error.code not in _UNREADABLE:
            raise
        return None
    for version in definition["spec"]["versions"]:
        if version["name"] == resource.version:
            return _status_of((version.get("schema") or {}).get("openAPIV3Schema"))
    return None


async def _from_openapi(
    api: Documents, resource: resources.Resource[ocirepository.OCIRepository]
) -> Schema | None:
    document = await api.document(f"/openapi/v3/apis/{resource.api_version}")
    wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    for schema in (document.get("components") or {}).get("schemas", {}).values():
        if wanted in (schema.get(_KIND) or ()):
            return _status_of(schema)
    return None


def _status_of(schema: Schema | None) -> Schema | None:
    properties = (schema or {}).get("properties") or {}
    found: Schema | None = properties.get("status")
    return found


def _pruned(value: typing.Any, schema: Schema) -> typing.Any:
    """A value without what its structural schema does not name, as an API server does it."""
    if isinstance(value, list | tuple):
        return [_pruned(item, schema.get("items") or {}) for item in value]
    if not isinstance(value, dict):
        return value
    named: Mapping[str, Schema] = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    is_open = bool(schema.get(_PRESERVE)) or others is True
    kept: dict[str, typing.Any] = {}
    for key, item in value.items():
        if key in named:
            kept[key] = _pruned(item, named[key])
        elif isinstance(others, Mapping):
            kept[key] = _pruned(item, others)
        elif is_open:
            kept[key] = item
    return kept


def _missing(whole: typing.Any, remaining: typing.Any, at: str = "") -> Iterator[str]:
    """The paths of what was pruned."""
    if isinstance(whole, list | tuple):
        for old, new in zip(whole, remaining, strict=True):
            yield from _missing(old, new, at)
    elif isinstance(whole, dict):
        for key, item in whole.items():
            path = f"{at}.{key}" if at else key
            if key in remaining:
                yield from _missing(item, remaining[key], path)
            else:
                yield path
