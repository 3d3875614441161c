"""What cannot be written to an object is told in its events: PatchOperationFailed."""

import contextlib
import dataclasses
import typing
from collections.abc import AsyncIterator

from ocisource import errors
from ocisource.kube import client, patch, resources
from tests.reconciler import world as worlds
from tests.reconciler.world import World

FILES = {"a.yaml": b"a: 1\n"}
REFUSAL = "a webhook denied the request: not today"
WARNING = "Warning"
TOLD = "PatchOperationFailed"


@dataclasses.dataclass(slots=True)
class Refusing:
    """A client whose patches of OCIRepositories are refused, ``what`` says which.

    ``times`` is how many more are refused.
    """

    api: client.Client
    what: str  # a subresource, "" for the object itself
    times: float = float("inf")

    def __getattr__(self, name: str) -> typing.Any:
        return getattr(self.api, name)

    async def patch(
        self,
        resource: resources.Resource[typing.Any],
        name: str,
        change: patch.Patch,
        *,
        subresource: str = "",
        **more: typing.Any,
    ) -> typing.Any:
        """As the client's, or a refusal."""
        is_ours = resource.kind == "OCIRepository" and change.content_type != patch.APPLY
        if is_ours and subresource == self.what and self.times > 0:
            self.times -= 1
            raise errors.APIStatusError(REFUSAL, code=403, reason="Forbidden")
        return await self.api.patch(resource, name, change, subresource=subresource, **more)


@contextlib.asynccontextmanager
async def refused(world: World, what: str, **more: float) -> AsyncIterator[Refusing]:
    """A controller whose patches are refused."""
    refusing = Refusing(world.api, what, **more)
    seen = dataclasses.replace(world, api=typing.cast("client.Client", refusing))
    async with seen.controller():
        yield refusing


async def test_a_status_that_cannot_be_written_is_told_and_tried_again(world: World) -> None:
    """The object says nothing, its events say why; once writing works, all is well."""
    await world.push("podinfo", "latest", FILES)
    async with refused(world, "status") as refusing:
        await world.declare()
        assert await world.event(TOLD) == (WARNING, f"failed to patch status: {REFUSAL}")
        assert (await world.get()).status.conditions == ()
        refusing.times = 0
        await world.ready()
    assert {reason for _, reason, _ in await world.events()} == {TOLD, "NewArtifact"}


async def test_a_failure_that_status_cannot_show_is_told_beside_it(world: World) -> None:
    """Two warnings: why nothing was fetched, and why status does not say so."""
    async with refused(world, "status"):
        await world.declare()
        type_, message = await world.event("OCIArtifactPullFailed")
        assert await world.event(TOLD) == (WARNING, f"failed to patch status: {REFUSAL}")
    assert type_ == WARNING
    assert "couldn't find tag" in message
    assert (await world.get()).status.conditions == ()


async def test_an_intermediate_status_that_cannot_be_written_ends_the_run(world: World) -> None:
    """As in Flux: nothing is fetched, an event tells, and the next run brings the artifact."""
    await world.push("podinfo", "latest", FILES)
    async with refused(world, "status", times=1):
        await world.declare()
        obj = await world.ready()
        assert await world.event(TOLD) == (WARNING, f"failed to patch status: {REFUSAL}")
    assert "FetchFailed" not in worlds.state(obj)


async def test_a_finalizer_that_cannot_be_added_is_told(world: World) -> None:
    """Nothing is begun with the object, and nothing else would say so."""
    await world.push("podinfo", "latest", FILES)
    async with refused(world, "") as refusing:
        await world.declare()
        assert await world.event(TOLD) == (WARNING, f"failed to add the finalizer: {REFUSAL}")
        assert (await world.get()).status.conditions == ()
        refusing.times = 0
        await world.ready()


async def test_a_finalizer_that_cannot_be_removed_is_told(world: World) -> None:
    """Why an object does not go."""
    await world.push("podinfo", "latest", FILES)
    async with refused(world, "", times=0) as refusing:
        await world.declare()
        await world.ready()
        refusing.times = float("inf")
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        assert await world.event(TOLD) == (WARNING, f"failed to remove the finalizer: {REFUSAL}")
        refusing.times = 0
        await world.gone()
