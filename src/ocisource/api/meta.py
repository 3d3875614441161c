"""Object metadata, as every Kubernetes object carries it (``metav1.ObjectMeta``).

Only what this project reads is kept; ``managedFields`` in particular is never decoded, because it
is the largest part of a typical object. Structs here and in the modules beside hold no cycles, so
the garbage collector need not know them (``gc=False``): ten thousand are a lot to walk through.
"""

import msgspec


class OwnerReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The object that owns this one."""

    api_version: str
    kind: str
    name: str
    uid: str


class ObjectMeta(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False
):
    """Name, identity, version and bookkeeping of an object; times are RFC 3339 text."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def is_being_deleted(self) -> bool:
        """Whether deletion was asked for and waits for finalizers."""
        return self.deletion_timestamp is not None


class LocalObjectReference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A name in the same namespace."""

    name: str = ""


class PartialObjectMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """An object of which only the metadata was asked for (``meta.k8s.io/v1``)."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
