"""The reconciler's tests run against every API server there is."""

import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest

from ocisource.kube import config
from tests.reconciler import world as worlds

SUBJECTS = ("kubernetes",)


@pytest.fixture(params=SUBJECTS)
async def world(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[worlds.World]:
    """A namespace of one's own on each API server, with the CRD and a registry."""
    if request.param == "kubernetes":
        plane = request.getfixturevalue("source_api")
        namespace = plane.create_namespace(f"world-{uuid.uuid4().hex[:10]}")
        cluster = config.load(plane.kubeconfig())
    monkeypatch.setenv("RUNTIME_NAMESPACE", namespace)
    async with worlds.create(cluster, namespace=namespace, folder=tmp_path) as made:
        yield made
