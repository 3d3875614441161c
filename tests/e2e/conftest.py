"""Fixtures of the tests with real processes."""

import contextlib
import pathlib
import uuid
from collections.abc import Callable, Iterator

import pytest

from ocisource.manifests import load, render
from tests.e2e import cluster as clusters
from tests.parts import kubernetes, registry


@pytest.fixture(scope="session")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kubernetes.ControlPlane]:
    """A control plane for these tests alone, which stop it and change its definitions."""
    with kubernetes.start(tmp_path_factory.mktemp("e2e-kubernetes")) as plane:
        plane.create_crd(load.crd())
        yield plane


@pytest.fixture
def new_cluster(
    own_plane: kubernetes.ControlPlane,
    shared_registry: registry.Registry,
    tmp_path: pathlib.Path,
) -> Callable[..., clusters.Cluster]:
    """Make a namespace with the shipped roles: ``new_cluster(is_confined=False)``."""

    def make(*, is_confined: bool = False, has_workload_identity: bool = False) -> clusters.Cluster:
        namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        options = render.Options(
            namespace=namespace,
            is_watching_all_namespaces=not is_confined,
            has_workload_identity=has_workload_identity,
        )
        made = clusters.Cluster(own_plane, namespace, shared_registry, tmp_path, options)
        made.install()
        return made

    return make


@pytest.fixture
def cluster(new_cluster: Callable[..., clusters.Cluster]) -> clusters.Cluster:
    """A namespace with the shipped roles."""
    return new_cluster()


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What is entered here is left at the end."""
    with contextlib.ExitStack() as held:
        yield held
