"""Everything together while the API breaks in turn: every object gets where it should."""

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from ocisource.controller import informer, manager, reflector, request, workqueue
from ocisource.kube import client, config, exchange, logins, patch, resources
from ocisource.net import backoff
from tests.controller import conftest
from tests.simulators import faketime, kubeapi

_QUICK = backoff.Backoff(initial=0.01, factor=2.0, cap=0.05, jitter=0.5)
FAULTS: tuple[Callable[[kubeapi.KubeAPI], None], ...] = (
    lambda server: server.fail("^(GET|PATCH)", 500, times=20),
    lambda server: server.fail("^PATCH", 429, times=20),
    lambda server: server.fail("^PATCH", 409, reason="Conflict", times=20),
    lambda server: server.reset("^(GET|PATCH)", times=20),
    lambda server: server.answer("^GET", b"<html>", times=5),
    lambda server: server.answer("^PATCH", b"{", times=5),
    lambda server: server.abort_watches(),
    lambda server: server.cut_watches(),
    lambda server: server.forget(),
    lambda server: server.bookmark(),
)


@pytest.mark.soak
async def test_every_object_arrives_whatever_the_api_does(
    counts: Callable[[int, int], int],
) -> None:
    """1 000 objects (100 in the short run), changed and reconciled under ten kinds of faults."""
    number = counts(1000, 100)
    rng = random.Random(7)
    async with kubeapi.running() as server, contextlib.AsyncExitStack() as stack:
        cluster = config.ClusterConfig(server=server.url, login_source=logins.MaterialLogin())
        settings = exchange.ClientSettings(qps=0, retries=1, retry_after_cap=0)
        api = await stack.enter_async_context(client.Client(cluster, settings=settings, environ={}))
        cache = informer.Informer(
            reflector.Reflector(
                api,
                resources.CONFIG_MAPS,
                settings=reflector.ReflectorSettings(retry=_QUICK, brief=0.0),
            )
        )
        queue: workqueue.Workqueue[request.Request] = workqueue.Workqueue(
            retry=workqueue.Retry(initial=0.01, cap=0.1)
        )

        async def reconcile(key: request.Request) -> request.Result:
            obj = cache.get(key)
            if obj is None or obj.data.get("done") == obj.data.get("wanted"):
                return request.Result()
            change = patch.merge(
                patch.with_version(
                    {"data": {"done": obj.data["wanted"]}}, obj.metadata.resource_version
                )
            )
            await api.patch(resources.CONFIG_MAPS, key.name, change, namespace=key.namespace)
            return request.Result()

        controller = manager.Controller("test", reconcile, queue=queue, waits_for=[cache])
        cache.add_handler(
            informer.Handler(
                on_add=lambda obj, _: queue.add(informer.key_of(obj)),
                on_update=lambda _, new: queue.add(informer.key_of(new)),
            )
        )
        names = [f"o{each}" for each in range(number)]
        for name in names:
            want(server, name, "0")
        tasks = [asyncio.create_task(cache.run()), asyncio.create_task(controller.run())]
        for round_ in range(1, 11):
            FAULTS[round_ % len(FAULTS)](server)
            for name in rng.sample(names, number // 2):
                want(server, name, str(round_))
            if round_ == 5:
                await server.stop()
                await asyncio.sleep(0.05)
                await server.start()
            await asyncio.sleep(0.05)
        await faketime.until(lambda: all(is_done(server, name) for name in names), turns=6000)
        assert all(not task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def want(server: kubeapi.KubeAPI, name: str, value: str) -> None:
    """Declare what an object should get to."""
    found = server.get("configmaps", name) or {}
    data = dict(found.get("data", {})) | {"wanted": value}
    server.put(conftest.ROOT, {"metadata": {"name": name, "namespace": "default"}, "data": data})


def is_done(server: kubeapi.KubeAPI, name: str) -> bool:
    """Whether the object got there."""
    found = server.get("configmaps", name)
    assert found is not None
    return bool(found["data"].get("done") == found["data"]["wanted"])
