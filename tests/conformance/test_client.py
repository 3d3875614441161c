"""The client, events and leases on real API servers."""

import asyncio
import contextlib
import dataclasses
import json
import re
import time

import pytest

from ocisource import errors
from ocisource.api import meta
from ocisource.controller import lease
from ocisource.kube import answers, client, config, events, logins, patch, resources
from tests.conformance import conftest


async def secret(subject: conftest.Subject, name: str) -> resources.Secret:
    """A fresh Secret."""
    return await subject.direct.create(
        resources.SECRETS,
        {"metadata": {"name": name}, "stringData": {"k": "v"}},
        namespace=subject.namespace,
    )


async def test_each_patch_language_is_understood(subject: conftest.Subject) -> None:
    """Merge, JSON patch, strategic for built-in kinds, and server-side apply."""
    await secret(subject, "s")
    changes = [
        patch.merge({"data": {"a": "MQ=="}}),
        patch.json_patch([{"op": "add", "path": "/data/b", "value": "Mg=="}]),
        patch.strategic({"data": {"c": "Mw=="}}),
        patch.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s"},
                "data": {"d": "NA=="},
            }
        ),
    ]
    for change in changes:
        got = await subject.direct.patch(
            resources.SECRETS,
            "s",
            change,
            namespace=subject.namespace,
            is_forced=change.content_type == patch.APPLY,
        )
    assert got.data == {"k": b"v", "a": b"1", "b": b"2", "c": b"3", "d": b"4"}


async def test_a_patch_of_an_old_version_is_a_conflict(subject: conftest.Subject) -> None:
    """Optimistic locking in a merge patch."""
    made = await secret(subject, "s")
    document = patch.with_version({"data": {"k": "MQ=="}}, made.metadata.resource_version)
    change = patch.merge(document)
    await subject.direct.patch(resources.SECRETS, "s", change, namespace=subject.namespace)
    with pytest.raises(errors.APIStatusError) as caught:
        await subject.direct.patch(resources.SECRETS, "s", change, namespace=subject.namespace)
    assert answers.is_conflict(caught.value)


async def test_errors_have_the_servers_own_words(subject: conftest.Subject) -> None:
    """Not found, taken, another uid: told apart by code and reason."""
    with pytest.raises(errors.APIStatusError) as missing:
        await subject.direct.get(resources.SECRETS, "none", namespace=subject.namespace)
    assert str(missing.value) == 'secrets "none" not found'
    assert missing.value.details["name"] == "none"
    await secret(subject, "s")
    with pytest.raises(errors.APIStatusError) as taken:
        await secret(subject, "s")
    assert answers.is_already_there(taken.value)
    with pytest.raises(errors.APIStatusError) as other:
        await subject.direct.delete(
            resources.SECRETS, "s", namespace=subject.namespace, uid="another"
        )
    assert answers.is_conflict(other.value)


async def test_a_wrong_token_is_unauthorized(subject: conftest.Subject) -> None:
    """401, and nothing else is said."""
    cluster = config.load(subject.kubeconfig, environ={})
    source = logins.MaterialLogin(token=logins.Material(data=b"wrong"))
    wrong = dataclasses.replace(cluster, login_source=source)
    async with client.Client(wrong, environ={}) as api:
        with pytest.raises(errors.APIStatusError) as caught:
            await api.list(resources.SECRETS)
    assert caught.value.code == 401


async def test_discovery_names_what_is_served(subject: conftest.Subject) -> None:
    """Groups, versions and plurals; nothing for a group that nobody serves."""
    assert "v1" in await subject.direct.versions("coordination.k8s.io")
    assert "leases" in await subject.direct.discover("coordination.k8s.io", "v1")
    assert "secrets" in await subject.direct.discover("", "v1")
    assert await subject.direct.versions("no.such.group") == ()
    assert await subject.direct.discover("no.such.group", "v1") == ()
    assert isinstance(await subject.direct.adopt_server_fairness(), bool)


async def test_kubectl_describes_repeated_events_as_the_document_shows(
    subject: conftest.Subject,
) -> None:
    """Nine failures within seconds are one line with ``(x9 over 4s)``."""
    made = await subject.direct.create(
        resources.CONFIG_MAPS, {"metadata": {"name": "podinfo"}}, namespace=subject.namespace
    )
    about = resources.ObjectReference(
        kind="ConfigMap",
        namespace=subject.namespace,
        name="podinfo",
        uid=made.metadata.uid,
        api_version="v1",
        resource_version=made.metadata.resource_version,
    )
    wall = [time.time() - 6]
    recorder = events.Recorder(
        subject.direct, component="source-controller", host="pod-1", wall=lambda: wall[0]
    )
    task = asyncio.create_task(recorder.run())
    text = "failed to pull artifact from 'oci://ghcr.io/x': couldn't find tag \"0.0.1\""
    for _ in range(9):
        recorder.record(about, event_type=events.WARNING, reason="OCIOperationFailed", message=text)
        assert await recorder.flush(20)
        wall[0] += 0.5
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    described = await asyncio.to_thread(
        subject.kubectl.run, "describe", "configmap", "podinfo", "-n", subject.namespace
    )
    line = next(line for line in described.stdout.splitlines() if "OCIOperationFailed" in line)
    assert re.search(
        r"^\s*Warning\s+OCIOperationFailed\s+\d+s \(x9 over \d+s\)\s+source-controller\s+", line
    )
    assert line.endswith(text)
    listed = await asyncio.to_thread(
        subject.kubectl.run, "get", "events", "-n", subject.namespace, "-o", "json"
    )
    (event,) = json.loads(listed.stdout)["items"]
    assert event["count"] == 9
    assert event["reportingComponent"] == "source-controller"


async def test_the_lease_changes_hands(subject: conftest.Subject) -> None:
    """Made, held, released and taken over, in the server's own format."""

    def elector(identity: str) -> lease.Elector:
        return lease.Elector(
            subject.direct,
            namespace=subject.namespace,
            name="election",
            identity=identity,
            sleep=subject.time.skip,
            clock=subject.time.clock,
        )

    led: list[str] = []

    async def work(identity: str) -> None:
        held = await subject.direct.get(resources.LEASES, "election", namespace=subject.namespace)
        led.append(f"{identity} {held.spec.holder_identity} {held.spec.lease_transitions}")

    await elector("one").run(lambda: work("one"))
    await elector("two").run(lambda: work("two"))
    assert led == ["one one 0", "two two 1"]
    released = await subject.direct.get(resources.LEASES, "election", namespace=subject.namespace)
    assert not released.spec.holder_identity


async def test_one_of_two_writers_of_a_lease_loses(subject: conftest.Subject) -> None:
    """An update of an old version is refused."""
    made = await subject.direct.create(
        resources.LEASES,
        resources.Lease(metadata=meta.ObjectMeta(name="l")),
        namespace=subject.namespace,
    )
    spec = resources.LeaseSpec(holder_identity="a", lease_duration_seconds=35)
    first = resources.Lease(metadata=made.metadata, spec=spec)
    await subject.direct.update(resources.LEASES, "l", first, namespace=subject.namespace)
    with pytest.raises(errors.APIStatusError) as caught:
        await subject.direct.update(resources.LEASES, "l", first, namespace=subject.namespace)
    assert answers.is_conflict(caught.value)
