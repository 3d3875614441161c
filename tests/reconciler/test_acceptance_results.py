"""Acceptance cases K that need a whole run: what is run again at once, later, or not at all."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from ocisource import errors
from ocisource.storage import store
from tests.reconciler import world as worlds
from tests.reconciler.world import World
from tests.simulators import faults
from tests.simulators import registry as simulators

GOOD = worlds.layer({"good.yaml": b"good: 1\n"})
PULL_FAILED = "OCIArtifactPullFailed"
NOT_YET = {-1, 0}  # the default of the definition, and an absent number


@pytest.mark.parametrize("is_failing", [pytest.param(False, id="K5"), pytest.param(True, id="K6")])
async def test_k_a_run_that_is_repeated_at_once_records_nothing(
    recorded: World, *, is_failing: bool
) -> None:
    """It is called off for a newer generation; until that is done, its own stays unobserved."""
    world = recorded
    released = asyncio.Event()

    async def held(request: web.Request, answer: simulators.Handler) -> web.StreamResponse:
        await released.wait()
        return web.Response(status=404)

    async with simulators.Simulator() as slow, world.controller():
        slow.add_image("podinfo", "new", layers=[GOOD])
        url = f"oci://{slow.host}/podinfo"
        if is_failing:
            await world.declare(url=url, ref={"tag": "missing"})
            await world.failed(PULL_FAILED)
        slow.on("HEAD", "/manifests/held", held)
        await world.declare(url=url, ref={"tag": "held"})
        await world.until(lambda _: any("/manifests/held" in seen.path for seen in slow.seen))
        obj = await world.declare(url=url, ref={"tag": "new"})
        ready = await world.ready()
        released.set()
    assert ready.metadata.generation == obj.metadata.generation
    assert worlds.state(ready)["Ready"][0] == "True"
    observed = {seen.status.observed_generation for seen in world.history}
    assert observed - NOT_YET == {ready.metadata.generation}
    before = [seen for seen in world.history if not worlds.is_ready(seen)]
    assert all(worlds.state(seen).get("Ready", ("False",))[0] == "False" for seen in before)


async def test_k9_a_run_that_is_told_to_wait_is_run_again_after_that_time(
    recorded: World,
) -> None:
    """The registry's Retry-After takes the place of the back-off; nothing is recorded."""
    world = recorded
    await world.push("other", "latest", {"a.yaml": b"a: 1\n"})
    async with simulators.Simulator() as busy, world.controller():
        busy.add_image("podinfo", "latest", layers=[GOOD])
        busy.on("*", "/manifests/", faults.status(429, headers={"Retry-After": "600"}))
        await world.declare(url=f"oci://{busy.host}/podinfo")
        await world.failed(PULL_FAILED)
        asked = len(busy.seen)
        await world.declare("other")
        await world.ready("other")  # its success, and a failure or two of the back-off, take time
        await world.declare("failing", ref={"tag": "0.0.1"})
        await world.failed(PULL_FAILED, "failing")
        obj = await world.get()
        assert len(busy.seen) == asked
        assert obj.status.observed_generation in NOT_YET
        assert "Stalled" not in worlds.state(obj)


async def test_k11_an_error_that_does_no_harm_is_ignored(
    recorded: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Superseded files cannot be collected: logged, and the run counts as a success."""
    world = recorded

    def collect(*_: object, **__: object) -> object:
        raise errors.StorageError("cannot remove old.tar.gz: no permission")

    monkeypatch.setattr(store.LocalStore, "collect", collect)
    caplog.set_level("ERROR", "ocisource.ocirepository")
    await world.push("podinfo", "latest", {"a.yaml": b"a: 1\n"})
    async with world.controller():
        await world.declare()
        await world.ready()
        await world.declare(interval="2h")
        obj = await world.ready()
    assert obj.status.observed_generation == 2
    assert "Reconciling" not in worlds.state(obj)
    assert worlds.state(obj)["Ready"][:2] == ("True", "Succeeded")
    said = [line.__dict__["ocisource_fields"]["error"] for line in caplog.records]
    assert said == ["cannot remove old.tar.gz: no permission"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"ref": {"tag": "0.0.1"}}, PULL_FAILED, id="failing"),
        pytest.param({"url": "oci://ghcr.io/test/test:v1"}, "URLInvalid", id="stalled"),
    ],
)
async def test_k4_a_request_counts_as_handled_by_a_run_that_fails_too(
    recorded: World, spec: dict[str, Any], reason: str
) -> None:
    """Whoever asked must not wait for ever; an empty token counts as well."""
    world = recorded
    async with world.controller():
        await world.declare(**spec)
        await world.failed(reason)
        for token in ("now", ""):
            await world.request("podinfo", token)
            obj = await world.until(
                lambda o, token=token: o.status.last_handled_reconcile_at == token  # type: ignore[misc]
            )
            assert worlds.state(obj)["Ready"][:2] == ("False", reason)
            assert ("Stalled" in worlds.state(obj)) is (reason == "URLInvalid")
