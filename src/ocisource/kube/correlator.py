"""Folds, groups and thins out events before they are written (client-go's ``EventCorrelator``).

For each event, in this order:

1. Similar ones (equal but for the message): from the tenth message within ten minutes of each
   other on, one event "(combined from similar events): …" stands for them all.
2. Equal ones become one event whose ``count`` and ``lastTimestamp`` grow: what kubectl prints as
   ``2s (x9 over 4s)``.
3. An object may have 25 events at once, then one per 5 minutes; more are dropped.

All three remember the 4096 subjects used last.
"""

import collections
import dataclasses
import typing
from collections.abc import Callable, Hashable

import msgspec

from ocisource.kube import ratelimit, resources

V = typing.TypeVar("V")

MAX_NAME = 253  # characters of a DNS subdomain
COMBINED = "(combined from similar events): "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CorrelatorSettings:
    """client-go's figures: subjects remembered, grouping, spam filter; times in seconds."""

    memory: int = 4096
    similar: int = 10
    interval: float = 600.0
    burst: int = 25
    refill: float = 300.0


DEFAULTS: typing.Final = CorrelatorSettings()

Key = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Correlated:
    """An event to be written; ``key`` tells which one it is a repetition of."""

    key: Key
    event: resources.Event


class Correlator:
    """Decides what becomes of each event; ``clock`` only measures intervals."""

    def __init__(
        self, *, clock: Callable[[], float], settings: CorrelatorSettings = DEFAULTS
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._groups: Recent[_Group] = Recent(settings.memory)
        self._seen: Recent[resources.Event] = Recent(settings.memory)
        self._budgets: Recent[ratelimit.TokenBucket] = Recent(settings.memory)

    def correlate(self, event: resources.Event) -> Correlated | None:
        """The event as it is to be written, None when it is one too many.

        The counts go on for dropped events too, as in client-go.
        """
        grouped, key = self._group(event)
        counted = self._count(grouped, key)
        budget = self._budgets.get(_subject(event))
        if budget is None:
            budget = ratelimit.TokenBucket(
                qps=1 / self._settings.refill, burst=self._settings.burst, clock=self._clock
            )
        self._budgets.put(_subject(event), budget)
        return Correlated(key, counted) if budget.try_take() else None

    def _group(self, event: resources.Event) -> tuple[resources.Event, Key]:
        now = self._clock()
        similar = (*_subject(event), event.type, event.reason)
        group = self._groups.get(similar)
        if group is None or now - group.at > self._settings.interval:
            group = _Group()
        group.messages.add(event.message)
        group.at = now
        self._groups.put(similar, group)
        if len(group.messages) < self._settings.similar:
            return event, (*similar, event.message)
        group.messages.pop()  # the set grows no further
        metadata = msgspec.structs.replace(event.metadata, annotations={})
        return msgspec.structs.replace(
            event, metadata=metadata, message=COMBINED + event.message
        ), similar

    def _count(self, event: resources.Event, key: Key) -> resources.Event:
        last = self._seen.get(key)
        if last is not None:
            event = msgspec.structs.replace(
                event,
                metadata=last.metadata,
                first_timestamp=last.first_timestamp,
                count=last.count + 1,
            )
        self._seen.put(key, event)
        return event


@dataclasses.dataclass(slots=True)
class _Group:
    messages: set[str] = dataclasses.field(default_factory=set)
    at: float = 0.0


def _subject(event: resources.Event) -> Key:
    about, source = event.involved_object, event.source
    return (
        source.component,
        source.host,
        about.kind,
        about.namespace,
        about.name,
        about.uid,
        about.api_version,
    )


class Recent(typing.Generic[V]):
    """A mapping that remembers the ``size`` entries used last."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: collections.OrderedDict[Hashable, V] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> V | None:
        """The value, now used last."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: Hashable, value: V) -> None:
        """Set a value, now used last; the one used longest ago may go."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Forget a key."""
        self._entries.pop(key, None)


def event_name(about: str, *, nanoseconds: int) -> str:
    """``{name}.{time in hex}``, the name shortened if the two are too long together."""
    suffix = f".{nanoseconds:x}"
    return about[: MAX_NAME - len(suffix)].rstrip(".-") + suffix
