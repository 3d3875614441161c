"""What the tests of the registry client share: time that jumps, and a client that uses it."""

from collections.abc import AsyncIterator, Callable

import pytest

from ocisource.oci import limits, registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from tests.simulators import faketime
from tests.simulators.registry import Simulator

WALL = 1_700_000_000.0  # seconds since the epoch


@pytest.fixture
def time() -> faketime.FakeTime:
    """Time that jumps over each sleep."""
    return faketime.FakeTime()


@pytest.fixture
async def registries(time: faketime.FakeTime) -> AsyncIterator[registry.Registries]:
    """A client that never waits; HTTPS is not given up for being slow on a busy machine."""
    found = registry.Registries(
        settings=limits.RegistrySettings(head_start=600.0),
        clock=time.clock,
        wall=lambda: WALL,
        sleep=time.skip,
    )
    yield found
    await found.close()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A registry without faults that lets everybody in."""
    async with Simulator() as found:
        yield found


Remote = Callable[..., registry.RemoteRepository]


@pytest.fixture
def remote(registries: registry.Registries) -> Remote:
    """``remote(host, repo="org/app", user=…, password=…, access=…)``: a repository there."""

    def view(
        host: str,
        repo: str = "org/app",
        *,
        user: str = "",
        password: str = "",
        access: registry.Access | None = None,
    ) -> registry.RemoteRepository:
        if access is None:
            credential = credentials.Credential(user, password) if user else None
            access = registry.Access(keychain=credentials.StaticKeychain(credential))
        return registries.repository(reference.Repository(host, repo), access)

    return view
