"""Work that a cluster leaves to its controllers: what is deleted takes with it what it held.

1. A namespace that is being deleted loses its contents, then its finalizer, then itself.
2. A definition that is being deleted loses its objects, then itself.
3. Objects whose owners are all gone go too; ``Foreground`` and ``Orphan`` are carried out.
4. Events older than an hour go; history older than five minutes is compacted.
"""

import asyncio
import contextlib
import copy
import logging
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver import (
    crds,
    deletion,
    kinds,
    lifecycle,
    objects,
    requests,
    resources,
    watching,
)
from ocisource.apiserver.history import records, store
from ocisource.apiserver.wording import faults
from ocisource.wire import timestamps

EVENT_SECONDS = 3600.0  # kube-apiserver's --event-ttl
EVENTS = "events"
RETRY_SECONDS = 5.0  # between two looks at what finalizers still hold
MANAGER = "ocisource"

_logger = logging.getLogger(__name__)
_BACKGROUND = requests.DeleteOptions(propagation="Background")
_OWNERS = b'"ownerReferences"'
_GOING = b'"deletionTimestamp"'
_FOREGROUND = b'"foregroundDeletion"'


class Janitor:
    """Cleans up behind deletions, one key after the other."""

    def __init__(
        self,
        held: store.Store,
        deletions: deletion.Deletions,
        *,
        registry: resources.Registry,
        clock: watching.Clock,
    ) -> None:
        self._store = held
        self._deletions = deletions
        self._registry = registry
        self._clock = clock
        self._due: asyncio.Queue[records.Key] = asyncio.Queue()
        self._queued: set[records.Key] = set()
        # Dependents by their owner's uid, and owners whose foreground deletion waits for them.
        self._owned: dict[str, set[records.Key]] = {}
        self._waiting: dict[str, records.Key] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Look at what is there, then follow every change."""
        for name in self._store.resources():
            for record in self._store.scan(name):
                self._note(records.Change(records.ADDED, record, None))
        self._store.listen(self._note)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()), loop.create_task(self._tick())]

    async def stop(self) -> None:
        """Stop; what is left is found again at the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _note(self, change: records.Change) -> None:
        record = change.record
        for uid in _owner_uids(record):
            self._owned.setdefault(uid, set()).add(record.key)
            if change.event == records.ADDED:
                # Its owner may be gone already.
                self._enqueue(record.key)
        if change.event == records.DELETED:
            self._after(record)
        elif _GOING in record.body:
            self._enqueue(record.key)
            if _FOREGROUND in record.body:
                self._waiting[record.decode()["metadata"].get("uid", "")] = record.key

    def _after(self, record: records.Record) -> None:
        """An object is gone: its dependents may have to go, and its holder may be empty now."""
        uid = record.decode()["metadata"].get("uid", "")
        self._waiting.pop(uid, None)
        for key in self._owned.pop(uid, ()):
            self._enqueue(key)
        if record.key.namespace:
            holder = records.Key(objects.NAMESPACES, "", record.key.namespace)
            self._enqueue_if_going(holder)
        self._enqueue_if_going(records.Key(crds.NAME, "", record.key.resource))
        for owner in _owner_uids(record):
            dependents = self._owned.get(owner, set())
            dependents.discard(record.key)
            if not dependents:
                self._owned.pop(owner, None)
            if owner in self._waiting:
                # A foreground deletion waits for its dependents.
                self._enqueue(self._waiting[owner])

    def _enqueue_if_going(self, key: records.Key) -> None:
        record = self._store.get(key)
        if record is not None and _GOING in record.body:
            self._enqueue(key)

    def _enqueue(self, key: records.Key) -> None:
        if key not in self._queued:
            self._queued.add(key)
            self._due.put_nowait(key)

    async def _work(self) -> None:
        while True:
            key = await self._due.get()
            self._queued.discard(key)
            try:
                await self._look_at(key)
            except Exception as error:  # noqa: BLE001 - one object must not end all cleaning
                _logger.warning("cleaning up %s/%s: %s", key.namespace, key.name, _why(error))
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._enqueue, key)

    async def _look_at(self, key: records.Key) -> None:
        record = self._store.get(key)
        if record is None:
            return
        obj = record.decode()
        if not obj["metadata"].get("deletionTimestamp"):
            await self._collect(record, obj)
            return
        if key.resource == objects.NAMESPACES:
            await self._empty_namespace(record)
        elif key.resource == crds.NAME:
            await self._empty_definition(record, obj)
        finalizers = obj["metadata"].get("finalizers") or []
        if lifecycle.ORPHAN in finalizers:
            await self._orphan(record, obj)
        elif lifecycle.FOREGROUND in finalizers:
            await self._finish_foreground(record, obj)

    async def _empty_namespace(self, record: records.Record) -> None:
        namespace = record.key.name
        # Writes that were let in before the namespace began to go are told by now.
        await self._store.flush()
        for kind in self._kinds():
            if kind.resource.is_namespaced and kind.is_stored_form:
                await self._delete_all(kind, namespace)
        await self._store.flush()
        if not any(self._contents(namespace)):
            await self._release(record.key, _drop_kubernetes_finalizer)

    def _contents(self, namespace: str) -> Iterator[records.Record]:
        for name in self._store.resources():
            yield from self._store.scan(name, namespace)

    async def _empty_definition(self, record: records.Record, obj: Mapping[str, Any]) -> None:
        if deletion.CLEANUP not in (obj["metadata"].get("finalizers") or []):
            return
        resource = crds.resource_of(obj)
        if resource is not None:
            await self._delete_all(kinds.Kind.of(resource, resource.versions[0]), "")
        if not self._store.count(record.key.name):
            await self._release(record.key, _drop_finalizer(deletion.CLEANUP))

    async def _delete_all(self, kind: kinds.Kind, namespace: str) -> None:
        left = [
            record.key
            for record in self._store.scan(kind.resource.stored_as, namespace)
            if _GOING not in record.body
        ]
        await self._deletions.delete_all(kind, left, _BACKGROUND)

    async def _collect(self, record: records.Record, obj: Mapping[str, Any]) -> None:
        """Delete a dependent none of whose owners is left."""
        owners = obj["metadata"].get("ownerReferences") or []
        kind = self._kind_of(record.key)
        if not owners or kind is None or any(map(self._is_there, self._owners(record, owners))):
            return
        options = requests.DeleteOptions(propagation="Background", revision=str(record.revision))
        with contextlib.suppress(errors.APIStatusError):
            await self._deletions.delete(kind, record.key, options)

    def _owners(
        self, record: records.Record, owners: list[Mapping[str, Any]]
    ) -> Iterator[tuple[records.Key, str]]:
        for owner in owners:
            group = owner.get("apiVersion", "").rpartition("/")[0]
            resource = self._registry.find_kind(group, owner.get("kind", ""))
            if resource is None:
                # Of a kind nobody serves: it may well exist, so the dependent stays.
                yield record.key, ""
                continue
            namespace = record.key.namespace if resource.is_namespaced else ""
            key = records.Key(resource.stored_as, namespace, owner.get("name", ""))
            yield key, owner.get("uid", "")

    def _is_there(self, owner: tuple[records.Key, str]) -> bool:
        key, uid = owner
        record = self._store.get(key)
        return record is not None and uid in ("", record.decode()["metadata"].get("uid"))

    async def _orphan(self, record: records.Record, obj: Mapping[str, Any]) -> None:
        uid = obj["metadata"]["uid"]
        for key in list(self._owned.get(uid, ())):
            await self._release(key, _drop_owner(uid))
        await self._release(record.key, _drop_finalizer(lifecycle.ORPHAN))

    async def _finish_foreground(self, record: records.Record, obj: Mapping[str, Any]) -> None:
        uid = obj["metadata"]["uid"]
        is_blocked = False
        for key in list(self._owned.get(uid, ())):
            dependent = self._store.get(key)
            kind = self._kind_of(key)
            if dependent is None or kind is None:
                continue
            if _GOING not in dependent.body:
                options = requests.DeleteOptions(propagation="Foreground")
                with contextlib.suppress(errors.APIStatusError):
                    await self._deletions.delete(kind, key, options)
            left = self._store.get(key)
            is_blocked = is_blocked or (left is not None and _blocks(left, uid))
        if not is_blocked:
            await self._release(record.key, _drop_finalizer(lifecycle.FOREGROUND))

    async def _release(self, key: records.Key, change: Any) -> None:
        """Change an object's metadata directly, and remove it if nothing holds it any more."""
        async with self._store.hold(key):
            record = self._store.get(key)
            if record is None:
                return
            obj = record.decode()
            before = copy.deepcopy(obj)
            change(obj)
            if obj == before:
                return
            is_namespace = key.resource == objects.NAMESPACES
            shown = {"kind": "Namespace", "apiVersion": "v1"} if is_namespace else {}
            if lifecycle.is_finished({**shown, **obj}):
                await self._store.remove(key, obj, before=record)
            else:
                await self._store.put(key, obj, before=record)

    def _kinds(self) -> Iterator[kinds.Kind]:
        for resource in self._registry:
            if "delete" in resource.verbs:
                yield kinds.Kind.of(resource, resource.versions[0])

    def _kind_of(self, key: records.Key) -> kinds.Kind | None:
        resource = self._registry.get(resources.GroupResource(key.resource))
        return kinds.Kind.of(resource, resource.versions[0]) if resource else None

    async def _tick(self) -> None:
        # At once, too: many a run is over before the first minute is.
        await self._attempt(self._store.compact_earlier(self._clock.wall()))
        while True:
            await self._attempt(self._store.compact(self._clock.monotonic()))
            await self._attempt(self._expire_events())
            await asyncio.sleep(store.COMPACTION_SECONDS)

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the next look may do better
            _logger.warning("the API's data file: %s", _why(error))

    async def _expire_events(self) -> None:
        kind = self._kind_of(records.Key(EVENTS, "", ""))
        oldest = self._clock.wall() - EVENT_SECONDS
        assert kind is not None
        old = [each.key for each in self._store.scan(EVENTS) if _last_seen(each) < oldest]
        await self._deletions.delete_all(kind, old, requests.DeleteOptions())


def _why(error: Exception) -> str:
    return error.text if isinstance(error, errors.OcisourceError) else faults.place(error)


def _last_seen(record: records.Record) -> float:
    event = record.decode()
    series = event.get("series") or {}
    times = (
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max((timestamps.parse(each) for each in times if each), default=0.0)


def _owner_uids(record: records.Record) -> list[str]:
    if _OWNERS not in record.body:
        return []
    owners = record.decode()["metadata"].get("ownerReferences") or []
    return [owner.get("uid", "") for owner in owners]


def _blocks(record: records.Record, uid: str) -> bool:
    owners = record.decode()["metadata"].get("ownerReferences") or []
    return any(each.get("uid") == uid and each.get("blockOwnerDeletion") for each in owners)


def _drop_kubernetes_finalizer(obj: dict[str, Any]) -> None:
    spec = obj.get("spec") or {}
    spec["finalizers"] = [each for each in spec.get("finalizers") or [] if each != "kubernetes"]
    if not spec["finalizers"]:
        spec.pop("finalizers")
    obj["spec"] = spec


def _drop_finalizer(name: str) -> Any:
    def change(obj: dict[str, Any]) -> None:
        metadata = obj["metadata"]
        left = [each for each in metadata.get("finalizers") or [] if each != name]
        if left:
            metadata["finalizers"] = left
        else:
            metadata.pop("finalizers", None)

    return change


def _drop_owner(uid: str) -> Any:
    def change(obj: dict[str, Any]) -> None:
        metadata = obj["metadata"]
        left = [each for each in metadata.get("ownerReferences") or [] if each.get("uid") != uid]
        if left:
            metadata["ownerReferences"] = left
        else:
            metadata.pop("ownerReferences", None)

    return change
