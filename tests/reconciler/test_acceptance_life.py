"""Acceptance cases G and H: the store behind an object, and the object's end."""

import asyncio
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.api import kstatus, ocirepository
from ocisource.kube import patch
from ocisource.storage import store
from tests.reconciler import world as worlds
from tests.reconciler.world import World

FILES = {"kustomize/deployment.yaml": b"kind: Deployment\n", "kustomize/hpa.yaml": b"kind: HPA\n"}
FOREIGN = "example.com/guard"


async def _patch_status(world: World, document: dict[str, object]) -> None:
    made = await world.api.patch(
        world.resource,
        "podinfo",
        patch.merge({"status": document}),
        namespace=world.namespace,
        subresource="status",
    )
    assert made.metadata.name == "podinfo"


async def test_g1_superseded_files_are_collected(recorded: World) -> None:
    """Of four files the current one and one more remain; its address is the newest file's."""
    world = recorded
    async with world.controller(artifact_retention_ttl=3600.0, artifact_retention_records=2):
        kept = []
        for number, content in enumerate((b"a", b"b", b"c", b"d")):
            digest = await world.push("podinfo", "latest", {"a.yaml": content})
            kept.append(f"{digest.hex}.tar.gz")
            if number == 0:
                await world.declare()
            else:
                await world.request("podinfo", str(number))
            obj = await world.until(
                lambda o, wanted=digest.hex: (  # type: ignore[misc]
                    o.status.artifact is not None
                    and o.status.artifact.revision == wanted
                    and worlds.is_ready(o)
                )
            )
        await world.request("podinfo", "collect")
        await world.until(lambda o: o.status.last_handled_reconcile_at == "collect")
        assert await world.event("GarbageCollectionSucceeded")
    folder = world.path(obj).parent
    assert {path.name for path in folder.iterdir()} == {*kept[2:], "latest.tar.gz"}
    assert set(worlds.state(obj)) == {"Ready", "ArtifactInStorage"}


async def test_g2_an_object_without_an_artifact_says_so(recorded: World) -> None:
    """Reconciling with NoArtifact as long as none could be fetched."""
    async with recorded.controller():
        await recorded.declare()
        obj = await recorded.failed("OCIArtifactPullFailed")
    expected = ("True", "NoArtifact", "no artifact for resource in storage")
    assert worlds.state(obj)["Reconciling"] == expected
    assert "ArtifactInStorage" not in worlds.state(obj)
    assert "ArtifactOutdated" not in worlds.state(obj)


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        pytest.param("missing", None, id="G3"),
        pytest.param("no digest", "artifact has no digest", id="G4"),
        pytest.param("other digest", "computed digest doesn't match 'sha256:", id="G5"),
    ],
)
async def test_g_a_file_that_is_not_what_status_says_is_built_again(
    world: World, case: str, cause: str | None
) -> None:
    """It is forgotten, a warning says why, and the same run fetches it anew."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
    assert before.status.artifact is not None
    other = "0" * 64
    if case == "missing":
        world.path(before).unlink()
    elif case == "no digest":
        await _patch_status(world, {"artifact": {"digest": None, "checksum": None}})
    else:
        digests = {"digest": f"sha256:{other}", "checksum": other}
        await _patch_status(world, {"artifact": digests})
    async with world.controller():
        await world.request("podinfo", "look")
        after = await world.until(
            lambda o: o.status.last_handled_reconcile_at == "look" and worlds.is_ready(o)
        )
        if cause is not None:
            type_, message = await world.event("ArtifactVerificationFailed")
            assert type_ == "Warning"
            assert message.startswith(f"failed to verify integrity of artifact: {cause}")
    assert after.status.artifact is not None
    assert after.status.artifact.digest == before.status.artifact.digest
    assert set(world.stored(after)) == set(FILES)


async def test_g6_an_outdated_host_is_replaced(recorded: World) -> None:
    """Both addresses follow the artifact server; nothing else changes."""
    world = recorded
    await world.push("podinfo", "latest", FILES)
    async with world.controller(storage_adv_addr="old.example.com"):
        await world.declare()
        before = await world.ready()
    async with world.controller(storage_adv_addr="https://new.example.com/"):
        after = await world.until(lambda o: o.status.url.startswith("https://new.example.com/"))
    old, new = before.status.artifact, after.status.artifact
    assert old is not None
    assert new is not None
    assert old.url == f"http://old.example.com/{old.path}"
    assert new.url == f"https://new.example.com/{old.path}"
    assert (new.revision, new.digest, new.path) == (old.revision, old.digest, old.path)
    assert new.last_update_time == old.last_update_time
    assert after.status.conditions == before.status.conditions


async def test_h1_deleting_removes_files_and_finalizer(recorded: World) -> None:
    """Nothing of the object is left."""
    world = recorded
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        folder = world.path(await world.ready()).parent
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()
    assert not folder.exists()


async def test_h2_our_finalizer_is_not_added_to_an_object_under_deletion(recorded: World) -> None:
    """A foreign finalizer holds it; we leave it alone."""
    world = recorded
    await world.push("podinfo", "latest", FILES)
    await world.declare()
    await world.change("podinfo", {"metadata": {"finalizers": [FOREIGN]}})
    await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
    async with world.controller():
        await world.declare("other", repository="podinfo")
        await world.ready("other")  # its success shows that time passed
        obj = await world.get()
        assert obj.metadata.finalizers == (FOREIGN,)
        assert obj.status.conditions == ()
        await world.change("podinfo", {"metadata": {"finalizers": None}})
        await world.gone()


async def test_h3_the_first_run_adds_the_finalizer_and_goes_on(recorded: World) -> None:
    """Decided otherwise than upstream: no round trip of its own."""
    await recorded.push("podinfo", "latest", FILES)
    async with recorded.controller():
        await recorded.declare()
        obj = await recorded.ready()
    assert obj.metadata.finalizers == (ocirepository.FINALIZER,)
    first = next(o for o in recorded.history if o.status.conditions)
    assert first.metadata.finalizers == (ocirepository.FINALIZER,)


async def test_h4_a_suspended_object_can_be_deleted(recorded: World) -> None:
    """With its files."""
    world = recorded
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        folder = world.path(await world.ready()).parent
        await world.change("podinfo", {"spec": {"suspend": True}})
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()
    assert not folder.exists()


async def test_h5_the_whole_cycle(recorded: World) -> None:
    """Created, Current, asked for again, deleted."""
    world = recorded
    await world.push("podinfo", "6.1.6", FILES)
    async with world.controller():
        await world.declare(ref={"tag": "6.1.6"})
        obj = await world.ready()
        assert kstatus.state(obj)[0] is kstatus.State.CURRENT
        await world.request("podinfo", "now")
        handled = await world.until(lambda o: o.status.last_handled_reconcile_at == "now")
        assert kstatus.state(handled)[0] is kstatus.State.CURRENT
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()


async def test_h6_the_values_of_the_cycle(recorded: World) -> None:
    """Revision, metadata and content are the tag's; a range picks the newest inside it."""
    world = recorded
    older = await world.push("podinfo", "6.1.5", {"old.yaml": b"old"})
    newer = await world.push("podinfo", "6.1.6", FILES)
    async with world.controller():
        await world.declare(ref={"tag": "6.1.6"})
        obj = await world.ready()
        assert obj.status.artifact is not None
        assert obj.status.artifact.revision == newer.hex
        assert obj.status.artifact.metadata == worlds.ORIGIN
        assert set(world.stored(obj)) == set(FILES)
        await world.declare(ref={"semver": ">= 6.1 <= 6.1.5"})
        obj = await world.ready()
    assert obj.status.artifact is not None
    assert obj.status.artifact.revision == older.hex


async def test_conditions_of_others_survive_and_conflicts_are_retried(world: World) -> None:
    """Somebody else's condition is kept through every kind of write of ours."""
    await world.push("podinfo", "latest", FILES)
    theirs = {
        "type": "Audited",
        "status": "True",
        "reason": "Looked",
        "message": "all is well",
        "lastTransitionTime": "2022-06-14T11:23:36Z",
        "observedGeneration": 1,
    }
    async with world.controller():
        await world.declare()
        before = await world.ready()
        ours = [
            {
                "type": c.type,
                "status": c.status,
                "reason": c.reason,
                "message": c.message,
                "lastTransitionTime": c.last_transition_time,
                "observedGeneration": c.observed_generation,
            }
            for c in before.status.conditions
        ]
        await _patch_status(world, {"conditions": [*ours, theirs]})
        # Label edits queue nothing, but every one makes a version that a write may conflict with.
        edits = [
            world.change("podinfo", {"metadata": {"labels": {"n": str(number)}}})
            for number in range(10)
        ]
        digest = await world.push("podinfo", "latest", {"new.yaml": b"new"})
        await asyncio.gather(world.request("podinfo", "go"), *edits)
        obj = await world.until(
            lambda o: (
                o.status.artifact is not None
                and o.status.artifact.revision == digest.hex
                and worlds.is_ready(o)
            )
        )
    assert worlds.state(obj)["Audited"] == ("True", "Looked", "all is well")


async def test_a_return_to_older_content_leaves_nothing_superseded_behind(world: World) -> None:
    """From one tag to another and back: the other's file is collected once retention allows."""
    await world.push("podinfo", "one", {"a.yaml": b"1"})
    second = await world.push("podinfo", "two", {"a.yaml": b"2"})
    async with world.controller(artifact_retention_ttl=0.0, artifact_retention_records=1):
        await world.declare(ref={"tag": "one"})
        folder = world.path(await world.ready()).parent
        for tag in ("two", "one"):
            await world.declare(ref={"tag": tag})
            obj = await world.ready()
        await world.request("podinfo", "collect")
        await world.until(lambda o: o.status.last_handled_reconcile_at == "collect")
    assert world.path(obj).exists()
    assert f"{second.hex}.tar.gz" not in {path.name for path in folder.iterdir()}


async def test_a_folder_that_cannot_be_made_is_told_apart(world: World) -> None:
    """A file stands where the object's folder should be: DirectoryCreationFailed, and retried."""
    await world.push("podinfo", "latest", FILES)
    blocked = world.settings.storage_path / "ocirepository"
    blocked.write_text("in the way")
    async with world.controller():
        await world.declare()
        obj = await world.failed("DirectoryCreationFailed")
        message = worlds.state(obj)["StorageOperationFailed"][2]
        assert message.startswith("failed to create artifact directory: ")
        blocked.unlink()
        await world.ready()


async def test_a_link_that_cannot_be_made_is_told_and_harms_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The artifact is stored and Ready; status has no address for what leads nowhere."""

    def point_latest(*_: object) -> None:
        raise errors.StorageError("failed to link 'latest.tar.gz': no permission")

    await world.push("podinfo", "latest", FILES)
    with monkeypatch.context() as broken:
        broken.setattr(store.LocalStore, "point_latest", point_latest)
        async with world.controller():
            await world.declare()
            obj = await world.ready()
            assert set(world.stored(obj)) == set(FILES)
            assert obj.status.url == ""
            type_, message = await world.event("SymlinkUpdateFailed")
            assert type_ == "Normal"
            assert message == (
                "failed to update status URL symlink: failed to link 'latest.tar.gz': no permission"
            )
            await world.request("podinfo", "again")
            obj = await world.until(lambda o: o.status.last_handled_reconcile_at == "again")
            assert obj.status.url == ""
    async with world.controller():  # nothing new is needed for it
        await world.request("podinfo", "healed")
        obj = await world.until(lambda o: o.status.last_handled_reconcile_at == "healed")
    assert obj.status.url.endswith("/podinfo/latest.tar.gz")
    assert (world.path(obj).parent / "latest.tar.gz").resolve() == world.path(obj)


@pytest.mark.parametrize("damage", ["removed", "pointed elsewhere", "replaced by a file"])
async def test_a_latest_link_that_somebody_changed_is_put_right_by_the_next_run(
    world: World, damage: str
) -> None:
    """Without a new artifact, a fetch, or a word in status."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        latest = world.path(before).parent / "latest.tar.gz"
        latest.unlink()
        if damage == "pointed elsewhere":
            latest.symlink_to("another.tar.gz")
        elif damage == "replaced by a file":
            latest.write_bytes(b"nonsense")
        await world.request("podinfo", "look")
        after = await world.until(lambda o: o.status.last_handled_reconcile_at == "look")
        await world.event("ArtifactUpToDate")
        told = {reason for _, reason, _ in await world.events()}
    assert str(latest.readlink()) == world.path(before).name
    assert (after.status.url, after.status.artifact) == (before.status.url, before.status.artifact)
    # A file in the link's place is collected as any other.
    assert told - {"GarbageCollectionSucceeded"} == {"NewArtifact", "ArtifactUpToDate"}


async def test_unwatched_secrets_need_neither_list_nor_watch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --watch-secrets=false nothing but OCIRepositories is listed or watched."""
    await world.push("podinfo", "latest", FILES)
    asked: list[str] = []
    page, watch = world.api.page, world.api.watch

    def paged(resource: object, *args: object, **more: object) -> object:
        asked.append(resource.plural)  # type: ignore[attr-defined]
        return page(resource, *args, **more)  # type: ignore[arg-type]

    def watched(resource: object, *args: object, **more: object) -> object:
        asked.append(resource.plural)  # type: ignore[attr-defined]
        return watch(resource, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.api, "page", paged)
    monkeypatch.setattr(world.api, "watch", watched)
    await world.secret("pull", {".dockerconfigjson": "{}"}, "kubernetes.io/dockerconfigjson")
    async with world.controller(watch_secrets=False):
        await world.declare(secretRef={"name": "pull"})
        await world.ready()
    assert set(asked) == {"ocirepositories"}


async def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def test_series_per_object_end_with_the_object(world: World) -> None:
    """Behind --metrics-per-object alone, and gone after deletion."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller(metrics_per_object=True) as running:
        await world.declare()
        await world.ready()
        await _eventually(lambda: b'name="podinfo"' in running.metrics.exposition())
        assert b"ocisource_registry_requests_total" in running.metrics.exposition()
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()
        await _eventually(lambda: b'name="podinfo"' not in running.metrics.exposition())
    async with world.controller() as running:
        await world.declare()
        await world.ready()
        await _eventually(
            lambda: b"gotk_reconcile_duration_seconds_count" in running.metrics.exposition()
        )
        assert b'name="podinfo"' not in running.metrics.exposition()
