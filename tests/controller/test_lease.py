"""Leader election: one leads, others wait, nobody trusts another's clock."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ocisource import errors, metrics
from ocisource.controller import lease
from ocisource.kube import client, config, exchange, logins
from tests.simulators import faketime, kubeapi

ROOT = "apis/coordination.k8s.io/v1/leases"
LEASES = r"/namespaces/flux-system/leases"


@dataclasses.dataclass(slots=True)
class Candidate:
    """One replica and what it does."""

    elector: lease.Elector
    log: list[str]
    task: asyncio.Task[None] | None = None
    is_slow_to_stop: bool = False
    gate: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    problem: Exception | None = None

    async def work(self) -> None:
        """Work until told to stop, or until the gate opens."""
        self.log.append("begins")
        try:
            await self.gate.wait()
            if self.problem is not None:
                raise self.problem
        except asyncio.CancelledError:
            if self.is_slow_to_stop:
                await self.gate.wait()
            raise
        finally:
            self.log.append("ends")

    def role(self) -> lease.Role:
        """What it is at the moment."""
        return self.elector.role

    def start(self) -> None:
        """Take part in the election."""
        self.task = asyncio.create_task(self.elector.run(self.work))

    async def stop(self) -> None:
        """Stop on purpose."""
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, errors.OcisourceError):
            await self.task


@dataclasses.dataclass(slots=True)
class Election:
    """A simulated API, made-up time, and the candidates."""

    server: kubeapi.KubeAPI
    time: faketime.FakeTime
    api: client.Client
    observed: metrics.Metrics
    candidates: list[Candidate]

    def candidate(self, identity: str, settings: lease.LeaseSettings = lease.DEFAULTS) -> Candidate:
        """Another replica."""
        elector = lease.Elector(
            self.api,
            namespace="flux-system",
            name="election",
            identity=identity,
            settings=settings,
            observed=self.observed,
            clock=self.time.clock,
            wall=self.time.clock,
            sleep=self.time.sleep,
        )
        made = Candidate(elector, [])
        self.candidates.append(made)
        return made

    @property
    def spec(self) -> dict[str, Any]:
        """The lease as the server has it."""
        found = self.server.get("leases", "election", "flux-system")
        assert found is not None
        spec: dict[str, Any] = found["spec"]
        return spec

    async def rest(self) -> None:
        """Wait until every candidate that takes part sleeps between two tries."""
        await faketime.until(
            lambda: (
                self.time.sleepers
                >= sum(made.task is not None and not made.task.done() for made in self.candidates)
            )
        )

    async def live(self, seconds: float) -> None:
        """Let time pass; no candidate is late because the machine is slow."""
        for _ in range(int(seconds)):
            await self.rest()
            await self.time.advance(1)


@pytest.fixture
async def election() -> AsyncIterator[Election]:
    """An election without candidates."""
    time = faketime.FakeTime()
    async with kubeapi.running() as server:
        cluster = config.ClusterConfig(server=server.url, login_source=logins.MaterialLogin())
        settings = exchange.ClientSettings(qps=1, burst=1, retries=0)
        async with client.Client(
            cluster, settings=settings, clock=time.clock, sleep=time.skip, environ={}
        ) as api:
            held = Election(server, time, api, metrics.Metrics(), [])
            yield held
            for made in held.candidates:
                if made.task is not None:
                    made.gate.set()
                    await made.stop()


async def test_the_first_candidate_leads_and_renews(election: Election) -> None:
    """It creates the lease, and writes a new time every retry period."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log == ["begins"])
    assert first.elector.is_leader
    assert election.spec["holderIdentity"] == "first"
    assert election.spec["leaseDurationSeconds"] == 35
    assert election.spec["leaseTransitions"] == 0
    acquired, renewed = election.spec["acquireTime"], election.spec["renewTime"]
    assert str(renewed).endswith("Z")
    assert "." in str(renewed)
    await election.live(6)
    await election.rest()
    assert election.spec["acquireTime"] == acquired
    assert election.spec["renewTime"] != renewed
    sample = election.observed.registry.get_sample_value
    assert sample("leader_election_master_status", {"name": "election"}) == 1
    await first.stop()
    assert sample("leader_election_master_status", {"name": "election"}) == 0


async def test_a_standby_waits_while_the_leader_renews(election: Election) -> None:
    """However long, as long as the record changes."""
    first, second = election.candidate("first"), election.candidate("second")
    first.start()
    await faketime.until(lambda: first.log)
    second.start()
    await election.live(120)
    assert second.log == []
    assert second.elector.role is lease.Role.STANDBY
    assert second.elector.holder == "first"


async def test_a_silent_leader_is_replaced_after_the_lease_ran_out(election: Election) -> None:
    """Measured by the standby's own clock from when it last saw a change."""
    election.server.put(
        ROOT,
        {
            "metadata": {"name": "election", "namespace": "flux-system"},
            "spec": {
                "holderIdentity": "dead",
                "leaseDurationSeconds": 35,
                # A clock that is hours ahead, or behind, changes nothing.
                "renewTime": "2099-01-01T00:00:00.000000Z",
                "leaseTransitions": 4,
            },
        },
    )
    second = election.candidate("second")
    second.start()
    await election.live(34)
    assert second.log == []
    await election.live(13)
    assert second.log == ["begins"]
    assert election.spec["holderIdentity"] == "second"
    assert election.spec["leaseTransitions"] == 5


async def test_a_leader_that_stops_releases_the_lease(election: Election) -> None:
    """The work ends first; the next leader need not wait for the lease to run out."""
    first, second = election.candidate("first"), election.candidate("second")
    first.start()
    await faketime.until(lambda: first.log)
    second.start()
    await election.live(1)
    await first.stop()
    assert first.log == ["begins", "ends"]
    assert election.spec["holderIdentity"] == ""
    await election.live(12)
    assert second.log == ["begins"]


async def test_the_lease_is_kept_until_the_work_has_ended(election: Election) -> None:
    """A slow stop is no moment in which two lead."""
    first = election.candidate("first")
    first.is_slow_to_stop = True
    first.start()
    await faketime.until(lambda: first.log)
    assert first.task is not None
    first.task.cancel()
    await faketime.settle()
    renewed = election.spec["renewTime"]
    await election.live(11)
    await election.rest()
    assert election.spec["holderIdentity"] == "first"
    assert election.spec["renewTime"] != renewed
    first.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    assert election.spec["holderIdentity"] == ""


async def test_without_release_the_lease_is_left_to_run_out(election: Election) -> None:
    """``--leader-election-release-on-cancel=false``."""
    first = election.candidate("first", lease.LeaseSettings(is_released=False))
    first.start()
    await faketime.until(lambda: first.log)
    await first.stop()
    assert election.spec["holderIdentity"] == "first"


async def test_a_leader_cut_off_stops_before_its_lease_runs_out(election: Election) -> None:
    """After 30 s without a renewal the work is ended and the loss told."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log)
    election.server.fail(LEASES, 500, times=1000)
    await election.live(28)
    assert first.log == ["begins"]
    assert first.elector.is_leader
    await election.live(8)
    assert first.task is not None
    with pytest.raises(lease.LeaseLostError, match="lost the leader lease flux-system/election"):
        await first.task
    assert first.log == ["begins", "ends"]
    assert first.role() is lease.Role.FAILING


async def test_what_was_wrong_is_told_though_the_last_try_was_cut_short(
    election: Election,
) -> None:
    """The try that the deadline ends knows no reason; those before it did."""
    settings = lease.LeaseSettings(duration=25.0, renew_deadline=20.0, retry_period=9.99)
    first = election.candidate("first", settings)
    first.start()
    await faketime.until(lambda: first.log)
    election.server.fail(LEASES, 500, message="etcd is gone")
    gate = election.server.hold(LEASES)
    for _ in range(3):  # refused; without an answer for the 20 ms that are left; too late
        await election.rest()
        await election.time.advance(9.99)
    assert first.task is not None
    with pytest.raises(lease.LeaseLostError, match="flux-system/election: etcd is gone"):
        await first.task
    gate.set()


async def test_a_short_outage_costs_no_leadership(election: Election) -> None:
    """20 s without an answer are survived."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log)
    election.server.fail(LEASES, 500, times=4)
    await election.live(60)
    assert first.log == ["begins"]
    assert first.elector.is_leader


async def test_a_lease_taken_by_another_is_lost_at_once(election: Election) -> None:
    """Whoever finds another's name in the lease stops working."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log)
    found = election.server.get("leases", "election", "flux-system")
    assert found is not None
    election.server.put(ROOT, found | {"spec": found["spec"] | {"holderIdentity": "thief"}})
    await election.live(6)
    assert first.task is not None
    with pytest.raises(lease.LeaseLostError, match="thief"):
        await first.task
    assert election.spec["holderIdentity"] == "thief"


async def test_of_two_that_write_at_once_one_wins(election: Election) -> None:
    """The write carries the version that was read; a conflict means standing by."""
    first, second = election.candidate("first"), election.candidate("second")
    gate = election.server.hold("^(POST|PUT) .*leases", times=2)
    first.start()
    second.start()
    await faketime.until(lambda: election.server.count("^POST .*leases") == 2)
    gate.set()
    await faketime.until(lambda: first.log or second.log)
    await election.live(20)
    assert sorted([first.log, second.log]) == [[], ["begins"]]


async def test_a_replica_that_cannot_reach_the_api_is_failing_not_standing_by(
    election: Election,
) -> None:
    """Readiness tells the two apart."""
    election.server.fail(LEASES, 403, reason="Forbidden", message="leases is forbidden", times=2)
    first = election.candidate("first")
    assert first.role() is lease.Role.STARTING
    first.start()
    await election.rest()
    assert first.role() is lease.Role.FAILING
    assert first.elector.error == "leases is forbidden"
    await election.live(25)
    assert first.role() is lease.Role.LEADER
    assert first.elector.error == ""


async def test_the_works_end_and_its_errors_are_handed_on(election: Election) -> None:
    """run() returns when the work does, and raises what it raises; the lease is released."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log)
    first.problem = errors.StorageError("disk full")
    first.gate.set()
    assert first.task is not None
    with pytest.raises(errors.StorageError, match="disk full"):
        await first.task
    assert election.spec["holderIdentity"] == ""


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"duration": 30.0, "renew_deadline": 30.0}, "lease-duration"),
        ({"renew_deadline": 5.0, "retry_period": 5.0}, "renew-deadline"),
        ({"retry_period": 0.0}, "retry-period"),
    ],
)
def test_contradicting_settings_are_refused(settings: dict[str, float], flag: str) -> None:
    """The text names the flag."""
    with pytest.raises(errors.UsageError, match=flag):
        lease.LeaseSettings(**settings)  # type: ignore[arg-type]


async def test_a_renewal_whose_answer_was_lost_does_not_prevent_the_release(
    election: Election,
) -> None:
    """The record on the server is newer than ours, and still ours to release."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log)
    found = election.server.get("leases", "election", "flux-system")
    assert found is not None
    written = found["spec"] | {"renewTime": "2026-01-01T00:00:00.000000Z"}
    election.server.put(ROOT, found | {"spec": written})
    await first.stop()
    assert election.spec["holderIdentity"] == ""


async def test_others_are_told_a_duration_that_is_not_shorter_than_ours(
    election: Election,
) -> None:
    """The record holds whole seconds: rounded down, others would begin while we still work."""
    settings = lease.LeaseSettings(duration=4.5, renew_deadline=4.2, retry_period=1.0)
    first = election.candidate("first", settings)
    first.start()
    await faketime.until(lambda: first.log == ["begins"])
    assert election.spec["leaseDurationSeconds"] == 5
    await election.live(2)
    await election.rest()
    assert election.spec["leaseDurationSeconds"] == 5


async def test_a_candidate_stopped_in_the_middle_of_a_try_leaves_no_lease_behind(
    election: Election,
) -> None:
    """Its write may have got through without its knowing; others need not wait for its end."""
    first = election.candidate("first")
    gate = election.server.hold(LEASES)
    first.start()
    await faketime.until(lambda: election.server.count(LEASES) == 1)
    metadata = {"name": "election", "namespace": "flux-system"}
    spec = {"holderIdentity": "first", "leaseDurationSeconds": 35, "leaseTransitions": 0}
    election.server.put(ROOT, {"metadata": metadata, "spec": spec})
    await first.stop()
    gate.set()
    assert first.log == []
    assert election.spec["holderIdentity"] == ""


async def test_nothing_may_be_written_once_others_may_lead(election: Election) -> None:
    """Whoever was frozen wakes up in the middle of its work: the clock tells, not the tries."""
    first = election.candidate("first")
    with pytest.raises(errors.AbandonedError):
        first.elector.check()
    first.start()
    await faketime.until(lambda: first.log == ["begins"])
    first.elector.check()
    election.time.now += 34
    first.elector.check()
    election.time.now += 1
    with pytest.raises(errors.AbandonedError, match="lease flux-system/election has run out"):
        first.elector.check()


async def test_nothing_may_be_written_once_another_leads(election: Election) -> None:
    """However little time has passed."""
    first = election.candidate("first")
    first.start()
    await faketime.until(lambda: first.log == ["begins"])
    found = election.server.get("leases", "election", "flux-system")
    assert found is not None
    election.server.put(ROOT, found | {"spec": found["spec"] | {"holderIdentity": "thief"}})
    assert first.task is not None
    await election.live(6)
    with pytest.raises(lease.LeaseLostError, match="to thief"):
        await first.task
    with pytest.raises(errors.AbandonedError):
        first.elector.check()


def test_time_asleep_counts() -> None:
    """The default clock goes on while the machine sleeps."""
    before = lease._elapsed()
    assert before <= lease._elapsed()
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert before <= time.clock_gettime(time.CLOCK_BOOTTIME)
