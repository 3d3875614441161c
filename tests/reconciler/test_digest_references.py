"""A digest reference: no request while nothing changed, one when what Ready says may have."""

import json
from typing import Any

from tests.reconciler import world as worlds
from tests.reconciler.world import World
from tests.simulators import registry as simulators

GOOD = worlds.layer({"good.yaml": b"good: 1\n"})
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"


async def _asked(world: World, registry: simulators.Simulator, token: str) -> list[str]:
    """The requests of a run that a user asked for."""
    before = len(registry.seen)
    await world.request("podinfo", token)
    await world.until(lambda o: o.status.last_handled_reconcile_at == token)
    return _since(registry, before)


def _since(registry: simulators.Simulator, before: int) -> list[str]:
    # Where plain HTTP is allowed, each new way of asking finds out once whether it is spoken.
    seen = [each for each in registry.seen[before:] if each.path != "/v2/"]
    return [f"{each.method} {each.path}" for each in seen]


async def test_a_new_generation_and_a_rotated_credential_make_one_request_each(
    recorded: World,
) -> None:
    """A HEAD of the digest; before, after, and after a restart, none."""
    world = recorded
    async with simulators.Simulator() as registry:
        digest = registry.add_image("podinfo", "latest", layers=[GOOD])
        head = f"HEAD /v2/podinfo/manifests/{digest}"
        spec: dict[str, Any] = {
            "url": f"oci://{registry.host}/podinfo",
            "ref": {"digest": digest},
            "secretRef": {"name": "pull"},
        }
        await world.secret("pull", {".dockerconfigjson": '{"auths": {}}'}, DOCKER_CONFIG)
        async with world.controller():
            await world.declare(**spec)
            await world.ready()
            assert await _asked(world, registry, "quiet") == []
            before = len(registry.seen)
            await world.declare(**spec, interval="2h")
            await world.ready()
            assert _since(registry, before) == [head]
            assert await _asked(world, registry, "quiet again") == []
            before = len(registry.seen)
            auths = {registry.host: {"username": "u", "password": "p"}}
            login = {".dockerconfigjson": json.dumps({"auths": auths})}
            await world.secret("pull", login, DOCKER_CONFIG)
            await world.until(lambda _: head in _since(registry, before))
            assert _since(registry, before) == [head]
            assert await _asked(world, registry, "and again") == []
        async with world.controller():
            assert await _asked(world, registry, "after a restart") == []


async def test_a_digest_that_went_is_noticed_by_the_next_generation(recorded: World) -> None:
    """Ready stays true of the spec it speaks of; the artifact stays served."""
    world = recorded
    async with simulators.Simulator() as registry, world.controller():
        digest = registry.add_image("podinfo", "latest", layers=[GOOD])
        spec: dict[str, Any] = {
            "url": f"oci://{registry.host}/podinfo",
            "ref": {"digest": digest},
        }
        await world.declare(**spec)
        await world.ready()
        registry.repository("podinfo").manifests.clear()
        assert await _asked(world, registry, "quiet") == []
        await world.declare(**spec, interval="2h")
        obj = await world.failed("OCIArtifactPullFailed")
    assert worlds.state(obj)["Ready"][2].startswith("failed to determine artifact digest: ")
    assert obj.status.artifact is not None
    assert world.path(obj).exists()
