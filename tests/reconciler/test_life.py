"""The life of an OCIRepository: fetched, changed, failing, recovered, suspended, deleted."""

import pytest

from ocisource.api import ocirepository
from ocisource.archive import compressors
from tests.reconciler import world as worlds
from tests.reconciler.world import World

FILES = {"kustomize/deployment.yaml": b"kind: Deployment\n", "logo.png": b"png"}
PULL_FAILED = "OCIArtifactPullFailed"


async def test_a_declared_repository_becomes_a_served_artifact(world: World) -> None:
    """Revision, checksum, path, conditions and events are as documented."""
    digest = await world.push("podinfo", "latest", FILES)
    async with world.recording(), world.controller() as running:
        await world.declare()
        obj = await world.ready()
        event = await world.event("NewArtifact")
    artifact = obj.status.artifact
    assert artifact is not None
    folder = f"ocirepository/{world.namespace}/podinfo"
    assert artifact.revision == digest.hex
    assert artifact.path == f"{folder}/{digest.hex}.tar.gz"
    assert artifact.url == f"{running.artifacts_url}/{artifact.path}"
    assert artifact.digest == f"sha256:{artifact.checksum}"
    assert artifact.size == world.path(obj).stat().st_size
    assert artifact.metadata == worlds.ORIGIN
    assert obj.status.url == f"{running.artifacts_url}/{folder}/latest.tar.gz"
    stored = ("True", "Succeeded", f"stored artifact for digest '{digest.hex}'")
    assert worlds.state(obj) == {"Ready": stored, "ArtifactInStorage": stored}
    assert obj.metadata.finalizers == ("finalizers.fluxcd.io",)
    assert world.stored(obj) == {"kustomize/deployment.yaml": b"kind: Deployment\n"}
    text = (
        f"stored artifact with digest '{digest.hex}' from '{obj.spec.url}', "
        f"origin source '{worlds.ORIGIN['org.opencontainers.image.source']}', "
        f"origin revision '{worlds.ORIGIN['org.opencontainers.image.revision']}'"
    )
    assert event == ("Normal", text)
    text = f"new digest '{digest.hex}' for '{world.host}/podinfo:latest'"
    assert _progress(world) == [("NewRevision", text, ("False", "NewRevision", text))]


def _progress(world: World) -> list[tuple[str, str, tuple[str, str, str]]]:
    """Reconciling's reason and message, with Ready beside it, in each state that has it."""
    seen = []
    for obj in world.history:
        reconciling = worlds.condition(obj, "Reconciling")
        if reconciling is not None:
            entry = (reconciling.reason, reconciling.message, worlds.state(obj)["Ready"])
            if entry not in seen:
                seen.append(entry)
    return seen


async def test_a_moved_tag_brings_a_new_artifact_and_is_outdated_meanwhile(world: World) -> None:
    """Ready is False with NewRevision while the new content is fetched."""
    first = await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        await world.ready()
        second = await world.push("podinfo", "latest", {"a.yaml": b"a: 2\n"})
        assert first != second
        async with world.recording():
            await world.request("podinfo", "now")
            obj = await world.until(
                lambda o: (
                    o.status.artifact is not None
                    and o.status.artifact.revision == second.hex
                    and worlds.is_ready(o)
                )
            )
    assert obj.status.last_handled_reconcile_at == "now"
    outdated = [o for o in world.history if worlds.condition(o, "ArtifactOutdated") is not None]
    assert outdated
    expected = (
        "True",
        "NewRevision",
        f"new digest '{second.hex}' for '{world.host}/podinfo:latest'",
    )
    assert worlds.state(outdated[0])["ArtifactOutdated"] == expected
    assert world.stored(obj) == {"a.yaml": b"a: 2\n"}


async def test_nothing_new_writes_nothing_but_the_handled_request(world: World) -> None:
    """A request that finds everything in place changes one field and tells ArtifactUpToDate."""
    digest = await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.request("podinfo", "t1")
        after = await world.until(lambda o: o.status.last_handled_reconcile_at == "t1")
        event = await world.event("ArtifactUpToDate")
    assert after.status.conditions == before.status.conditions
    assert after.status.artifact == before.status.artifact
    assert event == ("Normal", f"artifact up-to-date with remote digest: '{digest.hex}'")


async def test_a_run_that_nobody_asked_for_and_that_finds_nothing_new_writes_nothing(
    world: World,
) -> None:
    """As at each interval: the object keeps its version; an event tells of the run."""
    await world.push("podinfo", "latest", FILES)
    docker_config = "kubernetes.io/dockerconfigjson"
    await world.secret("pull", {".dockerconfigjson": '{"auths": {}}'}, docker_config)
    async with world.controller():
        await world.declare(secretRef={"name": "pull"})
        before = await world.ready()
        await world.secret("pull", {".dockerconfigjson": '{"auths":  {}}'}, docker_config)
        await world.event("ArtifactUpToDate")
        after = await world.get()
    assert after.metadata.resource_version == before.metadata.resource_version


async def test_an_unknown_tag_fails_in_the_documented_words_and_is_retried(world: World) -> None:
    """The old artifact stays, Reconciling keeps NewGeneration, and a later push heals it."""
    first = await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        await world.ready()
        await world.declare(ref={"tag": "0.0.1"})
        obj = await world.failed(PULL_FAILED)
        text = f"failed to pull artifact from '{obj.spec.url}': couldn't find tag \"0.0.1\""
        expected = ("True", PULL_FAILED, text)
        assert worlds.state(obj)["FetchFailed"] == expected
        assert worlds.state(obj)["Ready"] == ("False", PULL_FAILED, text)
        assert worlds.state(obj)["Reconciling"] == (
            "True",
            "NewGeneration",
            "reconciling new object generation (2)",
        )
        assert obj.status.observed_generation == 1
        assert obj.status.artifact is not None
        assert obj.status.artifact.revision == first.hex
        assert world.path(obj).exists()
        assert await world.event(PULL_FAILED) == ("Warning", text)
        second = await world.push("podinfo", "0.0.1", {"b.yaml": b"b: 1\n"})
        healed = await world.ready()
    assert healed.status.artifact is not None
    assert healed.status.artifact.revision == second.hex
    assert "FetchFailed" not in worlds.state(healed)


async def test_a_url_with_a_tag_stalls_until_the_spec_changes(world: World) -> None:
    """Stalled, FetchFailed and Ready carry URLInvalid; the generation counts as observed."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare(url=f"oci://{world.host}/podinfo:latest")
        obj = await world.failed("URLInvalid")
        assert worlds.state(obj)["Stalled"][:2] == ("True", "URLInvalid")
        assert worlds.condition(obj, "Reconciling") is None
        assert obj.status.observed_generation == obj.metadata.generation
        assert obj.status.artifact is None
        await world.declare()
        healed = await world.ready()
    assert "Stalled" not in worlds.state(healed)


async def test_an_unreachable_registry_is_retried_and_recovers(world: World) -> None:
    """The artifact stays; coming back is told as Succeeded, not as a new artifact."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.event("NewArtifact")
        await world.registry.stop()
        await world.request("podinfo", "down")
        obj = await world.failed(PULL_FAILED)
        assert obj.status.artifact == before.status.artifact
        assert "127.0.0.1" in worlds.state(obj)["Ready"][2]
        port = int(world.host.rpartition(":")[2])
        await world.registry.start(port=port)
        healed = await world.ready()
        event = await world.event("Succeeded")
    assert healed.status.artifact == before.status.artifact
    assert event[1].startswith("stored artifact with digest")


async def test_a_missing_secret_is_named_and_healed_by_its_creation(world: World) -> None:
    """AuthenticationFailed with the Secret's name; creating it triggers the next run."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller(max_retry_delay=3600.0, min_retry_delay=3600.0):
        await world.declare(secretRef={"name": "pull"})
        obj = await world.failed("AuthenticationFailed")
        message = worlds.state(obj)["Ready"][2]
        assert message == (
            f"failed to get credential: failed to get secret '{world.namespace}/pull': "
            'secrets "pull" not found'
        )
        await world.secret(
            "pull", {".dockerconfigjson": '{"auths": {}}'}, "kubernetes.io/dockerconfigjson"
        )
        await world.ready()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({".dockerconfigjson": '{"auths": {"127.0.0.1": {"auth": "!"}}}'}, "unable to decode auth"),
        ({".dockerconfigjson": '{"auths": 1}'}, "failed to get credential"),
    ],
)
async def test_a_bad_secret_says_what_is_wrong_with_it(
    world: World, data: dict[str, str], text: str
) -> None:
    """Ready=False with AuthenticationFailed and the cause."""
    async with world.controller():
        await world.secret("pull", data, "kubernetes.io/dockerconfigjson")
        await world.declare(secretRef={"name": "pull"})
        obj = await world.failed("AuthenticationFailed")
    assert text in worlds.state(obj)["Ready"][2]


async def test_suspended_objects_are_left_alone_until_resumed(world: World) -> None:
    """Neither changes nor requests are acted on; resuming is a change of generation."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.change("podinfo", {"spec": {"suspend": True}})
        second = await world.push("podinfo", "latest", {"c.yaml": b"c: 1\n"})
        await world.request("podinfo", "ignored")
        await world.declare("other", repository="podinfo")  # its success shows that time passed
        await world.ready("other")
        frozen = await world.get()
        assert frozen.status == before.status
        await world.change("podinfo", {"spec": {"suspend": False}})
        obj = await world.ready()
    assert obj.status.artifact is not None
    assert obj.status.artifact.revision == second.hex
    assert obj.status.last_handled_reconcile_at == "ignored"


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_deleting_removes_the_files_and_lets_the_object_go(
    world: World, is_suspended: bool
) -> None:
    """Also while suspended."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        obj = await world.ready()
        folder = world.path(obj).parent
        assert folder.is_dir()
        if is_suspended:
            await world.change("podinfo", {"spec": {"suspend": True}})
        await world.api.delete(world.resource, "podinfo", namespace=world.namespace)
        await world.gone()
        event = await world.event("GarbageCollectionSucceeded")
    assert not folder.exists()
    assert event == ("Normal", "garbage collected artifacts for deleted resource")


@pytest.mark.parametrize("damage", ["remove", "alter"])
async def test_a_lost_or_altered_file_is_rebuilt_without_a_new_artifact_event(
    world: World, damage: str
) -> None:
    """An altered one is told with a warning; the rebuilt content is the same."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.event("NewArtifact")
        path = world.path(before)
        if damage == "remove":
            path.unlink()
        else:
            path.chmod(0o600)
            path.write_bytes(b"x" * path.stat().st_size)
        await world.request("podinfo", "look")
        after = await world.until(
            lambda o: o.status.last_handled_reconcile_at == "look" and worlds.is_ready(o)
        )
        assert world.stored(after) == {"kustomize/deployment.yaml": b"kind: Deployment\n"}
        events = [reason for _, reason, _ in await world.events()]
    assert after.status.artifact is not None
    assert before.status.artifact is not None
    assert after.status.artifact.digest == before.status.artifact.digest
    assert events.count("NewArtifact") == 1
    assert ("ArtifactVerificationFailed" in events) is (damage == "alter")


async def test_an_artifact_rebuilt_by_another_compressor_is_no_new_artifact(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status tells the new bytes; revision and files are the old ones, and no event is told."""
    files = {f"{number}.yaml": b"kind: ConfigMap\n" * 50 * number for number in range(9)}
    await world.push("podinfo", "latest", files)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.event("NewArtifact")
        stored = world.stored(before)
        monkeypatch.setattr(compressors, "fast", compressors.portable)
        path = world.path(before)
        path.chmod(0o600)
        path.write_bytes(b"x")  # the store's only copy, so that it must be packed again
        await world.request("podinfo", "look")
        after = await world.until(
            lambda o: o.status.last_handled_reconcile_at == "look" and worlds.is_ready(o)
        )
        assert world.stored(after) == stored
        events = [reason for _, reason, _ in await world.events()]
    assert after.status.artifact is not None
    assert before.status.artifact is not None
    assert after.status.artifact.digest != before.status.artifact.digest
    assert after.status.artifact.revision == before.status.artifact.revision
    assert events.count("NewArtifact") == 1


async def test_other_ignore_rules_rebuild_the_same_revision(world: World) -> None:
    """The path stays, the content changes, and NewArtifact is told."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
        await world.declare(ignore="*.yaml\n!*.png\n")
        after = await world.until(
            lambda o: o.status.observed_ignore is not None and worlds.is_ready(o)
        )
    assert before.status.artifact is not None
    assert after.status.artifact is not None
    assert after.status.artifact.revision == before.status.artifact.revision
    assert after.status.artifact.digest != before.status.artifact.digest
    assert world.stored(after) == {"logo.png": b"png"}
    assert after.status.observed_ignore == "*.yaml\n!*.png\n"


async def test_state_survives_a_restart_of_the_controller(world: World) -> None:
    """A second start finds the artifact in place and writes no status."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        before = await world.ready()
    async with world.controller():
        await world.event("ArtifactUpToDate")
        after = await world.get()
    assert after.status.artifact is not None
    assert before.status.artifact is not None
    assert after.status.artifact.digest == before.status.artifact.digest
    assert after.status.artifact.last_update_time == before.status.artifact.last_update_time
    assert worlds.is_ready(after)


async def test_a_digest_reference_asks_the_registry_nothing_while_nothing_changed(
    world: World,
) -> None:
    """The revision is the digest; the registry may be away."""
    digest = await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare(ref={"digest": str(digest)})
        await world.ready()
        await world.registry.stop()
        await world.request("podinfo", "quiet")
        obj = await world.until(lambda o: o.status.last_handled_reconcile_at == "quiet")
    assert worlds.is_ready(obj)
    assert obj.status.artifact is not None
    assert obj.status.artifact.revision == digest.hex


async def test_a_reference_picks_digest_before_semver_before_tag(world: World) -> None:
    """Acceptance case B9."""
    for tag in ("6.1.4", "6.1.5", "6.1.6"):
        await world.push("podinfo", tag, {"version.txt": tag.encode()})
    digest = await world.push("podinfo", "6.1.5", {"version.txt": b"6.1.5"})
    async with world.controller():
        await world.declare(ref={"tag": "6.1.6", "semver": ">= 6.1.6", "digest": str(digest)})
        by_digest = await world.ready()
        assert world.stored(by_digest) == {"version.txt": b"6.1.5"}
        await world.declare(ref={"tag": "6.1.4", "semver": ">= 6.1.5"})
        by_range = await world.ready()
        assert world.stored(by_range) == {"version.txt": b"6.1.6"}


async def test_both_api_versions_show_the_same_object(world: World) -> None:
    """The seed's v1beta2 manifest is read as v1 and back."""
    await world.push("podinfo", "latest", FILES)
    async with world.controller():
        await world.declare()
        await world.ready()
        old = world.resource.__class__(
            ocirepository.GROUP,
            "v1beta2",
            ocirepository.PLURAL,
            ocirepository.KIND,
            ocirepository.OCIRepository,
        )
        seen = await world.api.get(old, "podinfo", namespace=world.namespace)
    assert seen.api_version == "source.toolkit.fluxcd.io/v1beta2"
    assert worlds.is_ready(seen)
