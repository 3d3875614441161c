"""The kinds the server has from the start, and what it must know of each.

1. ``decode`` reads an object as Go would, with defaults; ``prepare`` fills in what only a write
   decides; ``check`` lists what is wrong.
2. ``resource`` says how the kind is served: names, verbs, columns, schema.
3. ``strategic_merge`` patches a built-in kind with its merge keys.

Example::

    >>> find("", "Secret").resource.qualified
    'secrets'
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.builtin import (
    builtinrules,
    builtintables,
    builtintypes,
    coretypes,
    decoding,
    extensiontypes,
    objectmeta,
    reviewtypes,
    strategicmerge,
)
from ocisource.apiserver.forms import table
from ocisource.apiserver.schemas import definitions, schema
from ocisource.apiserver.wording import fielderrors
from ocisource.wire import names

FieldError = fielderrors.FieldError
Object = dict[str, Any]
DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    **builtintypes.DEFINITIONS,
    **coretypes.DEFINITIONS,
    **extensiontypes.DEFINITIONS,
    **reviewtypes.DEFINITIONS,
}


def _no_defaults(_obj: Object) -> None:
    return None


def _nothing(_obj: Object, _old: Object | None) -> None:
    return None


def _no_errors(_obj: Object, _old: Object | None) -> list[FieldError]:
    return []


@dataclasses.dataclass(frozen=True, slots=True)
class Builtin:
    """One built-in kind; ``definition`` names its OpenAPI definition.

    ``own_default``, ``own_prepare`` and ``own_check`` are the kind's part of ``decode``,
    ``prepare`` and ``check``.
    """

    resource: resources.Resource
    definition: str
    own_default: Callable[[Object], None] = _no_defaults
    own_prepare: Callable[[Object, Object | None], None] = _nothing
    own_check: Callable[[Object, Object | None], list[FieldError]] = _no_errors
    name_rule: objectmeta.NameRule = names.dns_subdomain_errors
    is_meta_checked: bool = True
    has_unconditional_update: bool = True

    @property
    def structural(self) -> schema.Structural:
        """The compiled schema."""
        structural = self.resource.versions[0].structural
        assert structural is not None
        return structural

    def decode(self, obj: Mapping[str, Any]) -> tuple[Object, list[str]]:
        """The object as Go would hold and write it, with defaults, and paths of unknown fields.

        Raises InvalidInputError with the decoder's text for a value of the wrong type.
        """
        decoded, unknown = decoding.decode(obj, self.structural.root)
        self.own_default(decoded)
        return decoded, unknown

    @property
    def template(self) -> Object:
        """What the kind writes when nothing is set: new objects are compared with it."""
        return decoding.decode({}, self.structural.root)[0]

    def prepare(self, obj: Object, old: Object | None) -> None:
        """Fill in what the server decides; ``old`` is the object before, None for a new one."""
        self.own_prepare(obj, old)

    def check(self, obj: Object, old: Object | None) -> list[FieldError]:
        """What is wrong with a prepared object, or with the change from ``old`` to it."""
        found: list[FieldError] = []
        if self.is_meta_checked:
            found.extend(self._check_meta(obj["metadata"], old["metadata"] if old else None))
        found.extend(self.own_check(obj, old))
        return found

    def _check_meta(
        self, new: Mapping[str, Any], old: Mapping[str, Any] | None
    ) -> list[FieldError]:
        if old is not None:
            return objectmeta.validate_update(new, old, needs_known_finalizers=True)
        return objectmeta.validate(
            new,
            is_namespaced=self.resource.is_namespaced,
            name_rule=self.name_rule,
            needs_known_finalizers=True,
        )


def _version(definition: str, columns: table.Columns, *, has_status: bool) -> resources.Version:
    source = DEFINITIONS[definition]
    return resources.Version(
        name="v1",
        columns=columns,
        structural=schema.Structural(source, definitions=DEFINITIONS),
        openapi=source,
        has_status=has_status,
    )


def _resource(
    group: str,
    plural: str,
    kind: str,
    definition: str,
    columns: table.Columns,
    *,
    has_status: bool = False,
    **traits: Any,
) -> resources.Resource:
    return resources.Resource(
        group=group,
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        versions=(_version(definition, columns, has_status=has_status),),
        storage_version="v1",
        **traits,
    )


def _review(group: str, kind: str) -> Builtin:
    """A question that is answered at once and never stored."""
    family = group.partition(".")[0]
    definition = f"io.k8s.api.{family}.v1.{kind}"
    resource = _resource(
        group,
        f"{kind.lower()}s",
        kind,
        definition,
        table.Columns.default(),
        is_namespaced=False,
        verbs=("create",),
    )
    return Builtin(resource, definition, is_meta_checked=False)


_EVENT = _resource(
    "",
    "events",
    "Event",
    f"{builtintypes.CORE}.Event",
    builtintables.EVENT,
    short_names=("ev",),
)

BUILTINS: tuple[Builtin, ...] = (
    Builtin(
        _resource(
            "",
            "configmaps",
            "ConfigMap",
            f"{builtintypes.CORE}.ConfigMap",
            builtintables.CONFIG_MAP,
            short_names=("cm",),
        ),
        f"{builtintypes.CORE}.ConfigMap",
        own_check=builtinrules.check_config_map,
    ),
    Builtin(
        _EVENT,
        f"{builtintypes.CORE}.Event",
        own_check=builtinrules.check_event,
        is_meta_checked=False,
    ),
    Builtin(
        _resource(
            "",
            "namespaces",
            "Namespace",
            f"{builtintypes.CORE}.Namespace",
            builtintables.NAMESPACE,
            is_namespaced=False,
            has_status=True,
            short_names=("ns",),
            # A namespace's contents go with it, so many are not deleted at once.
            verbs=tuple(verb for verb in resources.ALL_VERBS if verb != "deletecollection"),
            subresources=("finalize", "status"),
        ),
        f"{builtintypes.CORE}.Namespace",
        own_default=builtinrules.default_namespace,
        own_prepare=builtinrules.prepare_namespace,
        own_check=builtinrules.check_namespace,
        name_rule=names.dns_label_errors,
    ),
    Builtin(
        _resource("", "secrets", "Secret", f"{builtintypes.CORE}.Secret", builtintables.SECRET),
        f"{builtintypes.CORE}.Secret",
        own_default=builtinrules.default_secret,
        own_check=builtinrules.check_secret,
    ),
    Builtin(
        _resource(
            "",
            "serviceaccounts",
            "ServiceAccount",
            f"{builtintypes.CORE}.ServiceAccount",
            builtintables.SERVICE_ACCOUNT,
            short_names=("sa",),
            subresources=("token",),
        ),
        f"{builtintypes.CORE}.ServiceAccount",
    ),
    Builtin(
        _resource(
            "events.k8s.io",
            "events",
            "Event",
            f"{builtintypes.EVENTS}.Event",
            builtintables.NEW_EVENT,
            short_names=("ev",),
            alias_of=_EVENT,
        ),
        f"{builtintypes.EVENTS}.Event",
        own_check=builtinrules.check_new_api_event,
        is_meta_checked=False,
    ),
    Builtin(
        _resource(
            "coordination.k8s.io",
            "leases",
            "Lease",
            f"{builtintypes.COORDINATION}.Lease",
            builtintables.LEASE,
        ),
        f"{builtintypes.COORDINATION}.Lease",
        own_check=builtinrules.check_lease,
    ),
    Builtin(
        _resource(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            f"{builtintypes.EXTENSIONS}.CustomResourceDefinition",
            table.Columns.default(),
            is_namespaced=False,
            has_status=True,
            short_names=("crd", "crds"),
            categories=("api-extensions",),
            has_generation=True,
            subresources=("status",),
        ),
        f"{builtintypes.EXTENSIONS}.CustomResourceDefinition",
        own_default=definitions.default,
        own_prepare=definitions.prepare,
        own_check=definitions.check,
        has_unconditional_update=False,
    ),
    Builtin(
        _resource(
            "authorization.k8s.io",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            f"{builtintypes.AUTHORIZATION}.SelfSubjectAccessReview",
            table.Columns.default(),
            is_namespaced=False,
            verbs=("create",),
        ),
        f"{builtintypes.AUTHORIZATION}.SelfSubjectAccessReview",
        own_check=builtinrules.check_access_review,
        is_meta_checked=False,
    ),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authentication.k8s.io", "SelfSubjectReview"),
    _review("authentication.k8s.io", "TokenReview"),
)

TOKEN_REQUEST = Builtin(
    _resource(
        "authentication.k8s.io",
        "tokenrequests",
        "TokenRequest",
        f"{builtintypes.AUTHENTICATION}.TokenRequest",
        table.Columns.default(),
        verbs=("create",),
    ),
    f"{builtintypes.AUTHENTICATION}.TokenRequest",
    own_default=builtinrules.default_token_request,
    own_check=builtinrules.check_token_request,
    is_meta_checked=False,
)
"""The body of ``serviceaccounts/NAME/token``; served under that path alone."""


def find(group: str, kind: str) -> Builtin | None:
    """The built-in kind of a group, if it is one."""
    for builtin in (*BUILTINS, TOKEN_REQUEST):
        if (builtin.resource.group, builtin.resource.kind) == (group, kind):
            return builtin
    return None


def strategic_merge(kind: Builtin, doc: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    """The object after a strategic merge patch; raises InvalidInputError for a wrong patch."""
    return strategicmerge.apply(doc, patch, node=kind.structural.root)
