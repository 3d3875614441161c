"""What the client's tests share: a simulated API and clients of it."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ocisource.kube import client, config, exchange, logins
from tests.simulators import faketime, kubeapi

NewClient = Callable[..., client.Client]


@dataclasses.dataclass(slots=True)
class Logins:
    """A login source that steps through tokens as they are rejected."""

    tokens: list[str]
    is_renewable: bool = True
    rejected: list[str] = dataclasses.field(default_factory=list)

    async def login(self) -> logins.Login:
        """The present token."""
        return logins.Login(token=self.tokens[0])

    def reject(self, login: logins.Login) -> bool:
        """Go to the next one."""
        self.rejected.append(login.token)
        if self.is_renewable and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.is_renewable


@pytest.fixture
async def server() -> AsyncIterator[kubeapi.KubeAPI]:
    """A running simulator."""
    async with kubeapi.running() as api:
        yield api


@pytest.fixture
def time() -> faketime.FakeTime:
    """Time that jumps instead of passing."""
    return faketime.FakeTime()


@pytest.fixture
async def new_client(server: kubeapi.KubeAPI, time: faketime.FakeTime) -> AsyncIterator[NewClient]:
    """Make clients: ``new_client(login_source=…, settings…)``; they are closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        def make(login_source: logins.LoginSource | None = None, **more: Any) -> client.Client:
            options: dict[str, Any] = {
                "clock": time.clock,
                "wall": time.clock,
                "sleep": time.skip,
                "environ": {},
            }
            for name in ("observed", "warn"):
                if name in more:
                    options[name] = more.pop(name)
            fields = {name: more.pop(name) for name in ("impersonation",) if name in more}
            cluster = config.ClusterConfig(
                server=server.url, login_source=login_source or logins.MaterialLogin(), **fields
            )
            settings = exchange.ClientSettings(**({"qps": 0.0} | more))
            made = client.Client(cluster, settings=settings, **options)
            stack.push_async_callback(made.close)
            return made

        yield make
