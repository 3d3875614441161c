"""Two replicas on a real cluster: one leads, the other is there when it dies."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from ocisource.cli.replicas import replica
from tests.e2e import cluster as clusters
from tests.parts import kubectl, ports, processes, proxy


@contextlib.contextmanager
def watching(
    cluster: clusters.Cluster, new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl]
) -> Iterator[Callable[[], list[clusters.Object]]]:
    """Record every state of every object; hands out what was seen so far."""
    program = new_kubectl(cluster.plane.kubeconfig(namespace=cluster.namespace))
    log = cluster.folder / "watch.json"
    process = processes.start(
        [
            *(program.program, f"--kubeconfig={program.kubeconfig}"),
            *("get", "ocirepositories", "--watch", "--output=json"),
        ],
        log=log,
        is_ready=lambda: log.exists() and log.stat().st_size > 0,
        environ={"HOME": str(program.home), "KUBECACHEDIR": str(program.home)},
    )
    try:
        yield lambda: clusters.watched(process.log_text())
    finally:
        process.stop()


def declare(cluster: clusters.Cluster, names: list[str]) -> None:
    """Push and declare objects that all differ."""
    for name in names:
        cluster.push(f"{cluster.namespace}/{name}", "latest", {"a.yaml": name.encode()})
        cluster.declare(name, repository=f"{cluster.namespace}/{name}")


@pytest.fixture
def names(counts: Callable[[int, int], int]) -> list[str]:
    """Names of objects."""
    return [f"app-{number}" for number in range(counts(100, 8))]


def fetches(cluster: clusters.Cluster) -> int:
    """How many manifests and layers the registry handed out for this namespace."""
    return sum(
        each.method == "GET" and f"/{cluster.namespace}/" in each.path
        for each in cluster.registry.exchanges()
    )


def is_asked(cluster: clusters.Cluster, name: str, *, since: int) -> bool:
    """Whether the registry was asked for an object's tag after so many exchanges."""
    exchanges = cluster.registry.exchanges()[since:]
    return any(f"/{cluster.namespace}/{name}/" in each.path for each in exchanges)


@pytest.mark.soak
def test_on_a_volume_of_its_own_the_new_leader_rebuilds_before_it_advertises(
    cluster: clusters.Cluster,
    names: list[str],
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
    stack: contextlib.ExitStack,
    measured: Callable[[str], None],
) -> None:
    """A leader killed under load: nobody is told of a file that is not there."""
    first = stack.enter_context(cluster.replica("first", *clusters.LEASE))
    first.lead()
    second = stack.enter_context(cluster.replica("second", *clusters.LEASE))
    holder = cluster.lease(replica.LEASE_NAME)["holderIdentity"]
    processes.poll(
        lambda: second.readiness() == (503, f"standby: lease held by {holder}"), what="a standby"
    )
    assert second.artifact("")[0] == 0
    assert list(second.storage.iterdir()) == []  # a standby claims nothing
    declare(cluster, names)
    before = cluster.until_all_ready()
    assert all(clusters.is_served(first, obj) for obj in before)

    history = stack.enter_context(watching(cluster, new_kubectl))
    for name in names:
        cluster.push(f"{cluster.namespace}/{name}", "next", {"b.yaml": name.encode()})
        cluster.request(name, "load")
    first.process.kill()
    killed = time.monotonic()
    processes.poll(lambda: second.artifact("")[0] == 200, what="the new leader")
    led = time.monotonic()
    missing = {obj["metadata"]["name"]: obj["status"]["artifact"]["path"] for obj in before}
    answered = {}
    while missing:
        for name, path in list(missing.items()):
            if second.artifact(path)[0] == 200:
                answered[name] = time.monotonic() - led
                del missing[name]
        assert time.monotonic() - led < 60, f"never served again: {missing}\n{second.log()}"
    after = cluster.until_all_ready()
    assert all(clusters.is_served(second, obj) for obj in after)
    measured(
        f"takeover after kill -9: {led - killed:.1f} s; {len(names)} URLs answered 404 "
        f"for {min(answered.values()):.2f} to {max(answered.values()):.2f} s"
    )
    for obj in before:
        states = _since_takeover(history(), obj)
        reason = next(_reconciling(state) for state in states if "artifact" not in state["status"])
        assert reason == "NoArtifact"
        assert clusters.is_ready(states[-1])
        # The same content: nobody who consumes it has anything to do.
        assert states[-1]["status"]["artifact"]["digest"] == obj["status"]["artifact"]["digest"]
    assert first.process.wait(seconds=1) == -9


def _since_takeover(history: list[clusters.Object], obj: clusters.Object) -> list[clusters.Object]:
    """The states of an object from the first one without its artifact on."""
    states = [each for each in history if each["metadata"]["name"] == obj["metadata"]["name"]]
    for number, state in enumerate(states):
        if "artifact" not in state["status"]:
            return states[number:]
    raise AssertionError(f"the artifact of the dead leader stayed: {json.dumps(states)}")


def _reconciling(obj: clusters.Object) -> str:
    found = clusters.condition(obj, "Reconciling")
    return str(found["reason"]) if found is not None else ""


@pytest.mark.soak
def test_on_a_shared_volume_nothing_is_fetched_again(
    cluster: clusters.Cluster,
    names: list[str],
    stack: contextlib.ExitStack,
    measured: Callable[[str], None],
) -> None:
    """The new leader claims the store, and every URL answers as soon as it serves."""
    shared = cluster.folder / "shared"
    first = stack.enter_context(cluster.replica("first", *clusters.LEASE, storage=shared))
    first.lead()
    declare(cluster, names)
    before = cluster.until_all_ready()
    second = stack.enter_context(cluster.replica("second", *clusters.LEASE, storage=shared))
    fetched, exchanged = fetches(cluster), len(cluster.registry.exchanges())
    first.process.kill()
    killed = time.monotonic()
    processes.poll(lambda: second.artifact("")[0] == 200, what="the new leader")
    assert all(clusters.is_served(second, obj) for obj in before)
    measured(f"no URL answered for {time.monotonic() - killed:.1f} s")
    second.lead()
    processes.poll(
        lambda: all(is_asked(cluster, name, since=exchanged) for name in names), what="runs"
    )
    assert fetches(cluster) == fetched
    assert [obj["status"] for obj in cluster.objects()] == [obj["status"] for obj in before]

    # Stopped on purpose, it ends well and gives the lease up at once.
    assert second.process.stop() == 0
    assert not cluster.lease(replica.LEASE_NAME).get("holderIdentity")
    assert "released lease" in second.log()


def test_losing_the_lease_ends_the_process(cluster: clusters.Cluster) -> None:
    """Whoever finds another's name in the Lease stops working, and says why."""
    with cluster.replica("first", *clusters.LEASE) as leader:
        leader.lead()
        path = (
            f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}"
            f"/leases/{replica.LEASE_NAME}"
        )
        status, _ = cluster.plane.request(
            "PATCH",
            path,
            {"spec": {"holderIdentity": "another"}},
            content_type="application/merge-patch+json",
        )
        assert status == 200
        assert leader.process.wait(seconds=30) == 1
        lost = f"lost the leader lease {cluster.namespace}/{replica.LEASE_NAME} to another"
        assert lost in leader.log()
    assert cluster.lease(replica.LEASE_NAME)["holderIdentity"] == "another"


def test_a_leader_cut_off_from_the_server_ends_before_another_begins(
    cluster: clusters.Cluster,
    start_proxy: Callable[..., proxy.Proxy],
    stack: contextlib.ExitStack,
) -> None:
    """Its way to the API server is gone, the other's is not: the Lease passes over, once."""
    way = start_proxy()
    document = json.loads(cluster.kubeconfig().read_text())
    document["clusters"][0]["cluster"]["proxy-url"] = way.url
    behind = cluster.folder / "behind-a-proxy"
    behind.write_text(json.dumps(document))
    first = stack.enter_context(cluster.replica("first", *clusters.LEASE, kubeconfig=behind))
    first.lead()
    assert way.requests()
    second = stack.enter_context(cluster.replica("second", *clusters.LEASE))
    declare(cluster, ["app"])
    cluster.until(clusters.is_ready, "app", seen_by=first)
    way.process.kill()
    assert first.process.wait(seconds=30) == 1
    assert f"lost the leader lease {cluster.namespace}/{replica.LEASE_NAME}: " in first.log()
    second.lead()
    assert cluster.lease(replica.LEASE_NAME)["leaseTransitions"] == 1
    cluster.until(
        lambda obj: clusters.is_ready(obj) and clusters.is_served(second, obj),
        "app",
        seen_by=second,
    )


def test_a_leader_that_was_frozen_writes_nothing_when_it_wakes(
    cluster: clusters.Cluster,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
    stack: contextlib.ExitStack,
) -> None:
    """It wakes with work that is due, while another leads: no status names its files any more."""
    first = stack.enter_context(
        cluster.replica("first", *clusters.LEASE, "--storage-adv-addr=http://first.test")
    )
    first.lead()
    second = stack.enter_context(
        cluster.replica("second", *clusters.LEASE, "--storage-adv-addr=http://second.test")
    )
    names = [f"app-{number}" for number in range(8)]
    for name in names:
        cluster.push(f"{cluster.namespace}/{name}", "latest", {"a.yaml": name.encode()})
        cluster.declare(name, repository=f"{cluster.namespace}/{name}", interval="1s")
    cluster.until_all_ready()
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        second.lead()
        for name in names:
            cluster.push(f"{cluster.namespace}/{name}", "latest", {"b.yaml": name.encode()})
        processes.poll(
            lambda: all(map(is_second, cluster.until_all_ready())), what="the new leader's files"
        )
        history = stack.enter_context(watching(cluster, new_kubectl))
        processes.poll(lambda: len(history()) >= len(names), what="the objects as they are")
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert first.process.wait(seconds=30) == 1
    assert "lost the leader lease" in first.log()
    assert all(map(is_second, history()))


def is_second(obj: clusters.Object) -> bool:
    """Whether the object's status is the second replica's."""
    url: str = obj["status"]["artifact"]["url"]
    return url.startswith("http://second.test/")


def test_a_stop_in_the_middle_of_a_fetch_gives_the_lease_up_in_time(
    cluster: clusters.Cluster,
) -> None:
    """A registry that never answers does not keep the next leader waiting."""
    with socket.create_server((ports.LOOPBACK, 0)) as silent:
        address = f"{ports.LOOPBACK}:{silent.getsockname()[1]}"
        with cluster.replica("first", *clusters.LEASE) as leader:
            leader.lead()
            cluster.declare("app", url=f"oci://{address}/app")
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1)  # a request that will never be answered
                assert leader.process.stop() == 0
            assert "released lease" in leader.log()
    assert not cluster.lease(replica.LEASE_NAME).get("holderIdentity")
