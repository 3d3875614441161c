"""The mirror's behaviour on real API servers, through a relay that fails on request."""

import asyncio
import base64
import contextlib
import random
from collections.abc import AsyncIterator, Mapping

import pytest

from ocisource import errors
from ocisource.controller import informer, reflector, request
from ocisource.kube import answers, client, patch, resources, transport
from tests.conformance import conftest
from tests.simulators import faketime

Cache = informer.Informer[resources.ConfigMap]


async def put(subject: conftest.Subject, name: str, value: str, **labels: str) -> None:
    """Create or change a ConfigMap, past the relay."""
    content = {"metadata": {"name": name, "labels": labels}, "data": {"v": value}}
    try:
        await subject.direct.create(resources.CONFIG_MAPS, content, namespace=subject.namespace)
    except errors.APIStatusError as exc:
        if not answers.is_already_there(exc):
            raise
        change = patch.merge({"metadata": {"labels": labels}, "data": {"v": value}})
        await subject.direct.patch(resources.CONFIG_MAPS, name, change, namespace=subject.namespace)


async def drop(subject: conftest.Subject, name: str) -> None:
    """Delete a ConfigMap, past the relay."""
    await subject.direct.delete(resources.CONFIG_MAPS, name, namespace=subject.namespace)


@contextlib.asynccontextmanager
async def mirroring(
    subject: conftest.Subject,
    *,
    label_selector: str = "",
    settings: reflector.ReflectorSettings = reflector.DEFAULTS,
    reports: list[Exception | None] | None = None,
) -> AsyncIterator[Cache]:
    """A cache of the test's ConfigMaps, behind the relay and synced."""
    source = reflector.Reflector(
        subject.relayed,
        resources.CONFIG_MAPS,
        client.Scope(namespace=subject.namespace, label_selector=label_selector),
        settings=settings,
        clock=subject.time.clock,
        sleep=subject.time.skip,
        rng=random.Random(1),
        report=None if reports is None else reports.append,
    )
    cache = informer.Informer(source)
    task = asyncio.create_task(cache.run())
    try:
        await cache.wait_synced()
        yield cache
    finally:
        assert not task.done(), task
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def content(cache: Cache) -> Mapping[str, str]:
    """What the cache shows."""
    return {
        obj.metadata.name: obj.data.get("v", "")
        for obj in cache
        if obj.metadata.name != "kube-root-ca.crt"
    }


async def shows(cache: Cache, **wanted: str) -> None:
    """Wait until the cache shows exactly this."""
    await faketime.until(lambda: content(cache) == wanted)


async def test_pages_and_changes_arrive_in_order(subject: conftest.Subject) -> None:
    """Twenty objects in pages of seven, then what happens to them."""
    for number in range(20):
        await put(subject, f"o{number:02}", "1")
    async with mirroring(subject) as cache:
        assert content(cache) == {f"o{number:02}": "1" for number in range(20)}
        values: list[str] = []
        cache.add_handler(informer.Handler(on_update=lambda _, new: values.append(new.data["v"])))
        for value in "23456789":
            await put(subject, "o00", value)
        for number in range(1, 20):
            await drop(subject, f"o{number:02}")
        await shows(cache, o00="9")
        assert values == list("23456789")


async def test_a_cut_connection_loses_no_change(subject: conftest.Subject) -> None:
    """What happens while no watch is open arrives with the next one."""
    await put(subject, "a", "1")
    async with mirroring(subject) as cache:
        for round_ in range(4):
            before = subject.relay.connections
            await subject.relay.cut()
            await put(subject, "a", f"cut {round_}")
            await shows(cache, a=f"cut {round_}")
            assert subject.relay.connections > before


async def test_an_absent_server_is_waited_for(subject: conftest.Subject) -> None:
    """Refused connections for a while; changes and deletions meanwhile arrive afterwards."""
    for name in ("a", "b"):
        await put(subject, name, "1")
    reports: list[Exception | None] = []
    async with mirroring(subject, reports=reports) as cache:
        await subject.relay.refuse()
        await faketime.until(lambda: len(reports) > 8)
        await put(subject, "a", "2")
        await drop(subject, "b")
        await subject.relay.start()
        await shows(cache, a="2")
        assert reports[-1] is None


async def test_a_server_that_hangs_is_left_for_a_new_connection(
    subject: conftest.Subject,
) -> None:
    """A stream that is open and silent is renewed; nothing is lost."""
    await put(subject, "a", "1")
    settings = reflector.ReflectorSettings(inactivity=0.2, brief=0.0)
    async with mirroring(subject, settings=settings) as cache:
        subject.relay.hang()
        await put(subject, "a", "2")
        before = subject.relay.connections
        subject.time.now += 10
        await faketime.until(lambda: subject.relay.connections > before)
        subject.relay.resume()
        await shows(cache, a="2")


async def test_objects_that_leave_the_selector_are_deleted(subject: conftest.Subject) -> None:
    """And come back when their labels do: how shards change hands."""
    await put(subject, "mine", "1", shard="1")
    await put(subject, "other", "1", shard="2")
    async with mirroring(subject, label_selector="shard=1") as cache:
        await shows(cache, mine="1")
        await put(subject, "mine", "2", shard="2")
        await put(subject, "other", "2", shard="1")
        await shows(cache, other="2")
        await put(subject, "mine", "3", shard="1")
        await shows(cache, mine="3", other="2")


async def test_an_object_made_anew_is_another_one(subject: conftest.Subject) -> None:
    """Its uid tells, even if the watch saw neither the end nor the beginning."""
    await put(subject, "a", "old")
    async with mirroring(subject) as cache:
        seen: list[str] = []
        cache.add_handler(
            informer.Handler(
                on_add=lambda obj, _: seen.append(f"add {obj.data['v']}"),
                on_delete=lambda obj: seen.append(f"delete {obj.data['v']}"),
            )
        )
        await drop(subject, "a")
        await put(subject, "a", "new")
        await shows(cache, a="new")
        assert seen == ["add old", "delete old", "add new"]


async def test_metadata_only_keeps_secrets_on_the_server(subject: conftest.Subject) -> None:
    """Neither list nor watch carries the data; changes are seen all the same."""
    made = await subject.direct.create(
        resources.SECRETS,
        {"metadata": {"name": "s"}, "stringData": {"password": "s3cret"}},
        namespace=subject.namespace,
    )
    assert made.data == {"password": b"s3cret"}
    kind = resources.SECRETS.metadata_only()
    call = transport.Call(
        "GET", kind.path(namespace=subject.namespace), accept=resources.METADATA_LIST
    )
    body = await subject.direct._exchange.send(call)
    assert b"PartialObjectMetadata" in body
    assert base64.b64encode(b"s3cret") not in body
    source = reflector.Reflector(
        subject.relayed,
        kind,
        client.Scope(namespace=subject.namespace, field_selector="metadata.name=s"),
        clock=subject.time.clock,
        sleep=subject.time.skip,
    )
    async with contextlib.aclosing(source.changes()) as changes:
        first = await anext(changes)
        assert isinstance(first, reflector.Replaced)
        assert [obj.metadata.uid for obj in first.items] == [made.metadata.uid]
        await subject.direct.patch(
            resources.SECRETS,
            "s",
            patch.merge({"data": {"password": "bmV3"}}),
            namespace=subject.namespace,
        )
        second = await anext(changes)
        assert isinstance(second, reflector.Changed)
        assert second.obj.metadata.resource_version != made.metadata.resource_version


async def test_a_continue_token_of_another_time_is_refused(subject: conftest.Subject) -> None:
    """Not a token at all is 400, and the list is told apart from an expired one."""
    scope = client.Scope(namespace=subject.namespace)
    with pytest.raises(errors.APIStatusError) as caught:
        await subject.direct.page(resources.CONFIG_MAPS, scope, token="nonsense", limit=5)
    assert caught.value.code == 400
    assert not answers.is_expired(caught.value)


async def test_a_version_from_the_future_does_not_freeze_the_mirror(
    subject: conftest.Subject,
) -> None:
    """After a restore from a backup the mirror finds back to what there is."""
    await put(subject, "a", "1")
    async with mirroring(subject) as cache:
        source = cache._source
        source._version = "999999999"
        await subject.relay.cut()
        await put(subject, "a", "2")
        # Some servers refuse such a version, others are silent until an event shows the truth.
        for number in range(200):
            if content(cache).get("a", "").startswith("2"):
                break
            await put(subject, "a", f"2 {number}")
            subject.time.now += 200
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the mirror shows the past")


async def test_the_cache_is_keyed_by_namespace_and_name(subject: conftest.Subject) -> None:
    """One object is found without looking at others."""
    await put(subject, "a", "1")
    async with mirroring(subject) as cache:
        found = cache.get(request.Request(subject.namespace, "a"))
        assert found is not None
        assert found.metadata.name == "a"
        assert cache.get(request.Request("other", "a")) is None
