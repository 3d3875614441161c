"""Which kind of object a request is about: its place in the API and its Python type.

::

    /api/v1/namespaces/{namespace}/{plural}/{name}[/{subresource}]              group ""
    /apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}[/{subresource}]

Example::

    >>> SECRETS.path(namespace="apps", name="pull")
    '/api/v1/namespaces/apps/secrets/pull'
"""

import dataclasses
import typing
import urllib.parse

import msgspec

from ocisource import errors
from ocisource.api import meta

T = typing.TypeVar("T")
U = typing.TypeVar("U")

JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Named(typing.Protocol):
    """Whatever has Kubernetes metadata."""

    @property
    def metadata(self) -> meta.ObjectMeta:
        """Name, namespace, uid and version."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Resource(typing.Generic[T]):
    """A kind of object as the API serves it, read as ``model``.

    ``is_metadata_only`` asks the server for ``PartialObjectMetadata``: a Secret's data does not
    cross the wire, but for what kubectl wrote into an annotation, which is dropped on reading.
    """

    group: str
    version: str
    plural: str
    kind: str
    model: type[T]
    is_namespaced: bool = True
    is_metadata_only: bool = False

    @property
    def api_version(self) -> str:
        """``group/version``, or ``version`` alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of a collection or an object; an empty namespace means all of them.

        Raises APIStatusError (not found) for names that a path takes for a way: nothing is called
        so, and whoever stands between us and the API server may follow it.
        """
        if not {name, namespace}.isdisjoint(_WAYS):
            called = name if name in _WAYS else namespace
            raise errors.APIStatusError(
                f'{self.plural} "{called}" not found', code=_NOT_FOUND, reason="NotFound"
            )
        parts = [self.root]
        if self.is_namespaced and namespace:
            parts += ["namespaces", _quote(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_quote(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def metadata_only(self) -> "Resource[meta.PartialObjectMetadata]":
        """The same kind, of which only the metadata is asked for."""
        return Resource(
            group=self.group,
            version=self.version,
            plural=self.plural,
            kind=self.kind,
            model=meta.PartialObjectMetadata,
            is_namespaced=self.is_namespaced,
            is_metadata_only=True,
        )

    def read_as(self, other: type[U]) -> "Resource[U]":
        """The same kind, read as another type."""
        return Resource(
            group=self.group,
            version=self.version,
            plural=self.plural,
            kind=self.kind,
            model=other,
            is_namespaced=self.is_namespaced,
        )


_WAYS = frozenset({".", ".."})
_NOT_FOUND = 404


def _quote(segment: str) -> str:
    return urllib.parse.quote(segment, safe="")


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret; ``data`` is decoded from base64 and stays out of every repr."""

    metadata: meta.ObjectMeta = meta.ObjectMeta()
    type: str = "Opaque"
    data: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        name = f"{self.metadata.namespace}/{self.metadata.name}"
        return f"Secret({name}, type={self.type!r}, keys={sorted(self.data)!r})"


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ServiceAccount and the pull Secrets it names."""

    metadata: meta.ObjectMeta = meta.ObjectMeta()
    image_pull_secrets: tuple[meta.LocalObjectReference, ...] = ()


class ConfigMap(msgspec.Struct, frozen=True, kw_only=True):
    """A ConfigMap's text values."""

    metadata: meta.ObjectMeta = meta.ObjectMeta()
    data: dict[str, str] = msgspec.field(default_factory=dict)


class LeaseSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who holds a Lease and since when; times are RFC 3339 with microseconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A lock among replicas (``coordination.k8s.io/v1``)."""

    metadata: meta.ObjectMeta = meta.ObjectMeta()
    spec: LeaseSpec = LeaseSpec()
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"


class ObjectReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The object that an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""


class EventSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The component that reports an event."""

    component: str = ""
    host: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A core/v1 Event."""

    metadata: meta.ObjectMeta = meta.ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = "Normal"
    source: EventSource = EventSource()
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    count: int = 0
    reporting_component: str = ""
    reporting_instance: str = ""
    api_version: str = "v1"
    kind: str = "Event"


SECRETS: typing.Final = Resource("", "v1", "secrets", "Secret", Secret)
SERVICE_ACCOUNTS: typing.Final = Resource(
    "", "v1", "serviceaccounts", "ServiceAccount", ServiceAccount
)
CONFIG_MAPS: typing.Final = Resource("", "v1", "configmaps", "ConfigMap", ConfigMap)
EVENTS: typing.Final = Resource("", "v1", "events", "Event", Event)
LEASES: typing.Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease)
NAMESPACES: typing.Final = Resource(
    "", "v1", "namespaces", "Namespace", meta.PartialObjectMetadata, is_namespaced=False
)
