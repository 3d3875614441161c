"""The installer where a real cluster would take minutes: waiting, giving up, missing kinds."""

import copy
import typing

import pytest

from ocisource import errors
from ocisource.cli.replicas import installer
from ocisource.kube import client

_DEPLOYMENT: installer.Document = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "ocisource", "namespace": "flux-system", "generation": 2},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}},
}


class API:
    """Answers GETs with one state after the other, and refuses patches."""

    def __init__(
        self, *statuses: installer.Document, pods: list[installer.Document] | None = None
    ) -> None:
        self._statuses = list(statuses)
        self._pods = pods
        self.asked = 0

    async def list(self, *_: object) -> client.Listing[installer.Document]:
        """The Pods; without any, looking at them is refused."""
        if self._pods is None:
            raise errors.APIStatusError("pods is forbidden", code=403)
        return client.Listing(tuple(self._pods), "1")

    async def get(self, *_: object, **__: object) -> installer.Document:
        """The next state."""
        self.asked += 1
        return copy.deepcopy(_DEPLOYMENT) | {"status": self._statuses.pop(0)}

    async def patch(self, *_: object, **__: object) -> installer.Document:
        """Refused."""
        raise errors.APIStatusError("no matches for kind", code=404)


def made(api: API) -> installer.Installer:
    """An installer that never really waits."""

    async def sleep(_: float) -> None:
        return

    shown: list[installer.Applied] = []
    return installer.Installer(
        api=typing.cast("client.Client", api), show=shown.append, sleep=sleep
    )


async def test_a_deployment_is_ready_when_all_its_new_pods_are() -> None:
    """The newest generation, updated, available: not one of the three alone."""
    api = API(
        {},
        {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2},
        {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2},
        {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 1},
        {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2},
    )
    await made(api).wait_ready(_DEPLOYMENT)
    assert api.asked == 5


async def test_a_deployment_that_gives_up_is_not_waited_for() -> None:
    """Its own message tells why."""
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "stuck"}
    with pytest.raises(errors.OcisourceError) as caught:
        await made(API({"conditions": [condition]})).wait_ready(_DEPLOYMENT)
    assert caught.value.text == "Deployment/flux-system/ocisource is not ready: stuck"


async def test_an_object_that_is_refused_is_named() -> None:
    """A cluster may lack a kind, or the user the right."""
    with pytest.raises(errors.OcisourceError) as caught:
        await made(API({})).apply([_DEPLOYMENT])
    assert caught.value.text == "Deployment/flux-system/ocisource: no matches for kind"
    assert not isinstance(caught.value, errors.APIStatusError)


def pod(**status: typing.Any) -> installer.Document:
    """A Pod of the Deployment."""
    return {"metadata": {"name": "p"}, "status": status}


def waiting(reason: str, message: str = "") -> installer.Document:
    """A Pod whose container waits."""
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    return pod(containerStatuses=[{"name": "manager", "state": state}])


_UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        ([], []),
        ([pod()], []),
        ([waiting("ContainerCreating")], []),
        ([pod(containerStatuses=[{"name": "m", "state": {"running": {}}}])], []),
        ([waiting("CrashLoopBackOff", "back-off 10s")], ["Pod p: CrashLoopBackOff: back-off 10s"]),
        ([waiting("ErrImageNeverPull")], ["Pod p: ErrImageNeverPull"]),
        ([pod(), pod(conditions=[_UNSCHEDULED])], ["Pod p: 0/1 nodes are available"]),
        (None, []),
    ],
)
async def test_what_stands_in_the_way_of_a_pod_is_told_once(
    pods: list[installer.Document] | None, told: list[str]
) -> None:
    """Whatever is on its way is nothing to tell, nor is what may not be looked at."""
    ready = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}
    heard: list[str] = []
    await made(API({}, {}, ready, pods=pods)).wait_ready(_DEPLOYMENT, tell=heard.append)
    assert heard == told
