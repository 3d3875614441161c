"""The version that the cluster serves, and what becomes of a controller that speaks another."""

import asyncio
import dataclasses

import pytest

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.kube import resources
from ocisource.reconciler import served

_RESOURCE = resources.Resource(
    ocirepository.GROUP,
    "v1beta2",
    ocirepository.PLURAL,
    ocirepository.KIND,
    ocirepository.OCIRepository,
)
_GONE = errors.APIStatusError("the server could not find the requested resource", code=404)


class Cluster:
    """What a cluster answers when it is asked, in order; the last answer stays."""

    def __init__(self, *script: str | errors.OcisourceError) -> None:
        self.script = list(script)
        self.asked = asyncio.Queue[None]()

    async def find(self) -> served.Resource:
        """The resource in the version that is served."""
        self.asked.put_nowait(None)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, errors.OcisourceError):
            raise step
        return dataclasses.replace(_RESOURCE, version=step)


async def test_another_version_ends_the_controller() -> None:
    """The line says what is served now, and what to do."""
    watch = served.Served(_RESOURCE, find=Cluster("v1").find)
    watch.report(_GONE)
    with pytest.raises(errors.OcisourceError, match=r"in v1 and no longer in v1beta2: start again"):
        await watch.run()


async def test_a_cluster_that_restarts_ends_nothing() -> None:
    """No definition yet, no answer, the same version: asked anew at the next failed list."""
    cluster = Cluster(
        errors.UsageError("the cluster serves no ocirepositories"),
        errors.TransportError("cannot connect"),
        "v1beta2",
        "v1",
    )
    watch = served.Served(_RESOURCE, find=cluster.find)
    running = asyncio.create_task(watch.run())
    for _ in range(4):
        assert not running.done()
        watch.report(_GONE)
        await cluster.asked.get()
    with pytest.raises(errors.OcisourceError, match="no longer in v1beta2"):
        await running


@pytest.mark.parametrize(
    "failure",
    [None, errors.TransportError("cut"), errors.APIStatusError("no", code=403)],
    ids=["recovered", "cut", "forbidden"],
)
async def test_other_failures_ask_nothing(failure: Exception | None) -> None:
    """Only a 404 may be about the version."""
    cluster = Cluster("v1")
    watch = served.Served(_RESOURCE, find=cluster.find)
    running = asyncio.create_task(watch.run())
    watch.report(failure)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert cluster.asked.empty()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_why_nothing_can_be_listed_is_known_until_it_can() -> None:
    """For whoever asks whether we are ready."""
    watch = served.Served(_RESOURCE, find=Cluster("v1").find)
    assert watch.complaint == ""
    watch.report(errors.APIStatusError("ocirepositories is forbidden", code=403))
    assert watch.complaint == "ocirepositories is forbidden"
    watch.report(ValueError("secret"))
    assert watch.complaint == "ValueError"
    watch.report(None)
    assert watch.complaint == ""
