"""Pools by tenant: what may be shared, and what must not.

A pool (connections, tokens, the scheme found out) is keyed by host, TLS identity, proxy, insecure
and credential. A gate is keyed by host and credential alone: a registry counts who asks, not which
way the request came.
"""

import dataclasses
import random
from collections.abc import Awaitable, Callable

import msgspec

from ocisource import errors, metrics
from ocisource.oci import limits
from ocisource.oci.authentication import credentials
from ocisource.oci.hosts import connections, names
from ocisource.oci.transport import gate, transport

_POOLS_MAX = 4096  # beyond, the longest unused are closed before their time
_SWEEP_INTERVAL = 60.0  # seconds


class PoolKey(msgspec.Struct, frozen=True, gc=False):
    """What two users of one pool have in common."""

    way: connections.Way
    credential: credentials.Credential | None


@dataclasses.dataclass(slots=True, eq=False)
class Pool:
    """A transport, and when it was last asked for; two pools are never equal."""

    key: PoolKey
    transport: transport.Transport
    used_at: float


class Pools:
    """All pools and gates of a process."""

    def __init__(
        self,
        *,
        settings: limits.RegistrySettings,
        clock: Callable[[], float],
        wall: Callable[[], float],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        observed: metrics.Metrics | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._sleep = sleep
        self._observed = observed
        self._contexts = connections.Contexts()
        self._names = names.Names(timeout=settings.connect_timeout)
        self._pools: dict[PoolKey, Pool] = {}
        self._gates: dict[tuple[str, credentials.Credential | None], gate.Gate] = {}
        self._swept_at = clock()
        self._is_closed = False

    async def get(
        self,
        way: connections.Way,
        credential: credentials.Credential | None,
    ) -> Pool:
        """The pool for a way and a credential, made if there is none.

        Raises AbandonedError after close(): a pool made then would be closed by nobody.
        """
        if self._is_closed:
            raise errors.AbandonedError("the registry client was closed")
        if credential is not None and credential.is_anonymous:
            credential = None
        now = self._clock()
        if now - self._swept_at >= _SWEEP_INTERVAL or len(self._pools) >= _POOLS_MAX:
            self._swept_at = now
            await self._sweep(now)
        key = PoolKey(way, credential)
        pool = self._pools.get(key)
        if pool is None:
            pool = Pool(key, self._new_transport(key), now)
            self._pools[key] = pool
        pool.used_at = now
        return pool

    def _new_transport(self, key: PoolKey) -> transport.Transport:
        gate_key = (key.way.host, key.credential)
        if gate_key not in self._gates:
            self._gates[gate_key] = gate.Gate(
                key.way.host,
                settings=self._settings,
                clock=self._clock,
                wall=self._wall,
                sleep=self._sleep,
            )
        return transport.Transport(
            key.way,
            key.credential,
            contexts=self._contexts,
            known_names=self._names,
            host_gate=self._gates[gate_key],
            settings=self._settings,
            clock=self._clock,
            wall=self._wall,
            rng=self._rng,
            sleep=self._sleep,
            observed=self._observed,
        )

    async def _sweep(self, now: float) -> None:
        """Close the pools that nobody has asked for lately, and forget gates that stand open."""
        by_age = sorted(self._pools.values(), key=lambda pool: pool.used_at)
        surplus = len(by_age) - _POOLS_MAX + 1
        closed = []
        for position, pool in enumerate(by_age):
            is_old = now - pool.used_at >= self._settings.idle_pool
            if pool.transport.is_idle and (is_old or position < surplus):
                del self._pools[pool.key]
                closed.append(pool.transport)
        used = {(key.way.host, key.credential) for key in self._pools}
        for gate_key in [
            each for each, kept in self._gates.items() if each not in used and not kept.remaining
        ]:
            del self._gates[gate_key]
        for each in closed:
            await each.close()

    async def close(self) -> None:
        """Close all pools, for good."""
        self._is_closed = True
        found = list(self._pools.values())
        self._pools.clear()
        for pool in found:
            await pool.transport.close()
        await self._names.close()
