"""Pools: who shares one, and when one is given up."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator

import msgspec
import pytest

from ocisource import errors
from ocisource.net.proxy import Proxy
from ocisource.net.tls import TLSIdentity
from ocisource.oci import limits
from ocisource.oci.authentication import credentials
from ocisource.oci.hosts import connections
from ocisource.oci.transport import pools
from tests.simulators import faketime

WAY = connections.Way(host="registry.example.com")
ALICE = credentials.Credential("alice", "s3cret")


@pytest.fixture
async def kept(time: faketime.FakeTime) -> AsyncIterator[pools.Pools]:
    """Pools that never connect anywhere."""
    found = pools.Pools(
        settings=limits.DEFAULT,
        clock=time.clock,
        wall=time.clock,
        rng=random.Random(1),
        sleep=time.skip,
    )
    yield found
    await found.close()


async def test_equal_tenants_share_a_pool(kept: pools.Pools) -> None:
    """Equal in every respect, made anew each time."""
    one = await kept.get(WAY, ALICE)
    assert (
        await kept.get(msgspec.structs.replace(WAY), credentials.Credential("alice", "s3cret"))
        is one
    )
    nobody = await kept.get(WAY, None)
    assert await kept.get(WAY, credentials.Credential()) is nobody


@pytest.mark.parametrize(
    ("way", "credential"),
    [
        (WAY, None),
        (WAY, credentials.Credential("alice", "other")),
        (WAY, credentials.Credential(identity_token="s3cret")),
        (msgspec.structs.replace(WAY, host="registry.example.com:443"), ALICE),
        (msgspec.structs.replace(WAY, is_insecure=True), ALICE),
        (msgspec.structs.replace(WAY, tls=TLSIdentity(ca_pem=b"x")), ALICE),
        (msgspec.structs.replace(WAY, tls=TLSIdentity(certificate_pem=b"x", key_pem=b"y")), ALICE),
        (msgspec.structs.replace(WAY, proxy=Proxy("http://proxy:80")), ALICE),
        (msgspec.structs.replace(WAY, proxy=Proxy("http://proxy:80", "u", "p")), ALICE),
    ],
)
async def test_different_tenants_do_not(
    kept: pools.Pools, way: connections.Way, credential: credentials.Credential | None
) -> None:
    """Host, insecure, CA, client certificate, proxy and credential all count."""
    assert await kept.get(way, credential) is not await kept.get(WAY, ALICE)


async def test_an_unused_pool_is_given_up(kept: pools.Pools, time: faketime.FakeTime) -> None:
    """After a quarter of an hour; one that is asked for stays."""
    old = await kept.get(WAY, ALICE)
    used = await kept.get(WAY, None)
    for _ in range(16):
        time.now += 60
        assert await kept.get(WAY, None) is used
    assert await kept.get(WAY, ALICE) is not old


async def test_a_pool_at_work_is_kept(kept: pools.Pools, time: faketime.FakeTime) -> None:
    """A blob may take longer than a quarter of an hour."""
    busy = await kept.get(WAY, ALICE)
    busy.transport._active = 1
    time.now += 5000
    await kept.get(WAY, None)
    assert await kept.get(WAY, ALICE) is busy


async def test_pools_are_bounded(kept: pools.Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused goes first."""
    monkeypatch.setattr(pools, "_POOLS_MAX", 3)
    first = await kept.get(msgspec.structs.replace(WAY, host="a"), None)
    for host in ("b", "c", "d"):
        last = await kept.get(msgspec.structs.replace(WAY, host=host), None)
    assert await kept.get(msgspec.structs.replace(WAY, host="d"), None) is last
    assert await kept.get(msgspec.structs.replace(WAY, host="a"), None) is not first


def test_no_credential_is_shown() -> None:
    """Keys and ways may be logged."""
    key = pools.PoolKey(
        msgspec.structs.replace(WAY, proxy=Proxy("http://proxy:80", "u", "pr0xy")), ALICE
    )
    assert "s3cret" not in repr(key)
    assert "pr0xy" not in repr(key)


async def test_a_tls_context_is_made_once_however_many_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading the system's roots for each of a thousand objects would hold up their start."""
    made: list[TLSIdentity] = []
    real = TLSIdentity.context

    def make(self: TLSIdentity, *, is_verified: bool = True) -> ssl.SSLContext:
        made.append(self)
        return real(self, is_verified=is_verified)

    monkeypatch.setattr(TLSIdentity, "context", make)
    contexts = connections.Contexts()
    found = await asyncio.gather(
        *(contexts.get(TLSIdentity(), is_verified=True) for _ in range(10))
    )
    assert len(made) == len(set(map(id, found))) == 1
    await contexts.get(TLSIdentity(), is_verified=False)
    assert len(made) == 2


async def test_closed_pools_make_no_more(kept: pools.Pools) -> None:
    """What comes too late is told so; a pool made then would be closed by nobody."""
    await kept.close()
    with pytest.raises(errors.AbandonedError, match="the registry client was closed"):
        await kept.get(WAY, ALICE)
