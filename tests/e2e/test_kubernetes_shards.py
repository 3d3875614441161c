"""Shards on a real cluster: each replica has the objects with its label, and no others."""

import contextlib
import pathlib
from collections.abc import Callable

import pytest

from ocisource.cli.replicas import replica
from tests.e2e import cluster as clusters
from tests.parts import processes

_KEY = "sharding.fluxcd.io/key"
_SHARDS = ("one", "two", "three")


def selector(shard: str) -> str:
    """What a shard watches."""
    return f"{_KEY}={shard}"


def folder(shard: clusters.Replica, obj: clusters.Object) -> pathlib.Path:
    """Where a shard keeps the files of an object."""
    metadata = obj["metadata"]
    path = f"ocirepository/{metadata['namespace']}/{metadata['name']}"
    return shard.storage / path


@pytest.mark.soak
def test_three_shards_share_the_objects_by_label(
    cluster: clusters.Cluster,
    stack: contextlib.ExitStack,
    counts: Callable[[int, int], int],
) -> None:
    """Each has a Lease and an address of its own; an object may move from one to another."""
    shards = {
        name: stack.enter_context(
            cluster.replica(
                name,
                *clusters.LEASE,
                f"--watch-label-selector={selector(name)}",
                f"--storage-adv-addr=http://{name}.test",
            )
        )
        for name in _SHARDS
    }
    for shard in shards.values():
        shard.lead()
    cluster.push(cluster.namespace, "latest", {"a.yaml": b"a: 1\n"})
    for number in range(counts(300, 30)):
        shard_name = _SHARDS[number % len(_SHARDS)]
        cluster.declare(f"app-{number}", labels={_KEY: shard_name}, repository=cluster.namespace)
    objects = cluster.until_all_ready()
    assert len(objects) == counts(300, 30)
    for obj in objects:
        owner = obj["metadata"]["labels"][_KEY]
        assert obj["status"]["artifact"]["url"].startswith(f"http://{owner}.test/")
        assert [name for name in _SHARDS if folder(shards[name], obj).exists()] == [owner]
    assert {cluster.lease(replica.lease_name(selector(name)))["holderIdentity"] for name in shards}

    _moves(cluster, shards)
    _is_collected_after_an_absence(cluster, shards, stack)


def _moves(cluster: clusters.Cluster, shards: dict[str, clusters.Replica]) -> None:
    """The old shard forgets it and removes its files; the new one serves it."""
    obj = cluster.get("app-0")
    assert folder(shards["one"], obj).exists()
    cluster.change("app-0", {"metadata": {"labels": {_KEY: "two"}}})
    processes.poll(lambda: not folder(shards["one"], obj).exists(), what="files collected")
    moved = cluster.until(
        lambda found: (
            clusters.is_ready(found)
            and found["status"]["artifact"]["url"].startswith("http://two.test/")
        ),
        "app-0",
        seen_by=shards["two"],
    )
    assert clusters.is_served(shards["two"], moved)
    assert moved["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
    assert moved["metadata"]["uid"] == obj["metadata"]["uid"]
    assert moved["metadata"]["generation"] == obj["metadata"]["generation"]


def _is_collected_after_an_absence(
    cluster: clusters.Cluster, shards: dict[str, clusters.Replica], stack: contextlib.ExitStack
) -> None:
    """What left a shard while it was away is collected at its next start."""
    obj, stays = cluster.get("app-3"), cluster.get("app-6")
    assert shards["one"].process.stop() == 0
    cluster.change("app-3", {"metadata": {"labels": {_KEY: None}}})
    again = stack.enter_context(
        cluster.replica(
            "one",
            *clusters.LEASE,
            f"--watch-label-selector={selector('one')}",
            "--storage-adv-addr=http://one.test",
        )
    )
    processes.poll(lambda: not folder(again, obj).exists(), what="files collected")
    assert clusters.is_served(again, stays)
    # Nobody's object now: left as it is.
    assert cluster.get("app-3")["status"] == obj["status"]


def test_a_shard_has_a_lease_of_its_own() -> None:
    """As Flux names it: eight digits of the selector's SHA-256."""
    assert replica.lease_name("") == "source-controller-leader-election"
    assert (
        replica.lease_name("sharding.fluxcd.io/key=shard1")
        == "source-controller-leader-election-73fdc1be"
    )
