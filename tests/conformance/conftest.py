"""The API servers that one suite runs against: the embedded one and a real kube-apiserver."""

import contextlib
import dataclasses
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import yarl

from ocisource.apiserver import server
from ocisource.kube import client, config, exchange, resources
from tests.parts import kubectl
from tests.simulators import faketime, relay

KINDS = ("embedded", "kube-apiserver")


@dataclasses.dataclass(slots=True)
class Subject:
    """An API server behind a relay; ``direct`` passes the relay by, ``relayed`` does not."""

    kubeconfig: pathlib.Path
    namespace: str
    relay: relay.Relay
    direct: client.Client
    relayed: client.Client
    time: faketime.FakeTime
    kubectl: kubectl.Kubectl


@pytest.fixture(params=KINDS)
async def subject(
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> AsyncIterator[Subject]:
    """Each API server in turn, with a namespace of the test's own."""
    name = f"conformance-{uuid.uuid4().hex[:10]}"
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "embedded":
            running = await server.serve(tmp_path / "api")
            stack.push_async_callback(running.stop)
            kubeconfig = running.kubeconfig_path
        else:
            kubeconfig = request.getfixturevalue("control_plane").kubeconfig()
        cluster = config.load(kubeconfig, environ={})
        address = yarl.URL(cluster.server)
        assert address.port is not None
        cable = await stack.enter_async_context(relay.running(address.port))
        time = faketime.FakeTime()
        clients = [
            await stack.enter_async_context(
                client.Client(
                    dataclasses.replace(cluster, server=str(address.with_port(port))),
                    settings=exchange.ClientSettings(qps=0, page_size=7),
                    environ={},
                    clock=time.clock,
                    sleep=time.skip,
                )
            )
            for port in (address.port, cable.port)
        ]
        await clients[0].create(resources.NAMESPACES, {"metadata": {"name": name}})
        yield Subject(
            kubeconfig, name, cable, clients[0], clients[1], time, new_kubectl(kubeconfig)
        )
