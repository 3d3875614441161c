"""The reconciler's tests run against every API server there is."""

import contextlib
import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest

from ocisource.apiserver import server
from ocisource.kube import config
from ocisource.manifests import load
from tests.reconciler import histories
from tests.reconciler import world as worlds

SUBJECTS = ("embedded", "kubernetes")


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> pathlib.Path | None:
    """The kubeconfig of the real API server, or None for the embedded one."""
    if request.param == "embedded":
        return None
    kubeconfig: pathlib.Path = request.getfixturevalue("source_api").kubeconfig()
    return kubeconfig


@pytest.fixture
async def world(
    subject: pathlib.Path | None,
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[worlds.World]:
    """A namespace of one's own on each API server, with the CRD and a registry."""
    namespace = f"world-{uuid.uuid4().hex[:10]}"
    monkeypatch.setenv("RUNTIME_NAMESPACE", namespace)
    async with contextlib.AsyncExitStack() as stack:
        if subject is None:
            running = await server.serve(tmp_path / "api", manifests=[load.crd()])
            stack.push_async_callback(running.stop)
            subject = running.kubeconfig_path
        yield await stack.enter_async_context(
            worlds.create(config.load(subject), namespace=namespace, folder=tmp_path)
        )


@pytest.fixture
async def recorded(world: worlds.World) -> AsyncIterator[worlds.World]:
    """A world whose every status is recorded, and found valid at the end of the test."""
    async with world.recording():
        yield world
    assert world.history, "nothing was recorded"
    histories.check(world.history)
