"""The verbs that write: create, update and patch, from a decoded body to the store.

Order of a write, as kube-apiserver's: the key is held, what the server decides is filled in, the
rules are checked, ownership of fields is recorded, and only then the object is stored - or not,
when it is a dry run or nothing changed.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ocisource import errors
from ocisource.apiserver import admission, crds, kinds, lifecycle, requests, resources
from ocisource.apiserver.forms import bodies
from ocisource.apiserver.history import records, store
from ocisource.apiserver.ownership import managedfields
from ocisource.apiserver.wording import failures

MAX_NAME_TRIES = 8  # of a generated name that is taken; kube-apiserver's retry as well
NAMESPACES = "namespaces"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"

Object = dict[str, Any]
Change = Callable[[Object | None], bodies.Decoded]
"""Makes the new object from the present one (None: there is none)."""


class Source(Protocol):
    """Where time and identities come from."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def uid(self) -> str:
        """A fresh identity."""

    def choose(self, alphabet: str) -> str:
        """One character at random."""


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """What a write led to; ``obj`` is in the version that was asked for."""

    obj: Object
    code: int = 200
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """What an update is about: which object, by which way, and how.

    ``is_apply`` takes the change as a server-side apply's intent, ``can_create`` lets a missing
    object come into being.
    """

    kind: kinds.Kind
    key: records.Key
    options: requests.WriteOptions
    subresource: str = ""
    is_apply: bool = False
    is_patch: bool = False
    can_create: bool = False


class Objects:
    """Writes objects by the rules of their kinds."""

    def __init__(
        self, held: store.Store, source: Source, *, establish: Callable[[Object], None]
    ) -> None:
        self._store = held
        self._source = source
        self._establish = establish

    async def create(
        self,
        kind: kinds.Kind,
        namespace: str,
        decoded: bodies.Decoded,
        options: requests.WriteOptions,
    ) -> Written:
        """Create an object; raises APIStatusError, StorageError."""
        obj, warnings = admission.admit(kind, decoded, options)
        if kind.resource.is_namespaced:
            self.check_namespace(kind, namespace, obj["metadata"].get("name", ""), is_new=True)
        is_generated = bool(obj["metadata"].get("generateName")) and not obj["metadata"].get("name")
        for attempt in range(MAX_NAME_TRIES):
            candidate = copy.deepcopy(obj) if is_generated else obj
            try:
                written = await self._create(kind, namespace, candidate, options)
            except errors.APIStatusError as error:
                is_taken = error.reason == "AlreadyExists"
                if not (is_generated and is_taken) or attempt == MAX_NAME_TRIES - 1:
                    raise
            else:
                return dataclasses.replace(written, warnings=_told(kind, written.obj, warnings))
        raise AssertionError

    async def update(self, update: Update, change: Change) -> Written:
        """Update an object, or create it where that is allowed.

        Raises APIStatusError, StorageError.
        """
        kind, key = update.kind, update.key
        async with self._store.hold(key):
            record = self._store.get(key)
            if record is None and not update.can_create:
                raise failures.not_found(kind.resource, key.name)
            if record is not None:
                return await self._update(update, record, change)
            decoded = change(None)
            if update.is_apply:
                obj, warnings = self._applied(update, None, decoded)
            else:
                obj, warnings = admission.admit(kind, decoded, update.options)
            admission.check_name(obj, key.name)
            if kind.resource.is_namespaced:
                self.check_namespace(kind, key.namespace, key.name, is_new=True)
            written = await self._put_new(kind, key, obj, update.options, is_owned=update.is_apply)
        return dataclasses.replace(written, warnings=_told(kind, written.obj, warnings))

    def check_namespace(self, kind: kinds.Kind, namespace: str, name: str, *, is_new: bool) -> None:
        """Refuse to write into a namespace that is absent or going; raises APIStatusError."""
        record = self._store.get(records.Key(NAMESPACES, "", namespace))
        if record is None:
            raise errors.APIStatusError(
                f'namespaces "{namespace}" not found',
                code=404,
                reason="NotFound",
                details={"name": namespace, "kind": NAMESPACES},
            )
        if is_new and b'"deletionTimestamp"' in record.body:
            raise _terminating(kind.resource, namespace, name)

    async def _create(
        self, kind: kinds.Kind, namespace: str, obj: Object, options: requests.WriteOptions
    ) -> Written:
        # Refused before the name is completed, as kube-apiserver does.
        lifecycle.place(obj["metadata"], namespace)
        birth = self._birth()
        lifecycle.begin(obj, namespace=namespace, birth=birth)
        key = records.Key(kind.resource.stored_as, namespace, obj["metadata"].get("name", ""))
        async with self._store.hold(key):
            if (held := self._store.get(key)) is not None:
                # An object that breaks the rules is told so even when its name is taken.
                self._complete(kind, obj)
                is_going = b'"deletionTimestamp"' in held.body
                raise failures.already_exists(kind.resource, key.name, is_going=is_going)
            if kind.resource.is_namespaced:
                self.check_namespace(kind, namespace, key.name, is_new=True)
            return await self._put_new(kind, key, obj, options, is_begun=True)

    async def _put_new(
        self,
        kind: kinds.Kind,
        key: records.Key,
        obj: Object,
        options: requests.WriteOptions,
        *,
        is_begun: bool = False,
        is_owned: bool = False,
    ) -> Written:
        if not is_begun:
            obj["metadata"].pop("resourceVersion", None)
            lifecycle.begin(obj, namespace=key.namespace, birth=self._birth())
        if not is_owned:
            obj = self._own(kind, None, obj, options, "")
        self._complete(kind, obj)
        if not options.is_dry_run:
            await self._store.put(key, kind.write(obj), before=None)
        return Written(obj, code=201)

    def _complete(self, kind: kinds.Kind, obj: Object) -> None:
        """Fill in what the server decides and check the whole; raises APIStatusError."""
        lifecycle.first_generation(kind, obj)
        self._prepare(kind, obj, None)
        if found := kind.rules.check(obj, None):
            raise kind.invalid(obj["metadata"].get("name", ""), found, kind=obj.get("kind", ""))

    def _prepare(self, kind: kinds.Kind, obj: Object, old: Object | None) -> None:
        kind.rules.prepare(obj, old)
        if kind.resource.qualified == DEFINITIONS and not kind.rules.check(obj, old):
            self._establish(obj)

    async def _update(self, update: Update, record: records.Record, change: Change) -> Written:
        kind, options = update.kind, update.options
        old = kind.read(record.decode())
        # A second reading is cheaper than a deep copy, and as separate.
        decoded = change(kind.read(record.decode()))
        if update.is_apply:
            obj, warnings = self._applied(update, old, decoded)
        else:
            obj, warnings = admission.admit(kind, decoded, options, is_patch=update.is_patch)
            if not update.is_patch:
                admission.check_name(obj, record.key.name)
        admission.check_name(obj, record.key.name)
        if not update.is_patch:
            admission.check_same_object(kind, obj, old, record)
        lifecycle.place(obj["metadata"], record.key.namespace)
        lifecycle.check_revision(kind, obj, record)
        lifecycle.carry_over(obj, old)
        obj = lifecycle.limit_to(update.subresource, kind, obj, old)
        if not update.is_apply:
            obj = self._own(kind, old, obj, options, update.subresource)
        if not update.subresource:
            self._prepare(kind, obj, old)
        lifecycle.count_generation(kind, obj, old)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if found := kind.rules.check(obj, old):
            raise kind.invalid(record.key.name, found, kind=obj.get("kind", ""))
        shown = tuple(warnings) if update.subresource else _told(kind, obj, warnings)
        if lifecycle.is_same(obj, old):
            return Written(old, warnings=shown)
        if options.is_dry_run:
            return Written(obj, warnings=shown)
        if lifecycle.is_finished(obj):
            # Watchers are told the object as it was stored last, with what it waited for.
            last = copy.deepcopy(old)
            await self._store.remove(record.key, kind.write(last), before=record)
        else:
            await self._store.put(record.key, written := kind.write(obj), before=record)
            obj["metadata"] = written["metadata"]
        return Written(obj, warnings=shown)

    def _applied(
        self, update: Update, old: Object | None, decoded: bodies.Decoded
    ) -> tuple[Object, list[str]]:
        kind = update.kind
        intent = decoded.value
        admission.check_intent(kind, intent, update.key.name)
        lifecycle.place(intent["metadata"], update.key.namespace)
        obj = managedfields.apply(
            old,
            intent,
            structural=kind.version.structural,
            manager=update.options.manager,
            is_forced=update.options.is_forced,
            now=self._source.now(),
            template=kind.template,
            subresource=update.subresource,
            reset=lifecycle.not_written_by(update.subresource, kind),
        )
        return admission.admit_applied(kind, obj, decoded, update.options)

    def _own(
        self,
        kind: kinds.Kind,
        old: Object | None,
        obj: Object,
        options: requests.WriteOptions,
        subresource: str,
    ) -> Object:
        return managedfields.update(
            old,
            obj,
            structural=kind.version.structural,
            manager=options.manager,
            now=self._source.now(),
            template=kind.template,
            subresource=subresource,
        )

    def _birth(self) -> lifecycle.Birth:
        return lifecycle.Birth(
            now=self._source.now(),
            uid=self._source.uid(),
            suffix=lifecycle.suffix(self._source.choose),
        )


def _told(kind: kinds.Kind, obj: Object, warnings: Sequence[str]) -> tuple[str, ...]:
    """What to warn the writer of: what its text says, and what a definition asks for in vain."""
    if kind.resource.qualified == DEFINITIONS:
        return (*warnings, *crds.unserved(obj))
    return tuple(warnings)


def _terminating(resource: resources.Resource, namespace: str, name: str) -> errors.APIStatusError:
    error = failures.forbidden(
        f'{resource.qualified} "{name}" is forbidden: unable to create new content in namespace '
        f"{namespace} because it is being terminated",
        group=resource.group,
        plural=resource.plural,
        name=name,
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
