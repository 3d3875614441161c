"""The events of an object's life, as an API server has them: acceptance cases I, end to end."""

import asyncio
import time
from typing import Any

from aiohttp import web

from ocisource.kube import client, resources
from tests.reconciler import world as worlds
from tests.reconciler.world import World

PULL_FAILED = "OCIArtifactPullFailed"
FIRST, SECOND = {"a.yaml": b"a: 1\n"}, {"a.yaml": b"a: 2\n"}


async def _told(world: World) -> list[resources.Event]:
    """Everything told of the object, in the order in which it was first told."""
    scope = client.Scope(namespace=world.namespace, field_selector="involvedObject.name=podinfo")
    listing = await world.api.list(resources.EVENTS, scope)
    return sorted(listing.items, key=lambda event: event.metadata.name)


async def _until_told(world: World, reason: str, *, count: int) -> resources.Event:
    """Wait until an event with this reason has happened so often."""
    end = time.monotonic() + worlds.WAIT_SECONDS
    while True:
        await world.event(reason)
        (found,) = (event for event in await _told(world) if event.reason == reason)
        if found.count >= count:
            return found
        assert time.monotonic() < end, f"{reason} was told {found.count} times"
        await asyncio.sleep(worlds.POLL_SECONDS)


async def test_i2_a_new_artifact_is_told_with_annotations_for_machines(recorded: World) -> None:
    """Revision, checksum and digest of what was stored, and what the user put on the object."""
    world = recorded
    await world.push("podinfo", "latest", FIRST)
    await world.declare()
    team = "event.toolkit.fluxcd.io/team"
    await world.change("podinfo", {"metadata": {"annotations": {team: "red", "other": "x"}}})
    async with world.controller():
        artifact = (await world.ready()).status.artifact
        await world.event("NewArtifact")
    (event,) = await _told(world)
    assert artifact is not None
    assert event.metadata.annotations == {
        "source.toolkit.fluxcd.io/revision": artifact.revision,
        "source.toolkit.fluxcd.io/checksum": artifact.checksum,
        "source.toolkit.fluxcd.io/digest": artifact.digest,
        team: "red",
    }
    about = event.involved_object
    assert (about.kind, about.name, about.namespace) == (
        "OCIRepository",
        "podinfo",
        world.namespace,
    )
    assert (event.source.component, event.type) == ("source-controller", "Normal")


async def test_i_failures_recoveries_and_news_are_told_apart(recorded: World) -> None:
    """I1 to I5 in one life: a warning, a recovery, and a recovery that is a new artifact."""
    world = recorded
    first = await world.push("podinfo", "latest", FIRST)
    async with world.controller():
        await world.declare()
        await world.ready()
        await world.event("NewArtifact")
        await world.registry.stop()
        await world.request("podinfo", "away")
        await world.failed(PULL_FAILED)
        await world.event(PULL_FAILED)
        first_told, *failures = [event.reason for event in await _told(world)]
        assert first_told == "NewArtifact"
        # A retry finds the scheme forgotten and says so: another text, another event.
        assert set(failures) == {PULL_FAILED}
        await world.registry.start(port=int(world.host.rpartition(":")[2]))
        await world.ready()
        type_, message = await world.event("Succeeded")
        assert type_ == "Normal"
        assert message.startswith(f"stored artifact with digest '{first.hex}' from '")
        await world.declare(ref={"tag": "two"})
        await world.failed(PULL_FAILED)
        second = await world.push("podinfo", "two", SECOND)
        await world.ready()
        await world.request("podinfo", "nothing new")
        # There may be an ArtifactUpToDate of the recovery: this is the run that collects.
        await world.event("GarbageCollectionSucceeded")
        await world.event("ArtifactUpToDate")
    told = await _told(world)
    news = [event for event in told if event.reason in {"NewArtifact", "Succeeded"}]
    assert [(event.reason, event.count) for event in news] == [
        ("NewArtifact", 1),
        ("Succeeded", 1),
        ("NewArtifact", 1),
    ]
    assert second.hex in news[-1].message
    assert {event.reason for event in told} == {
        "NewArtifact",
        "Succeeded",
        PULL_FAILED,
        "ArtifactUpToDate",
        "GarbageCollectionSucceeded",
    }


async def test_every_run_that_finds_nothing_new_is_counted_in_one_event(world: World) -> None:
    """What kubectl prints as ``2s (x9 over 4s)``."""
    digest = await world.push("podinfo", "latest", FIRST)
    async with world.controller():
        await world.declare()
        await world.ready()
        for number in range(9):
            await world.request("podinfo", str(number))
            await world.until(
                lambda obj, token=str(number): (  # type: ignore[misc]
                    obj.status.last_handled_reconcile_at == token
                )
            )
        event = await _until_told(world, "ArtifactUpToDate", count=9)
    assert event.count == 9
    assert event.message == f"artifact up-to-date with remote digest: '{digest.hex}'"
    assert event.first_timestamp is not None
    assert event.last_timestamp is not None
    assert event.first_timestamp <= event.last_timestamp


async def test_failures_that_repeat_are_counted_in_one_warning(world: World) -> None:
    """One event for all the tries of the back-off."""
    await world.push("podinfo", "latest", FIRST)
    async with world.controller():
        await world.declare(ref={"tag": "0.0.1"})
        await world.failed(PULL_FAILED)
        event = await _until_told(world, PULL_FAILED, count=3)
    text = f"failed to pull artifact from 'oci://{world.host}/podinfo': couldn't find tag \"0.0.1\""
    assert (event.type, event.message) == ("Warning", text)
    assert worlds.state(await world.get())["Ready"][2] == text


async def test_a_receiver_is_told_news_and_failures_and_no_traces(recorded: World) -> None:
    """In the notification-controller's JSON; an idle run is no news to it."""
    world = recorded
    bodies: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        await world.push("podinfo", "latest", FIRST)
        # One failure is told once: no second try while the test looks.
        async with world.controller(
            events_addr=receiver, min_retry_delay=3600.0, max_retry_delay=3600.0
        ):
            await world.declare()
            artifact = (await world.ready()).status.artifact
            await world.request("podinfo", "idle")
            await world.event("ArtifactUpToDate")
            await world.declare(ref={"tag": "0.0.1"})
            failed = await world.failed(PULL_FAILED)
            await world.until(lambda _: len(bodies) >= 2)
    finally:
        await runner.cleanup()
    assert artifact is not None
    news, failure = bodies
    assert (news["reason"], news["severity"]) == ("NewArtifact", "info")
    assert news["metadata"] == {
        "source.toolkit.fluxcd.io/revision": artifact.revision,
        "source.toolkit.fluxcd.io/checksum": artifact.checksum,
        "source.toolkit.fluxcd.io/digest": artifact.digest,
    }
    assert news["reportingController"] == "source-controller"
    about = news["involvedObject"]
    assert (about["kind"], about["namespace"], about["name"], about["uid"]) == (
        "OCIRepository",
        world.namespace,
        "podinfo",
        failed.metadata.uid,
    )
    assert (failure["reason"], failure["severity"]) == (PULL_FAILED, "error")
    assert failure["message"] == worlds.state(failed)["Ready"][2]
