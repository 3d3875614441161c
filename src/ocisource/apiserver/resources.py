"""What the API serves: resources, their versions, and the registry that finds them by path.

Built-in kinds stand in the registry from the start; those of CustomResourceDefinitions come and
go while the server runs. Values only: nothing here reads or writes an object.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NewType

from ocisource.apiserver.forms import table
from ocisource.apiserver.schemas import schema as schemas

GroupResource = NewType("GroupResource", str)
"""``plural`` for the core group, ``plural.group`` otherwise: how objects are filed and named."""

ALL_VERBS = (
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
)
STATUS_VERBS = ("get", "patch", "update")


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """One served version of a resource.

    ``openapi`` is the schema as written (for the OpenAPI documents), ``structural`` the same
    compiled, absent where any object will do. ``warning`` is sent with each answer of a
    deprecated version.
    """

    name: str
    columns: table.Columns
    structural: schemas.Structural | None = None
    openapi: Mapping[str, Any] | None = None
    has_status: bool = False
    warning: str = ""
    selectable: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A resource; ``versions`` are the served ones, the preferred one first."""

    group: str
    plural: str
    singular: str
    kind: str
    versions: tuple[Version, ...]
    storage_version: str
    is_namespaced: bool = True
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    is_custom: bool = False
    has_generation: bool = False
    subresources: tuple[str, ...] = ()
    alias_of: "Resource | None" = None

    @property
    def qualified(self) -> GroupResource:
        """``configmaps``, ``widgets.example.com``: how messages call it."""
        return GroupResource(f"{self.plural}.{self.group}" if self.group else self.plural)

    @property
    def stored_as(self) -> GroupResource:
        """Under what its objects are stored; events of both groups are the same objects."""
        return self.alias_of.stored_as if self.alias_of else self.qualified

    @property
    def list_name(self) -> str:
        """The kind of its lists."""
        return self.list_kind or f"{self.kind}List"

    def version(self, name: str) -> Version | None:
        """The served version of that name."""
        return next((version for version in self.versions if version.name == name), None)

    def api_version(self, version: str) -> str:
        """``v1`` for the core group, ``group/version`` otherwise."""
        return f"{self.group}/{version}" if self.group else version


class Registry:
    """The resources served now; ``generation`` grows with every change."""

    def __init__(self, builtins: Iterable[Resource] = ()) -> None:
        self._by_name: dict[GroupResource, Resource] = {}
        self.generation = 0
        for resource in builtins:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve a resource, in place of one of the same name."""
        self._by_name[resource.qualified] = resource
        self.generation += 1

    def remove(self, name: GroupResource) -> None:
        """Stop serving a resource."""
        if self._by_name.pop(name, None) is not None:
            self.generation += 1

    def get(self, name: GroupResource) -> Resource | None:
        """The resource filed under a name."""
        return self._by_name.get(name)

    def find(self, group: str, version: str, plural: str) -> tuple[Resource, Version] | None:
        """What a path asks for."""
        name = GroupResource(f"{plural}.{group}" if group else plural)
        resource = self._by_name.get(name)
        served = resource.version(version) if resource else None
        return (resource, served) if resource and served else None

    def find_kind(self, group: str, kind: str) -> Resource | None:
        """The resource of a kind."""
        return next(
            (each for each in self._by_name.values() if (each.group, each.kind) == (group, kind)),
            None,
        )

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._by_name.values()))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group to its versions, best first, the core group under ``""``."""
        found: dict[str, set[str]] = {}
        for resource in self._by_name.values():
            found.setdefault(resource.group, set()).update(each.name for each in resource.versions)
        return {group: tuple(sorted(names, key=version_priority)) for group, names in found.items()}

    def has_group_version(self, group: str, version: str) -> bool:
        """Whether anything is served there."""
        return any(
            resource.group == group and resource.version(version)
            for resource in self._by_name.values()
        )


def version_priority(name: str) -> tuple[int, int, int, str]:
    """Sort key that puts v2 before v1 before v1beta1 before v1alpha1 before anything else.

    CustomResourceDefinition documentation, "Version priority".
    """
    ranks = {"": 0, "beta": 1, "alpha": 2}
    body = name.removeprefix("v")
    major = body[: len(body) - len(body.lstrip("0123456789"))]
    rest = body[len(major) :]
    stage = rest.rstrip("0123456789")
    minor = rest[len(stage) :]
    is_kube_like = name.startswith("v") and major and stage in ranks and bool(stage) == bool(minor)
    if not is_kube_like:
        return (9, 0, 0, name)
    return (ranks[stage], -int(major), -int(minor or "0"), name)
