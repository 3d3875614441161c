"""What a request's resource and version mean for an object: how it is read, completed and checked.

Built-in kinds bring their own rules (``builtins``); custom ones follow their CRD's schema. Both
look the same from here on, so that the verbs need not tell them apart.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from ocisource import errors
from ocisource.apiserver import resources
from ocisource.apiserver.builtin import builtins, decoding, eventversions, objectmeta
from ocisource.apiserver.wording import failures, fielderrors

Object = dict[str, Any]

_EVENTS = resources.GroupResource("events.events.k8s.io")


class Rules(Protocol):
    """The rules of one kind."""

    def decode(self, obj: Mapping[str, Any]) -> tuple[Object, list[str]]:
        """The object as it is kept, and the paths of fields nobody knows.

        Raises InvalidInputError.
        """

    def prepare(self, obj: Object, old: Object | None) -> None:
        """Fill in what the server decides."""

    def check(self, obj: Object, old: Object | None) -> list[fielderrors.FieldError]:
        """What is wrong with the object, or with its change from ``old``."""


class CustomRules:
    """The rules of a kind that a CRD describes."""

    def __init__(self, resource: resources.Resource, version: resources.Version) -> None:
        self._resource = resource
        self._structural = version.structural

    def decode(self, obj: Mapping[str, Any]) -> tuple[Object, list[str]]:
        """Coerce the metadata, drop unknown fields, fill in the schema's defaults."""
        decoded = dict(obj)
        if not isinstance(obj.get("metadata"), dict | None):
            raise errors.InvalidInputError(
                f"json: cannot unmarshal {decoding.json_kind(obj['metadata'])} into Go struct "
                "field .metadata of type v1.ObjectMeta"
            )
        decoded["metadata"], unknown = objectmeta.coerce(obj.get("metadata"))
        if self._structural is not None:
            unknown = unknown + self._structural.prune(decoded)
            self._structural.default(decoded)
        return decoded, unknown

    def prepare(self, obj: Object, old: Object | None) -> None:  # noqa: ARG002 - the shape of Rules
        """Fill in the defaults of what is written apart, such as a new object's status.

        What the writer said of it was dropped; kube-apiserver fills it in when it reads what it
        has stored.
        """
        if self._structural is not None:
            self._structural.default(obj)

    def check(self, obj: Object, old: Object | None) -> list[fielderrors.FieldError]:
        """Metadata, then the schema."""
        if old is None:
            found = objectmeta.validate(obj["metadata"], is_namespaced=self._resource.is_namespaced)
        else:
            found = objectmeta.validate_update(obj["metadata"], old["metadata"])
        if obj.get("kind") != self._resource.kind:
            text = f"must be {self._resource.kind}"
            found.append(fielderrors.invalid("kind", obj.get("kind", ""), text))
        if self._structural is not None:
            found.extend(self._structural.validate(obj))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A resource in one of its versions, with its rules."""

    resource: resources.Resource
    version: resources.Version
    rules: Rules

    @classmethod
    def of(cls, resource: resources.Resource, version: resources.Version) -> "Kind":
        """The kind of a resource's version."""
        builtin = None
        if not resource.is_custom:
            builtin = builtins.find(resource.group, resource.kind)
        return cls(resource, version, builtin or CustomRules(resource, version))

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.resource.kind

    @property
    def api_version(self) -> str:
        """What objects of this version say in ``apiVersion``."""
        return self.resource.api_version(self.version.name)

    @property
    def builtin(self) -> builtins.Builtin | None:
        """The built-in kind, if it is one."""
        return self.rules if isinstance(self.rules, builtins.Builtin) else None

    @property
    def template(self) -> Object:
        """What the kind writes when nothing is set: new objects are compared with it."""
        return self.builtin.template if self.builtin is not None else {}

    @property
    def can_create_by_put(self) -> bool:
        """Whether PUT makes an object that is not there (events and leases)."""
        return self.resource.plural in {"events", "leases"} and not self.resource.is_custom

    @property
    def needs_revision(self) -> bool:
        """Whether an update must say which revision it is based on."""
        return self.builtin is None or not self.builtin.has_unconditional_update

    @property
    def keeps_status_apart(self) -> bool:
        """Whether status is written by way of its subresource alone."""
        return self.version.has_status

    def read(self, stored: Object) -> Object:
        """A stored object as this version shows it."""
        obj = {"apiVersion": self.api_version, "kind": self.name, **stored}
        if self.resource.qualified == _EVENTS:
            return {**eventversions.from_core(obj), "kind": self.name}
        return obj

    def write(self, obj: Object) -> Object:
        """An object of this version as it is stored."""
        return eventversions.to_core(obj) if self.resource.qualified == _EVENTS else obj

    @property
    def is_stored_form(self) -> bool:
        """Whether stored bodies can be sent as they are."""
        return self.resource.qualified != _EVENTS

    def cannot_be_handled(self, why: str) -> errors.APIStatusError:
        """The refusal of an object that is none of this kind."""
        return failures.bad_request(
            f'{self.name} in version "{self.version.name}" cannot be handled as a {self.name}: '
            f"{why}"
        )

    def invalid(
        self, name: str, found: list[fielderrors.FieldError], *, kind: str = ""
    ) -> errors.APIStatusError:
        """The refusal of an object that breaks rules."""
        return failures.invalid(self.resource.group, kind or self.name, name, found)
