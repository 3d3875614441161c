"""A cache of one kind of object, kept up to date by a reflector, with handlers and indexes.

Handlers are plain functions: they compare old and new and put keys into a workqueue; they must not
wait. What a handler raises is logged and stops neither the others nor the cache.

Example::

    informer = Informer(reflector, indexes={"secrets": names_of_secrets})
    informer.add_handler(Handler(on_update=lambda old, new: queue.add(key_of(new))))
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
"""

import asyncio
import contextlib
import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

from ocisource import logs
from ocisource.controller import reflector, request
from ocisource.kube import resources

T = typing.TypeVar("T", bound=resources.Named)

Index = Callable[[T], Iterable[str]]

_log = logs.get("informer")


def key_of(obj: resources.Named) -> request.Request:
    """The key of an object."""
    return request.Request(obj.metadata.namespace, obj.metadata.name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handler(typing.Generic[T]):
    """What is called on a change; ``on_add`` learns whether the object was in a first list."""

    on_add: Callable[[T, bool], None] | None = None
    on_update: Callable[[T, T], None] | None = None
    on_delete: Callable[[T], None] | None = None


class Informer(typing.Generic[T]):
    """The cache; to be used from one event loop, which run() keeps busy only when changes come.

    ``compact`` makes an equal object that takes less memory.
    """

    def __init__(
        self,
        source: reflector.Reflector[T],
        *,
        indexes: Mapping[str, Index[T]] | None = None,
        compact: Callable[[T], T] | None = None,
    ) -> None:
        self._source = source
        self._compact = compact
        self._objects: dict[request.Request, T] = {}
        self._indexes = {name: _Inverted(index) for name, index in (indexes or {}).items()}
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()

    @property
    def has_synced(self) -> bool:
        """Whether the first list has been taken in and handed to the handlers."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._objects.values()))

    def get(self, key: request.Request) -> T | None:
        """The object as last seen."""
        return self._objects.get(key)

    def by_index(self, index: str, value: str) -> tuple[request.Request, ...]:
        """Keys of the objects for which the named index yields ``value``, sorted."""
        return self._indexes[index].keys(value)

    def add_handler(self, handler: Handler[T]) -> None:
        """Have a handler called; it first hears of all objects already there."""
        self._handlers.append(handler)
        for obj in self:
            self._call(handler.on_add, obj, not self.has_synced)

    async def run(self) -> None:
        """Follow the reflector until cancelled."""
        async with contextlib.aclosing(self._source.changes()) as changes:
            async for change in changes:
                match change:
                    case reflector.Replaced():
                        await self._replace(change.items)
                        self._synced.set()
                    case reflector.Changed():
                        self._store(change.obj)
                    case reflector.Deleted():
                        self._remove(request.Request(change.namespace, change.name))

    async def _replace(self, items: tuple[T, ...]) -> None:
        kept = {key_of(item) for item in items}
        for key in [key for key in self._objects if key not in kept]:
            self._remove(key)
        for number, item in enumerate(items):
            self._store(item)
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # ten thousand objects must not hold up the loop

    def _store(self, obj: T) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and old.metadata.uid != obj.metadata.uid:
            # Deleted and made anew while we did not look: another object of the same name.
            self._remove(key)
            old = None
        if old is not None and _is_same_version(old, obj):
            return
        if self._compact is not None:
            obj = self._compact(obj)
        self._objects[key] = obj
        for index in self._indexes.values():
            index.put(key, obj)
        for handler in self._handlers:
            if old is None:
                self._call(handler.on_add, obj, not self.has_synced)
            else:
                self._call(handler.on_update, old, obj)

    def _remove(self, key: request.Request) -> None:
        obj = self._objects.pop(key, None)
        if obj is None:
            return
        for index in self._indexes.values():
            index.drop(key)
        for handler in self._handlers:
            self._call(handler.on_delete, obj)

    def _call(self, function: Callable[..., None] | None, *arguments: object) -> None:
        if function is None:
            return
        try:
            function(*arguments)
        except Exception as exc:  # noqa: BLE001 - a faulty handler must not end the mirror
            _log.error(
                f"handler for {self._source.resource.plural} failed",
                error=f"{type(exc).__name__}: {exc}",
            )


_BREATH = 256  # objects taken in before others may use the loop


def _is_same_version(old: resources.Named, new: resources.Named) -> bool:
    version = new.metadata.resource_version
    return bool(version) and version == old.metadata.resource_version


class _Inverted(typing.Generic[T]):
    """An index both ways: value to keys, and key to values."""

    def __init__(self, index: Index[T]) -> None:
        self._index = index
        self._by_value: dict[str, set[request.Request]] = {}
        self._values: dict[request.Request, frozenset[str]] = {}

    def keys(self, value: str) -> tuple[request.Request, ...]:
        return tuple(sorted(self._by_value.get(value, ())))

    def put(self, key: request.Request, obj: T) -> None:
        self.drop(key)
        values = frozenset(self._index(obj))
        if not values:
            return
        self._values[key] = values
        for value in values:
            self._by_value.setdefault(value, set()).add(key)

    def drop(self, key: request.Request) -> None:
        for value in self._values.pop(key, ()):
            keys = self._by_value[value]
            keys.discard(key)
            if not keys:
                del self._by_value[value]
