"""Fixtures for command lines: a shell, and the clusters that it talks to."""

import functools
import pathlib
import uuid
from collections.abc import Iterator

import pytest

import ocisource
from ocisource.cli.sources import waiting
from tests.cli import session as sessions
from tests.cli import terminal
from tests.parts import kubernetes


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> terminal.Shell:
    """A shell without any cluster."""
    monkeypatch.chdir(tmp_path)
    for name in ("FLUX_SYSTEM_NAMESPACE", "FLUX_NS_FOLLOWS_KUBE_CONTEXT", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return terminal.Shell(monkeypatch)


@pytest.fixture(scope="session")
def embedded_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """Kubeconfig of an embedded API without a controller."""
    with terminal.embedded(tmp_path_factory.mktemp("embedded"), "apiserver") as kubeconfig:
        yield kubeconfig


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """Kubeconfig of ``ocisource up``: an embedded API with its controller."""
    folder = tmp_path_factory.mktemp("machine")
    flags = [f"--{name}-addr=127.0.0.1:0" for name in ("storage", "metrics", "health")]
    with terminal.embedded(folder, "up", *flags) as kubeconfig:
        yield kubeconfig


@pytest.fixture(params=["kubernetes", "embedded"])
def cluster(request: pytest.FixtureRequest, shell: terminal.Shell) -> terminal.Shell:
    """The shell at a real API server, and at the embedded one; without any controller."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    if request.param == "kubernetes":
        plane: kubernetes.ControlPlane = request.getfixturevalue("source_api")
        plane.create_namespace(name)
        shell.use(plane.kubeconfig(), namespace=name)
        return shell
    shell.use(request.getfixturevalue("embedded_api"), namespace=name)
    manifest = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
    pathlib.Path("namespace.yaml").write_text(manifest)
    assert shell("apply", "-f", "namespace.yaml").code == 0
    return shell


@pytest.fixture
def live(machine: pathlib.Path, shell: terminal.Shell) -> terminal.Shell:
    """The shell at an embedded API whose controller works."""
    shell.use(machine, namespace="default")
    return shell


@pytest.fixture
def session(shell: terminal.Shell) -> sessions.Session:
    """A session of the shell, whatever it talks to."""
    found = sessions.Session(shell)
    found.hide(ocisource.__version__, "VERSION", is_padded=False)
    if shell.namespace != "default":
        found.hide(shell.namespace, "NAMESPACE")
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a source looks once, and then its time is over."""

    async def over(_: float) -> None:
        raise TimeoutError

    once = functools.partial(waiting.settled, sleep=over)
    monkeypatch.setattr(waiting, "settled", once)
