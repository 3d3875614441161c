"""Leader election by a Lease, as client-go's ``leaderelection``.

1. A candidate never trusts another machine's clock: a lease has run out when its record has not
   changed for its duration, measured here.
2. The leader renews every ``retry_period`` seconds; when it could not for ``renew_deadline``
   seconds it stops working, before anybody else may begin.
3. Every write carries the resourceVersion that was read, so of two candidates one wins.
4. A leader that stops on purpose releases the lease, and the next one need not wait.
5. A process that was frozen (SIGSTOP, a machine that slept) wakes up in the middle of its work.
   Time asleep counts, and ``check`` keeps it from writing once others may lead.

Example::

    elector = Elector(api, namespace="flux-system", name="source-controller-leader-election",
                      identity="pod-1_uuid")
    await elector.run(work)   # returns when work() ends, raises LeaseLostError
"""

import asyncio
import contextlib
import dataclasses
import enum
import math
import random
import time
import typing
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from ocisource import errors, logs, metrics
from ocisource.api import meta
from ocisource.kube import answers, client, resources
from ocisource.wire import timestamps

_JITTER = 1.2  # a candidate waits up to so many retry periods more, as in client-go

_log = logs.get("lease")


def _elapsed() -> float:
    """Seconds that also pass while the machine sleeps, where the system counts them."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class LeaseLostError(errors.OcisourceError):
    """The lease could not be renewed in time; another replica may lead."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """Seconds: how long a silent leader is left alone, when it gives up itself, between tries.

    ``is_released`` gives the lease up at a stop.
    """

    duration: float = 35.0
    renew_deadline: float = 30.0
    retry_period: float = 5.0
    is_released: bool = True

    def __post_init__(self) -> None:
        if self.duration <= self.renew_deadline:
            raise errors.UsageError(
                "--leader-election-lease-duration must be greater than "
                "--leader-election-renew-deadline"
            )
        if self.renew_deadline <= self.retry_period * _JITTER:
            raise errors.UsageError(
                "--leader-election-renew-deadline must be greater than 1.2 times "
                "--leader-election-retry-period"
            )
        if self.retry_period <= 0:
            raise errors.UsageError("--leader-election-retry-period must be above 0")

    @property
    def whole_duration(self) -> int:
        """The duration as others read it; rounded up, as they must not begin before we end."""
        return math.ceil(self.duration)


DEFAULTS: typing.Final = LeaseSettings()


class Role(enum.Enum):
    """What a replica is at the moment; readiness tells a standby from a failure by it."""

    STARTING = "starting"  # the lease has not been read yet
    STANDBY = "standby"  # another replica leads
    LEADER = "leader"
    FAILING = "failing"  # the last try to read or write the lease failed


class Elector:
    """One candidate for one Lease."""

    def __init__(
        self,
        api: client.Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        settings: LeaseSettings = DEFAULTS,
        observed: metrics.Metrics | None = None,
        clock: Callable[[], float] = _elapsed,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._settings = settings
        self._observed = observed
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads tries, guards nothing
        self._record: resources.Lease | None = None
        self._record_changed_at = 0.0
        self._renewed_at = -math.inf
        self.role = Role.STARTING
        self.error = ""
        self._set_leading(value=False)

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads."""
        return self.role is Role.LEADER

    @property
    def holder(self) -> str:
        """The leader's identity as last seen; empty when nobody holds the lease."""
        return (self._record.spec.holder_identity or "") if self._record is not None else ""

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for the lease, then run ``work`` while renewing it; returns when ``work`` ends.

        Raises LeaseLostError after ending ``work`` when the lease could not be renewed; whatever
        ``work`` raises is raised. Cancelling ends ``work`` first and releases the lease then.
        """
        await self._acquire()
        worker = asyncio.create_task(work(), name="leading")
        keeper = asyncio.create_task(self._keep(), name="lease")
        try:
            await asyncio.wait({worker, keeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The lease is kept until the work has ended: what it guards must not overlap. Once it
            # is lost, others wait only so much longer.
            is_ended = await _ended(worker, within=self._margin() if keeper.done() else None)
            is_lost = keeper.done()
            await _ended(keeper, within=None)
            self._set_leading(value=False)
            if not is_lost and self._settings.is_released:
                await self._release()
        if is_lost:
            keeper.result()
        if is_ended:
            worker.result()

    def _margin(self) -> float:
        """Seconds that the work has to end after a loss: none when others may lead already."""
        left = self._renewed_at + self._settings.duration - self._clock()
        return min(max(left, 0.0), self._settings.duration - self._settings.renew_deadline)

    def check(self) -> None:
        """Raise AbandonedError when others may lead: to be asked just before a write."""
        if self._clock() - self._renewed_at >= self._settings.duration:
            raise errors.AbandonedError(
                f"the leader lease {self._namespace}/{self._name} has run out: nothing is written"
            )

    async def _acquire(self) -> None:
        _log.info(f"attempting to acquire leader lease {self._namespace}/{self._name}...")
        while not await self._attempt_or_release():
            period = self._settings.retry_period
            await self._sleep(period * (1 + _JITTER * self._rng.random()))
        self._set_leading(value=True)
        _log.info(f"successfully acquired lease {self._namespace}/{self._name}")

    async def _attempt_or_release(self) -> bool:
        try:
            return await self._attempt()
        except asyncio.CancelledError:
            # Stopped in the middle: the write may have got through, and nobody would ever know.
            if self._settings.is_released:
                await self._release()
            raise

    async def _keep(self) -> None:
        """Renew until it fails for too long; raises LeaseLostError."""
        while True:
            await self._sleep(self._settings.retry_period)
            remaining = self._renewed_at + self._settings.renew_deadline - self._clock()
            if remaining <= 0 or not await self._attempt(within=remaining):
                if self._is_taken_by_another() or self._overdue():
                    self.role = Role.FAILING
                    if self._is_taken_by_another():
                        self._renewed_at = -math.inf
                    raise LeaseLostError(
                        f"lost the leader lease {self._namespace}/{self._name}"
                        + (f": {self.error}" if self.error else f" to {self.holder}")
                    )
                self.role = Role.LEADER

    def _overdue(self) -> bool:
        return self._clock() - self._renewed_at >= self._settings.renew_deadline

    def _is_taken_by_another(self) -> bool:
        return bool(self.holder) and self.holder != self._identity

    async def _attempt(self, *, within: float | None = None) -> bool:
        """Try once to get or renew the lease, for ``within`` seconds at most."""
        # The time before the request counts: others measure from when they saw the write.
        began = self._clock()
        try:
            async with asyncio.timeout(within or self._settings.renew_deadline):
                is_held = await self._try()
        except (errors.OcisourceError, TimeoutError) as exc:
            self.role = Role.FAILING
            # A last try cut short says less than those before it.
            late = self.error or "no answer in time"
            text = exc.text if isinstance(exc, errors.OcisourceError) else late
            if text != self.error:
                _log.error(
                    f"unable to get or renew lease {self._namespace}/{self._name}", error=text
                )
            self.error = text
            return False
        self.error = ""
        if is_held:
            self._renewed_at = began
            self.role = Role.LEADER
        else:
            self.role = Role.STANDBY
        return is_held

    async def _try(self) -> bool:
        try:
            found = await self._api.get(
                resources.LEASES, self._name, namespace=self._namespace, is_limited=False
            )
        except errors.APIStatusError as exc:
            if not answers.is_not_found(exc):
                raise
            return await self._create()
        if self._record is None or found.spec != self._record.spec:
            self._record_changed_at = self._clock()
        self._record = found
        is_mine = found.spec.holder_identity == self._identity
        if found.spec.holder_identity and not is_mine:
            duration = float(found.spec.lease_duration_seconds or self._settings.duration)
            if self._clock() < self._record_changed_at + duration:
                return False
        return await self._write(self._renewed(found, is_mine=is_mine))

    def _renewed(self, found: resources.Lease, *, is_mine: bool) -> resources.Lease:
        now = timestamps.format_micro(self._wall())
        transitions = found.spec.lease_transitions or 0
        spec = resources.LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._settings.whole_duration,
            acquire_time=found.spec.acquire_time if is_mine else now,
            renew_time=now,
            lease_transitions=transitions if is_mine else transitions + 1,
        )
        return msgspec.structs.replace(found, spec=spec)

    async def _create(self) -> bool:
        now = timestamps.format_micro(self._wall())
        made = resources.Lease(
            metadata=meta.ObjectMeta(name=self._name, namespace=self._namespace),
            spec=resources.LeaseSpec(
                holder_identity=self._identity,
                lease_duration_seconds=self._settings.whole_duration,
                acquire_time=now,
                renew_time=now,
                lease_transitions=0,
            ),
        )
        try:
            created = await self._api.create(
                resources.LEASES, made, namespace=self._namespace, is_limited=False
            )
        except errors.APIStatusError as exc:
            if answers.is_already_there(exc):
                return False
            raise
        self._record = created
        self._record_changed_at = self._clock()
        return True

    async def _write(self, lease: resources.Lease) -> bool:
        try:
            self._record = await self._api.update(
                resources.LEASES,
                self._name,
                lease,
                namespace=self._namespace,
                is_limited=False,
            )
        except errors.APIStatusError as exc:
            if answers.is_conflict(exc):
                return False  # another candidate was faster; the next try sees who
            raise
        self._record_changed_at = self._clock()
        return True

    async def _release(self) -> None:
        """Give the lease up, so that the next leader need not wait; a failure is only logged."""
        try:
            async with asyncio.timeout(self._settings.retry_period):
                # A renewal that was cancelled may have been written all the same: read, then write.
                while not await self._try_to_release():
                    pass
        except (errors.OcisourceError, TimeoutError) as exc:
            _log.error(
                f"unable to release lease {self._namespace}/{self._name}",
                error=str(exc) or "no answer in time",
            )

    async def _try_to_release(self) -> bool:
        """Whether there is no more to be done; False when somebody else wrote meanwhile."""
        try:
            found = await self._api.get(
                resources.LEASES, self._name, namespace=self._namespace, is_limited=False
            )
        except errors.APIStatusError as exc:
            if answers.is_not_found(exc):
                return True
            raise
        if found.spec.holder_identity != self._identity:
            return True
        now = timestamps.format_micro(self._wall())
        spec = msgspec.structs.replace(
            found.spec,
            holder_identity="",
            lease_duration_seconds=1,
            acquire_time=now,
            renew_time=now,
        )
        is_released = await self._write(msgspec.structs.replace(found, spec=spec))
        if is_released:
            _log.info(f"released lease {self._namespace}/{self._name}")
        return is_released

    def _set_leading(self, *, value: bool) -> None:
        if not value and self.role is Role.LEADER:
            self.role = Role.STANDBY
        if self._observed is not None:
            self._observed.is_leader.labels(self._name).set(int(value))


async def _ended(task: asyncio.Task[None], *, within: float | None) -> bool:
    """Cancel a task and wait for its end, even if we are being cancelled meanwhile.

    ``within`` bounds the wait, in seconds; returns whether the task has ended.
    """
    task.cancel()
    waiting = asyncio.ensure_future(asyncio.wait({task}, timeout=within))
    while not waiting.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(waiting)
    return task.done()
