"""The cache of cloud credentials: lifetimes, bounds, one fetch for many, renewal, counts."""

import asyncio
import dataclasses

import pytest

from ocisource import errors
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import tokens

OWNER = tokens.Owner("app", "apps")


@dataclasses.dataclass(slots=True)
class Desk:
    """Issues a new credential each time."""

    lifetime: float = 1000.0
    issued: int = 0
    gate: asyncio.Event | None = None
    refusal: errors.CredentialError | None = None

    async def __call__(self) -> tokens.Issued:
        """The next one."""
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.issued += 1
        return tokens.Issued(credential(self.issued), self.lifetime)


def credential(number: int) -> credentials.Credential:
    """The desk's credential with this number."""
    return credentials.Credential(username="u", password=str(number))


@dataclasses.dataclass(slots=True)
class Count:
    """An Observer that writes down what it hears."""

    heard: list[tuple[object, ...]] = dataclasses.field(default_factory=list)

    def looked_up(self, owner: tokens.Owner, *, is_hit: bool) -> None:
        """As of Observer."""
        self.heard.append((owner.name, "hit" if is_hit else "miss"))

    def requested(self, *, is_success: bool) -> None:
        """As of Observer."""
        self.heard.append(("requested", is_success))

    def kept(self, count: int) -> None:
        """As of Observer."""
        self.heard.append(("kept", count))

    def evicted(self) -> None:
        """As of Observer."""
        self.heard.append(("evicted",))


class Clock:
    """Time that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """Now, in seconds."""
        return self.now


@pytest.mark.parametrize(
    ("lifetime", "duration", "life"),
    [(1000.0, 3600.0, 800.0), (12 * 3600.0, 3600.0, 3600.0), (1000.0, 500.0, 500.0)],
)
async def test_a_credential_lives_80_percent_of_its_lifetime_up_to_the_bound(
    lifetime: float, duration: float, life: float
) -> None:
    """Then it is fetched anew."""
    clock, desk = Clock(), Desk(lifetime)
    cache = tokens.TokenCache(duration=duration, clock=clock, wall=clock)
    assert await cache.get("a", desk, owner=OWNER) == credential(1)
    clock.now = life - 0.1
    assert await cache.get("a", desk, owner=OWNER) == credential(1)
    clock.now = life
    assert await cache.get("a", desk, owner=OWNER) == credential(2)


async def test_a_credential_ends_while_the_machine_sleeps() -> None:
    """The monotonic clock stands still meanwhile; the wall's has gone on."""
    wall, desk = Clock(), Desk(lifetime=1000.0)
    cache = tokens.TokenCache(clock=Clock(), wall=wall)
    first = await cache.get("a", desk, owner=OWNER)
    assert await cache.get("a", desk, owner=OWNER) == first
    wall.now = tokens.FRESH
    assert await cache.renewed("a", desk, stale=first, owner=OWNER) == credential(2)
    wall.now += 800.0
    assert await cache.get("a", desk, owner=OWNER) == credential(3)


async def test_the_longest_unused_makes_room() -> None:
    """Two are kept of three; the metrics tell it."""
    count, desk = Count(), Desk()
    cache = tokens.TokenCache(size=2, observer=count)
    for key in ("a", "b", "a", "c", "a", "b"):
        await cache.get(key, desk, owner=OWNER)
    assert len(cache) == 2
    assert [said for said in count.heard if said[0] == "app"] == [
        ("app", "miss"),
        ("app", "miss"),
        ("app", "hit"),
        ("app", "miss"),
        ("app", "hit"),
        ("app", "miss"),
    ]
    assert count.heard.count(("evicted",)) == 2
    assert count.heard.count(("requested", True)) == 6
    assert [said for said in count.heard if said[0] == "kept"][-1] == ("kept", 2)
    await cache.close()
    assert count.heard[-1] == ("kept", 0)


async def test_a_size_of_zero_keeps_nothing() -> None:
    """Each run fetches; a refusal of what was issued for this very run is final."""
    desk = Desk()
    cache = tokens.TokenCache(size=0)
    first = await cache.get("a", desk, owner=OWNER)
    assert await cache.get("a", desk, owner=OWNER) == credential(2)
    assert await cache.renewed("a", desk, stale=first, owner=OWNER) is None
    assert desk.issued == 2


async def test_many_share_one_fetch_and_one_waiter_that_leaves_ends_it_for_nobody_else() -> None:
    """A thousand objects with one identity are one login."""
    desk = Desk(gate=asyncio.Event())
    assert desk.gate is not None
    cache = tokens.TokenCache()
    waiters = [asyncio.create_task(cache.get("a", desk, owner=OWNER)) for _ in range(1000)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    desk.gate.set()
    assert set(await asyncio.gather(*waiters[1:])) == {credential(1)}


async def test_different_keys_never_share() -> None:
    """Tenants do not mix."""
    desk, cache = Desk(), tokens.TokenCache()
    found = await asyncio.gather(
        cache.get("a", desk, owner=OWNER), cache.get("b", desk, owner=OWNER)
    )
    assert found[0] != found[1]


async def test_a_failure_is_told_to_all_and_not_remembered() -> None:
    """The next run asks again."""
    count = Count()
    desk = Desk(refusal=errors.CredentialError("denied"))
    cache = tokens.TokenCache(observer=count)
    found = await asyncio.gather(
        *(cache.get("a", desk, owner=OWNER) for _ in range(3)), return_exceptions=True
    )
    assert [str(each) for each in found] == ["denied"] * 3
    assert count.heard.count(("requested", False)) == 3
    desk.refusal = None
    assert await cache.get("a", desk, owner=OWNER) == credential(1)


async def test_a_refused_credential_is_replaced_once_it_is_no_longer_fresh() -> None:
    """Expired before its time: another one. Refused at once: not allowed, no use in asking."""
    clock, desk = Clock(), Desk()
    cache = tokens.TokenCache(clock=clock, wall=clock)
    first = await cache.get("a", desk, owner=OWNER)
    clock.now = tokens.FRESH - 1
    assert await cache.renewed("a", desk, stale=first, owner=OWNER) is None
    clock.now = tokens.FRESH
    assert await cache.renewed("a", desk, stale=first, owner=OWNER) == credential(2)
    # Whoever comes later with the old one gets what the first has fetched.
    assert await cache.renewed("a", desk, stale=first, owner=OWNER) == credential(2)
    assert desk.issued == 2


async def test_close_ends_fetches_under_way() -> None:
    """Nobody waits for a cloud when the controller stops."""
    desk, cache = Desk(gate=asyncio.Event()), tokens.TokenCache()
    waiter = asyncio.create_task(cache.get("a", desk, owner=OWNER))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(errors.AbandonedError):
        await waiter
