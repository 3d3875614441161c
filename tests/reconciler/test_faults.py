"""Registry and API break in turn; every object returns to Ready without a restart."""

import asyncio
import contextlib
import copy
import dataclasses
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from ocisource import serve, settings
from ocisource.api import ocirepository
from ocisource.kube import client, config, exchange, logins
from tests.reconciler import world as worlds
from tests.simulators import faults, kubeapi
from tests.simulators import registry as simulators

ROOT = f"apis/{ocirepository.GROUP}/v1/{ocirepository.PLURAL}"
REPOSITORIES = 10  # the objects share them
WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.05

Break = Callable[["Stage"], contextlib.AbstractAsyncContextManager[None]]


@dataclasses.dataclass(slots=True)
class Stage:
    """Both ends of the controller, and its objects."""

    api: kubeapi.KubeAPI
    registry: simulators.Simulator
    names: Sequence[str]
    release: str = ""

    def publish(self, release: str) -> None:
        """Move the tag of every repository to new content."""
        layer = worlds.layer({"release.txt": release.encode()})
        for number in range(REPOSITORIES):
            self.release = self.registry.add_image(f"app-{number}", "latest", layers=[layer])

    def ask(self, token: str) -> None:
        """Request a reconcile of every object, as if by somebody else's client."""
        for name in self.names:
            obj = copy.deepcopy(self.api.get(ocirepository.PLURAL, name))
            assert obj is not None
            obj["metadata"]["annotations"] = {ocirepository.REQUESTED_AT: token}
            self.api.put(ROOT, obj)

    def is_done(self, name: str, token: str) -> bool:
        """Ready with the newest release, and the request handled."""
        obj = self.api.get(ocirepository.PLURAL, name) or {}
        status: dict[str, Any] = obj.get("status", {})
        conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
        return (
            status.get("lastHandledReconcileAt") == token
            and f"sha256:{status.get('artifact', {}).get('revision')}" == self.release
            and conditions == {"Ready": "True", "ArtifactInStorage": "True"}
        )

    async def all_done(self, token: str, what: str) -> None:
        """Wait until every object is."""
        end = time.monotonic() + WAIT_SECONDS
        while waiting := [name for name in self.names if not self.is_done(name, token)]:
            assert time.monotonic() < end, (
                f"{what}: {len(waiting)} objects are not Ready again, such as "
                f"{self.api.get(ocirepository.PLURAL, waiting[0])}"
            )
            await asyncio.sleep(_POLL_SECONDS)

    async def has_been_felt(self, sign: Callable[[], bool]) -> None:
        """Wait until a fault has struck."""
        end = time.monotonic() + WAIT_SECONDS
        while not sign():
            assert time.monotonic() < end, "the fault struck nobody"
            await asyncio.sleep(_POLL_SECONDS)

    def failures(self) -> int:
        """How many objects are not Ready for a failure."""
        found = 0
        for name in self.names:
            status = (self.api.get(ocirepository.PLURAL, name) or {}).get("status", {})
            found += any(c["type"] == "FetchFailed" for c in status.get("conditions", ()))
        return found


def registry_fault(fault: simulators.Fault, *, method: str = "*") -> Break:
    """Let the registry fail until some objects say so."""

    @contextlib.asynccontextmanager
    async def broken(stage: Stage) -> AsyncIterator[None]:
        stage.registry.on(method, "/manifests/", fault)
        stage.registry.on(method, "/blobs/", fault)
        yield
        await stage.has_been_felt(lambda: stage.failures() > len(stage.names) // 4)
        stage.registry.heal()

    return broken


@contextlib.asynccontextmanager
async def registry_refuses(stage: Stage) -> AsyncIterator[None]:
    """Nothing listens where the registry was."""
    await stage.registry.__aexit__(None, None, None)
    yield
    await stage.has_been_felt(lambda: stage.failures() > len(stage.names) // 4)
    await stage.registry.__aenter__()


@contextlib.asynccontextmanager
async def registry_is_slow(stage: Stage) -> AsyncIterator[None]:
    """Answers take longer than the objects' timeout."""
    released = asyncio.Event()
    stage.registry.on("*", "/manifests/", faults.silence(released))
    yield
    await stage.has_been_felt(lambda: stage.failures() > len(stage.names) // 4)
    stage.registry.heal()
    released.set()


def api_fault(*strike: Callable[[kubeapi.KubeAPI], object]) -> Break:
    """Let the API fail for a number of requests."""

    @contextlib.asynccontextmanager
    async def broken(stage: Stage) -> AsyncIterator[None]:
        for each in strike:
            each(stage.api)
        yield

    return broken


@contextlib.asynccontextmanager
async def api_refuses(stage: Stage) -> AsyncIterator[None]:
    """The API server is away for a moment; changes are made while it is."""
    await stage.api.stop()
    yield
    await asyncio.sleep(_POLL_SECONDS)
    await stage.api.start()


@contextlib.asynccontextmanager
async def api_is_slow(stage: Stage) -> AsyncIterator[None]:
    """The first patches wait for a while."""
    gate = stage.api.hold("^PATCH", times=20)
    yield
    await stage.has_been_felt(lambda: stage.api.count("^PATCH") > 0)
    await asyncio.sleep(_POLL_SECONDS)
    gate.set()


FAULTS: dict[str, Break] = {
    "registry refuses connections": registry_refuses,
    "registry answers 500": registry_fault(faults.status(500)),
    "registry resets connections": registry_fault(faults.reset()),
    "registry serves cut blobs": registry_fault(faults.cut(20), method="GET"),
    "registry answers slowly": registry_is_slow,
    "API refuses connections": api_refuses,
    "API answers 500": api_fault(lambda api: api.fail("^(GET|PATCH)", 500, times=40)),
    "API answers 429": api_fault(
        lambda api: api.fail("^PATCH", 429, times=40, headers={"Retry-After": "0"})
    ),
    "API conflicts": api_fault(lambda api: api.fail("^PATCH", 409, reason="Conflict", times=40)),
    "API resets connections": api_fault(lambda api: api.reset("^(GET|PATCH)", times=40)),
    "watch is cut": api_fault(lambda api: api.abort_watches()),
    "watch is too old (410)": api_fault(lambda api: api.forget()),
    "API answers slowly": api_is_slow,
}


@contextlib.asynccontextmanager
async def staged(folder: pathlib.Path, count: int) -> AsyncIterator[Stage]:
    """A controller at work between the two simulators."""
    chosen = dataclasses.replace(
        settings.Settings(),
        storage_path=folder,
        min_retry_delay=0.05,
        max_retry_delay=0.5,
        artifact_retention_ttl=0.0,
        watch_secrets=False,
    )
    group = f"/apis/{ocirepository.GROUP}"
    async with (
        kubeapi.running() as api,
        simulators.Simulator() as registry,
        contextlib.AsyncExitStack() as stack,
    ):
        api.bodies[group] = {"versions": [{"groupVersion": "", "version": "v1"}]}
        api.bodies[f"{group}/v1"] = {"resources": [{"name": ocirepository.PLURAL}]}
        stage = Stage(api, registry, [f"object-{number}" for number in range(count)])
        stage.publish("0")
        for number, name in enumerate(stage.names):
            api.put(ROOT, _document(name, f"{registry.host}/app-{number % REPOSITORIES}"))
        cluster = config.ClusterConfig(server=api.url, login_source=logins.MaterialLogin())
        limits = exchange.ClientSettings(qps=0, retries=1, retry_after_cap=0)
        reader = await stack.enter_async_context(
            client.Client(cluster, settings=limits, environ={})
        )
        await stack.enter_async_context(
            serve.controller(chosen, reader, storage_address=("127.0.0.1", 0))
        )
        yield stage


def _document(name: str, repository: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{ocirepository.GROUP}/v1",
        "kind": ocirepository.KIND,
        "metadata": {
            "name": name,
            "namespace": "default",
            "generation": 1,
            "annotations": {ocirepository.REQUESTED_AT: "0"},
        },
        "spec": {"interval": "1h", "timeout": "500ms", "url": f"oci://{repository}"},
    }


@pytest.mark.soak
async def test_every_object_returns_to_ready_after_every_fault(
    tmp_path: pathlib.Path, counts: Callable[[int, int], int]
) -> None:
    """1 000 objects (100 in the short run) through thirteen faults, without a restart."""
    async with staged(tmp_path, counts(1000, 100)) as stage:
        await stage.all_done("0", "at first")
        for number, (what, fault) in enumerate(FAULTS.items(), start=1):
            async with fault(stage):
                stage.publish(str(number))
                stage.ask(str(number))
            await stage.all_done(str(number), what)
        folders = list((tmp_path / "ocirepository" / "default").iterdir())
        assert len(folders) == len(stage.names)
