"""Fixtures for all tests: real parts, full and reduced counts, a clean event loop, workers."""

import asyncio
import contextlib
import gc
import inspect
import os
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping

import hypothesis
import pytest

from ocisource.manifests import load
from tests import distribution
from tests.parts import (
    certificates,
    git,
    kubectl,
    kubernetes,
    loops,
    nginx,
    proxy,
    registry,
    skopeo,
)

# A loaded machine is no reason to fail: no property test has a deadline.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")

_MOST_WORKERS = 8  # more have nothing to do while the control planes' tests take their time
_MEASURED = "measured"


@pytest.fixture(scope="session")
def counts() -> Callable[[int, int], int]:
    """``counts(full, reduced)``: the full count with OCISOURCE_SOAK=1, else the reduced one."""
    is_full = os.environ.get("OCISOURCE_SOAK") == "1"
    return lambda full, reduced: full if is_full else reduced


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage meanwhile: what is collected here is kept to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for counts has full ones, and belongs to the soak; the longest scopes first."""
    for item in items:
        if "counts" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.soak)
    items.sort(key=lambda item: distribution.scope(item.nodeid) not in distribution.PLANES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, since many tests wait."""
    can_tell = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1
    return min(cores + 1, _MOST_WORKERS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> distribution.Scheduling:
    """One of our own, whatever ``--dist`` says."""
    config.option.loadscopereorder = False
    return distribution.Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured, on whichever worker."""
    passed = terminalreporter.stats.get("passed", ())
    measured = [(each.nodeid, text) for each in passed for text in _measured(each)]
    if measured:
        terminalreporter.section("measured")
    for test, text in measured:
        terminalreporter.write_line(f"{test}: {text}")


def _measured(report: pytest.TestReport) -> list[object]:
    return [text for name, text in report.user_properties if name == _MEASURED]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """``measured(text)``: a figure that is printed after the last test."""
    return lambda text: record_property(_MEASURED, text)


@pytest.fixture(autouse=True)
def _clean_loop(request: pytest.FixtureRequest) -> None:
    """Give every asynchronous test a loop that must be clean at its end."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("watched_loop")


@pytest.fixture
async def watched_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """The running loop; fails when tasks are left or an exception reached only the loop."""
    async with loops.watched() as loop:
        yield loop


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Hide the user's proxies, Docker logins, kubeconfig and cloud settings from the tests."""
    for name in list(os.environ):
        lower = name.lower()
        if lower.endswith("_proxy") or lower.startswith(("aws_", "azure_", "google_")):
            monkeypatch.delenv(name)
    for name in ("KUBECONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "RUNTIME_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


@pytest.fixture(scope="session")
def authority() -> certificates.Authority:
    """A certificate authority that nobody trusts yet."""
    return certificates.Authority.create()


@pytest.fixture
def start_registry(
    tmp_path: pathlib.Path, authority: certificates.Authority
) -> Iterator[Callable[..., registry.Registry]]:
    """Start real registries: ``start_registry(users=…, tls=…, client_authority=…, more=…)``."""
    with contextlib.ExitStack() as running:

        def start(
            *,
            users: Mapping[str, str] | None = None,
            tls: certificates.Pair | None = None,
            client_authority: certificates.Authority | None = None,
            more: Mapping[str, object] | None = None,
        ) -> registry.Registry:
            folder = tmp_path / f"registry-{uuid.uuid4().hex[:8]}"
            part = registry.start(
                folder, users=users, tls=tls, client_authority=client_authority, more=more
            )
            return running.enter_context(part)

        yield start


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry.Registry]:
    """One plain registry for the whole run; use a repository name of your own."""
    with registry.start(tmp_path_factory.mktemp("registry")) as part:
        yield part


@pytest.fixture
def start_nginx(tmp_path: pathlib.Path) -> Iterator[Callable[..., nginx.Nginx]]:
    """Start nginx with any text inside its http section: ``start_nginx(text, count=1)``."""
    with contextlib.ExitStack() as running:

        def start(text: str, *, count: int = 1) -> nginx.Nginx:
            folder = tmp_path / f"nginx-{uuid.uuid4().hex[:8]}"
            return running.enter_context(nginx.start(folder, text, count=count))

        yield start


@pytest.fixture
def start_proxy(tmp_path: pathlib.Path) -> Iterator[Callable[..., proxy.Proxy]]:
    """Start a forward proxy: ``start_proxy(user=None, password="")``."""
    with contextlib.ExitStack() as running:

        def start(*, user: str | None = None, password: str = "") -> proxy.Proxy:
            folder = tmp_path / f"proxy-{uuid.uuid4().hex[:8]}"
            return running.enter_context(proxy.start(folder, user=user, password=password))

        yield start


@pytest.fixture
def new_git(tmp_path: pathlib.Path) -> Callable[[pathlib.Path], git.Git]:
    """Make an empty git repository in a folder: ``new_git(folder)``."""
    return lambda folder: git.create(folder, home=tmp_path / "git-home")


@pytest.fixture
def skopeo_client(tmp_path: pathlib.Path) -> skopeo.Skopeo:
    """Skopeo without anybody's settings."""
    return skopeo.find(tmp_path / "skopeo-home")


@pytest.fixture(scope="session")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[kubernetes.ControlPlane]:
    """One real API server for the whole run; use a namespace of your own."""
    with kubernetes.start(tmp_path_factory.mktemp("kubernetes")) as plane:
        yield plane


@pytest.fixture(scope="session")
def source_api(control_plane: kubernetes.ControlPlane) -> kubernetes.ControlPlane:
    """The real API server with the shipped OCIRepository CRD."""
    control_plane.create_crd(load.crd())
    return control_plane


@pytest.fixture
def namespace(control_plane: kubernetes.ControlPlane) -> str:
    """A fresh namespace on the real API server."""
    return control_plane.create_namespace(f"test-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def start_control_plane(
    tmp_path: pathlib.Path,
) -> Iterator[Callable[[], kubernetes.ControlPlane]]:
    """Start a control plane of the test's own, to be stopped and restarted at will."""
    with contextlib.ExitStack() as running:

        def start() -> kubernetes.ControlPlane:
            folder = tmp_path / f"kubernetes-{uuid.uuid4().hex[:8]}"
            return running.enter_context(kubernetes.start(folder))

        yield start


@pytest.fixture
def admin(control_plane: kubernetes.ControlPlane, tmp_path: pathlib.Path) -> kubectl.Kubectl:
    """Stock kubectl as the administrator of the real API server."""
    return kubectl.find(control_plane.kubeconfig(), home=tmp_path / "kubectl-home")


@pytest.fixture
def new_kubectl(tmp_path: pathlib.Path) -> Callable[[pathlib.Path], kubectl.Kubectl]:
    """Stock kubectl for any kubeconfig: ``new_kubectl(path)``."""
    return lambda path: kubectl.find(path, home=tmp_path / f"kubectl-{uuid.uuid4().hex[:8]}")
