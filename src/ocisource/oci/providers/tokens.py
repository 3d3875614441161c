"""Registry credentials of clouds, kept until shortly before they expire.

Rules:

1. A credential lives 80 % of the lifetime its cloud states, at most ``duration`` seconds, by the
   monotonic clock and by the wall's: the one stands still while a machine sleeps, the other may be
   set.
2. Of more than ``size`` credentials the longest unused goes; a size of 0 keeps none.
3. Many callers that want the same share one fetch; a caller that gives up ends no other's wait.
4. A credential that a registry refused is replaced, unless it is so young that another one would
   be refused as well. Failures are not remembered: the callers' back-off spaces them.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Protocol

from ocisource.oci import flights
from ocisource.oci.authentication import credentials

LIFETIME_SHARE = 0.8  # of what the cloud states
FRESH = 30.0  # seconds; a refusal of so young a credential means "not allowed", not "expired"
SIZE, DURATION = 100, 3600.0  # credentials, seconds: Flux's defaults


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A credential fresh from its cloud, and the seconds it is good for."""

    credential: credentials.Credential
    lifetime: float


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """For whom a credential is wanted; empty where no object asks."""

    name: str = ""
    namespace: str = ""


class Observer(Protocol):
    """Is told what happens in the cache."""

    def looked_up(self, owner: Owner, *, is_hit: bool) -> None:
        """A credential was asked for, and was there or not."""
        ...

    def requested(self, *, is_success: bool) -> None:
        """The caller got a credential, kept or new, or did not."""
        ...

    def kept(self, count: int) -> None:
        """So many credentials are kept now."""
        ...

    def evicted(self) -> None:
        """A credential went to make room."""
        ...


class _Nobody:
    def looked_up(self, owner: Owner, *, is_hit: bool) -> None: ...
    def requested(self, *, is_success: bool) -> None: ...
    def kept(self, count: int) -> None: ...
    def evicted(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    credential: credentials.Credential
    made_at: "_Moment"
    life: float  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class _Moment:
    steady: float
    wall: float

    def since(self, other: "_Moment") -> float:
        """Seconds that passed, by the clock that says more."""
        return max(self.steady - other.steady, self.wall - other.wall)


Fetch = Callable[[], Coroutine[Any, Any, Issued]]


class TokenCache:
    """The credentials of one process by what they were issued for."""

    def __init__(
        self,
        *,
        size: int = SIZE,
        duration: float = DURATION,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        self._size = size
        self._duration = duration
        self._clock = clock
        self._wall = wall
        self._observer: Observer = observer or _Nobody()
        self._entries: collections.OrderedDict[Hashable, _Entry] = collections.OrderedDict()
        self._fetches: flights.Flights[_Entry] = flights.Flights()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: Hashable, fetch: Fetch, *, owner: Owner) -> credentials.Credential:
        """The credential for a key; raises what ``fetch`` raises, AbandonedError after close()."""
        entry = self._entries.get(key)
        is_hit = entry is not None and self._age(entry) < entry.life
        self._observer.looked_up(owner, is_hit=is_hit)
        if entry is not None and is_hit:
            self._entries.move_to_end(key)
        else:
            try:
                entry = await self._fetches.share(key, lambda: self._fetched(key, fetch))
            except Exception:
                self._observer.requested(is_success=False)
                raise
        self._observer.requested(is_success=True)
        return entry.credential

    async def renewed(
        self, key: Hashable, fetch: Fetch, *, stale: credentials.Credential, owner: Owner
    ) -> credentials.Credential | None:
        """Another credential than ``stale``; None where asking again would be of no use."""
        entry = self._entries.get(key)
        if entry is not None and entry.credential == stale:
            if self._age(entry) < FRESH:
                return None
            self._drop(key)
        elif entry is None and not self._keeps:
            return None  # it was issued for this very run
        found = await self.get(key, fetch, owner=owner)
        return None if found == stale else found

    async def close(self) -> None:
        """Forget all credentials and end fetches under way."""
        await self._fetches.close()
        self._entries.clear()
        self._observer.kept(0)

    @property
    def _keeps(self) -> bool:
        return self._size > 0 and self._duration > 0

    def _now(self) -> _Moment:
        return _Moment(self._clock(), self._wall())

    def _age(self, entry: _Entry) -> float:
        return self._now().since(entry.made_at)

    async def _fetched(self, key: Hashable, fetch: Fetch) -> _Entry:
        asked_at = self._now()
        issued = await fetch()
        life = min(LIFETIME_SHARE * issued.lifetime, self._duration)
        entry = _Entry(issued.credential, asked_at, life)
        if self._keeps and life > 0:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
                self._observer.evicted()
            self._observer.kept(len(self._entries))
        return entry

    def _drop(self, key: Hashable) -> None:
        del self._entries[key]
        self._observer.kept(len(self._entries))
