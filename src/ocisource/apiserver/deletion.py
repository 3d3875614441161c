"""The verb that deletes: at once, or begun and left to finalizers and the janitor.

Order of a deletion, as kube-apiserver's: the key is held, namespaces that must stay are refused,
preconditions are checked; then what holds others or has finalizers is marked, and all else removed
- or not, when it is a dry run.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocisource import errors
from ocisource.apiserver import kinds, lifecycle, requests
from ocisource.apiserver.history import records, store
from ocisource.apiserver.objects import DEFINITIONS, NAMESPACES, Object, Written
from ocisource.apiserver.wording import failures
from ocisource.wire import status as statuses
from ocisource.wire import timestamps

AT_ONCE = 64  # their writes share transactions
LASTING = frozenset({"default", "kube-system", "kube-public"})  # namespaces that must stay
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class Deletions:
    """Deletes objects by the rules of their kinds; ``now`` is in seconds since the epoch."""

    def __init__(self, held: store.Store, *, now: Callable[[], float]) -> None:
        self._store = held
        self._now = now

    async def delete(
        self, kind: kinds.Kind, key: records.Key, options: requests.DeleteOptions
    ) -> Written:
        """Delete an object, or begin to; raises APIStatusError, StorageError."""
        async with self._store.hold(key):
            record = self._store.get(key)
            if record is None:
                raise failures.not_found(kind.resource, key.name)
            if kind.resource.qualified == NAMESPACES and key.name in LASTING:
                raise failures.forbidden(
                    f'{NAMESPACES} "{key.name}" is forbidden: this namespace may not be deleted',
                    group="",
                    plural=NAMESPACES,
                    name=key.name,
                )
            old = kind.read(record.decode())
            lifecycle.check_preconditions(kind, record, old, options)
            obj = copy.deepcopy(old)
            if _begins_cleanup(kind, obj):
                return await self._begin_cleanup(kind, record, obj, options)
            if not lifecycle.mark_deleted(obj, options=options, now=self._now()):
                if not options.is_dry_run:
                    await self._store.remove(key, kind.write(obj), before=record)
                return Written(_deleted(kind, old))
            if not options.is_dry_run and not lifecycle.is_same(obj, old):
                await self._store.put(key, kind.write(obj), before=record)
        return Written(obj)

    async def delete_all(
        self, kind: kinds.Kind, keys: Sequence[records.Key], options: requests.DeleteOptions
    ) -> None:
        """Delete many objects, some at a time; those that are gone already do not matter.

        Raises the first APIStatusError or StorageError after the others have had their turn.
        """
        for start in range(0, len(keys), AT_ONCE):
            chosen = keys[start : start + AT_ONCE]
            results = await asyncio.gather(
                *(self.delete(kind, key, options) for key in chosen), return_exceptions=True
            )
            for result in results:
                is_gone = isinstance(result, errors.APIStatusError) and result.reason == "NotFound"
                if isinstance(result, BaseException) and not is_gone:
                    raise result

    async def _begin_cleanup(
        self,
        kind: kinds.Kind,
        record: records.Record,
        obj: Object,
        options: requests.DeleteOptions,
    ) -> Written:
        """Namespaces and definitions go only after what is in them; the janitor sees to it."""
        if obj["metadata"].get("deletionTimestamp"):
            return Written(obj)
        if kind.resource.qualified == NAMESPACES:
            obj.setdefault("status", {})["phase"] = "Terminating"
            now = timestamps.format_seconds(self._now())
            obj["metadata"]["deletionTimestamp"] = now
        else:
            obj["metadata"].setdefault("finalizers", []).append(CLEANUP)
            lifecycle.mark_deleted(obj, options=options, now=self._now())
        if not options.is_dry_run:
            await self._store.put(record.key, obj, before=record)
        return Written(obj)


def _begins_cleanup(kind: kinds.Kind, obj: Mapping[str, Any]) -> bool:
    """Whether the object holds others that must go first."""
    if kind.resource.qualified == NAMESPACES:
        return bool(obj.get("spec", {}).get("finalizers"))
    return kind.resource.qualified == DEFINITIONS and not obj["metadata"].get("deletionTimestamp")


def _deleted(kind: kinds.Kind, obj: Mapping[str, Any]) -> Object:
    """The Status that tells of an object's end."""
    metadata = obj["metadata"]
    details = {"name": metadata.get("name", "")}
    if kind.resource.group:
        details["group"] = kind.resource.group
    details["kind"] = kind.resource.plural
    details["uid"] = metadata.get("uid", "")
    return statuses.success(details)
