"""API servers that are stopped and started again under a running mirror."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import yarl

from ocisource.apiserver import server
from ocisource.controller import informer, reflector
from ocisource.kube import client, config, exchange, patch, resources
from tests.parts import kubernetes
from tests.simulators import faketime

Step = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def embedded(folder: pathlib.Path) -> AsyncIterator[tuple[pathlib.Path, Step, Step]]:
    """The embedded API: kubeconfig, stop, start."""
    running = await server.serve(folder)
    port = yarl.URL(running.address).port or 0
    parts = [running]

    async def stop() -> None:
        await parts.pop().stop()

    async def start() -> None:
        parts.append(await server.serve(folder, port=port))

    try:
        yield running.kubeconfig_path, stop, start
    finally:
        for part in parts:
            await part.stop()


@contextlib.asynccontextmanager
async def real(plane: kubernetes.ControlPlane) -> AsyncIterator[tuple[pathlib.Path, Step, Step]]:
    """A real kube-apiserver: kubeconfig, stop, start."""
    yield (
        plane.kubeconfig(),
        lambda: asyncio.to_thread(plane.stop_apiserver),
        lambda: asyncio.to_thread(plane.start_apiserver),
    )


@pytest.mark.parametrize("kind", ["embedded", "kube-apiserver"])
async def test_a_mirror_outlives_the_server(
    kind: str,
    tmp_path: pathlib.Path,
    request: pytest.FixtureRequest,
) -> None:
    """Nothing is lost and nothing stands still, whatever the server forgot."""
    async with contextlib.AsyncExitStack() as stack:
        if kind == "embedded":
            part = embedded(tmp_path / "api")
        else:
            part = real(request.getfixturevalue("start_control_plane")())
        kubeconfig, stop, start = await stack.enter_async_context(part)
        time = faketime.FakeTime()
        api = await stack.enter_async_context(
            client.Client(
                config.load(kubeconfig, environ={}),
                settings=exchange.ClientSettings(retries=0),
                environ={},
            )
        )
        reports: list[Exception | None] = []
        source = reflector.Reflector(
            api,
            resources.CONFIG_MAPS,
            client.Scope(namespace="default"),
            clock=time.clock,
            sleep=lambda _: asyncio.sleep(0.02),  # a back-off of its own, but a short one
            report=reports.append,
        )
        cache = informer.Informer(source)
        values: list[str] = []
        cache.add_handler(
            informer.Handler(
                on_add=lambda obj, _: values.append(obj.data.get("v", "")),
                on_update=lambda _, new: values.append(new.data.get("v", "")),
                on_delete=lambda obj: values.append(f"{obj.metadata.name} gone"),
            )
        )
        task = asyncio.create_task(cache.run())
        await cache.wait_synced()
        values.clear()
        await api.create(
            resources.CONFIG_MAPS,
            {"metadata": {"name": "a"}, "data": {"v": "1"}},
            namespace="default",
        )
        await faketime.until(lambda: values == ["1"])
        await stop()
        await faketime.until(lambda: len(reports) > 3)
        await start()
        change = patch.merge({"data": {"v": "2"}})
        await api.patch(resources.CONFIG_MAPS, "a", change, namespace="default")
        await faketime.until(lambda: values == ["1", "2"])
        assert reports[-1] is None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
