"""What the controller's tests share: a simulated API, a client of it, time that jumps."""

import dataclasses
from collections.abc import AsyncIterator

import pytest

from ocisource.kube import client, config, exchange, logins, resources
from tests.simulators import faketime, kubeapi

ROOT = "api/v1/configmaps"


@dataclasses.dataclass(slots=True)
class Bench:
    """A simulator, its client, and the time both know."""

    server: kubeapi.KubeAPI
    api: client.Client
    time: faketime.FakeTime

    def put(self, name: str, *, namespace: str = "default", **data: str) -> None:
        """Create or change a ConfigMap."""
        self.server.put(
            ROOT, {"metadata": {"name": name, "namespace": namespace}, "data": dict(data)}
        )

    def drop(self, name: str, *, namespace: str = "default") -> None:
        """Delete a ConfigMap."""
        self.server.drop(ROOT, name, namespace)


CONFIG_MAPS = resources.CONFIG_MAPS


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A running simulator and a client whose sleeps take no time."""
    time = faketime.FakeTime()
    async with kubeapi.running() as server:
        cluster = config.ClusterConfig(server=server.url, login_source=logins.MaterialLogin())
        settings = exchange.ClientSettings(qps=0, page_size=3)
        async with client.Client(
            cluster, settings=settings, clock=time.clock, sleep=time.skip, environ={}
        ) as api:
            yield Bench(server, api, time)
