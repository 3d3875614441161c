"""Acceptance cases A and B: which tag or digest an OCIRepository stands for."""

from typing import Any

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.api import ocirepository
from ocisource.oci.grammar import manifest, reference
from ocisource.reconciler import declared, steps
from ocisource.source import resolve, wanted
from tests.reconciler import world as worlds
from tests.reconciler.world import World

HEX = "1" * 64
RELEASES = ("6.1.4", "6.1.5", "6.1.6")
TAGS = (
    "6.1.4",
    "6.1.5-beta.1",
    "6.1.5-rc.1",
    "6.1.5",
    "6.1.6-rc.1",
    "6.1.6",
    "6.2.1_ref.1234567",
    "6.2.1",
)
PULL_FAILED = "OCIArtifactPullFailed"


class Registry:
    """A registry with these tags."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags

    async def tags(self) -> tuple[str, ...]:
        """The tags."""
        return self._tags

    async def resolve(self, tag: str) -> manifest.Descriptor:
        """One digest for all."""
        return manifest.Descriptor(manifest.OCI_MANIFEST, 1, digests.Digest(HEX))

    async def head(self, digest: digests.Digest) -> manifest.Descriptor:
        """Never asked here."""
        raise AssertionError


def _wanted(**fields: str) -> wanted.Wanted:
    spec = ocirepository.Spec(
        url="oci://ghcr.io/stefanprodan/charts",
        interval="1m",
        ref=ocirepository.Ref(**{k: v for k, v in fields.items() if k != "media_type"}),
        layer_selector=ocirepository.LayerSelector(media_type=fields.get("media_type", "")),
    )
    return declared.read(spec, platform=manifest.Platform.parse("linux/amd64")).wanted


@pytest.mark.parametrize(
    ("ref", "tags", "expected"),
    [
        pytest.param({}, (), ":latest", id="A1"),
        pytest.param({"tag": "6.1.6"}, (), ":6.1.6", id="A2"),
        pytest.param({"digest": f"sha256:{HEX}"}, (), f"@sha256:{HEX}", id="A3"),
        pytest.param({"semver": ">= 6.1.6"}, RELEASES, ":6.1.6", id="A4"),
        pytest.param({"semver": "~6.1.x"}, TAGS, ":6.1.6", id="A5"),
        pytest.param(
            {"semver": ">= 6.1.x-0", "semver_filter": ".*-rc.*"}, TAGS, ":6.1.6-rc.1", id="A6"
        ),
        pytest.param(
            {"semver": ">= 6.2.0", "media_type": resolve.HELM_CHART},
            TAGS,
            ":6.2.1_ref.1234567",  # equal precedence: the registry's order decides
            id="A8",
        ),
    ],
)
async def test_a_reference_is_resolved(
    ref: dict[str, str], tags: tuple[str, ...], expected: str
) -> None:
    """URL and reference name a tag or a digest of the repository."""
    want, remote = _wanted(**ref), Registry(tags)
    tag = await resolve.choose_tag(remote, want)
    resolved = await resolve.to_digest(remote, want, tag)
    assert str(resolved) == f"ghcr.io/stefanprodan/charts{expected}"


async def test_a7_a_filter_that_leaves_no_tag_is_an_error() -> None:
    """No match is found."""
    want = _wanted(semver=">= 6.1.x-0", semver_filter=".*-alpha.*")
    with pytest.raises(errors.NoMatchError, match=r"no match found for semver: >= 6\.1\.x-0"):
        await resolve.choose_tag(Registry(TAGS), want)


def test_a9_a_url_without_its_scheme_is_refused() -> None:
    """It stalls: no retry can help."""
    with pytest.raises(errors.URLInvalidError, match="must be in format"):
        reference.Repository.parse_url("ghcr.io/stefanprodan/charts")
    spec = ocirepository.Spec(url="ghcr.io/stefanprodan/charts", interval="1m")
    with pytest.raises(steps.StepFailedError) as caught:
        declared.read(spec, platform=manifest.Platform.parse("linux/amd64"))
    assert caught.value.is_stalling
    assert caught.value.reason == "URLInvalid"


async def test_a_ranges_and_filters_decide_in_the_life_of_an_object_too(recorded: World) -> None:
    """A4 to A7: what resolves, resolves to the same; what does not is told in its words."""
    world = recorded
    pushed = {tag: await world.push("podinfo", tag, {"v.txt": tag.encode()}) for tag in TAGS}
    wanted = {
        "a4": ({"semver": ">= 6.1.6 < 6.2"}, "6.1.6"),
        "a5": ({"semver": "~6.1.x"}, "6.1.6"),
        "a6": ({"semver": ">= 6.1.x-0", "semverFilter": ".*-rc.*"}, "6.1.6-rc.1"),
    }
    async with world.controller():
        for name, (ref, _) in wanted.items():
            await world.declare(name, repository="podinfo", ref=ref)
        ref = {"semver": ">= 6.1.x-0", "semverFilter": ".*-alpha.*"}
        await world.declare("a7", repository="podinfo", ref=ref)
        for name, (_, tag) in wanted.items():
            artifact = (await world.ready(name)).status.artifact
            assert artifact is not None
            assert artifact.revision == pushed[tag].hex, name
        obj = await world.failed("ReadOperationFailed", "a7")
        assert worlds.state(obj)["Ready"][2].endswith(
            "/podinfo': no match found for semver: >= 6.1.x-0"
        )


async def test_a10_a_url_with_a_tag_stalls(recorded: World) -> None:
    """Stalled with URLInvalid, the generation observed, not tried again."""
    async with recorded.controller():
        await recorded.declare(url="oci://ghcr.io/test/test:v1")
        obj = await recorded.failed("URLInvalid")
        assert worlds.state(obj)["Stalled"][:2] == ("True", "URLInvalid")
        assert obj.status.observed_generation == obj.metadata.generation
        version = obj.metadata.resource_version
        await recorded.declare("other", url="oci://ghcr.io/test/test:v2")
        await recorded.failed("URLInvalid", "other")  # its failure shows that time passed
        assert (await recorded.get()).metadata.resource_version == version
        failures = [reason for _, reason, _ in await recorded.events()]
    assert failures == ["URLInvalid"]


async def _push(world: World) -> dict[str, digests.Digest]:
    pushed = {
        tag: await world.push("podinfo", tag, {"version.txt": tag.encode()}) for tag in RELEASES
    }
    pushed["latest"] = await world.push("podinfo", "latest", {"version.txt": b"6.1.6"})
    assert pushed["latest"] == pushed["6.1.6"]
    return pushed


@pytest.mark.parametrize("form", ["hex", "tag@digest"])
@pytest.mark.parametrize(
    ("ref", "tag", "version"),
    [
        pytest.param(None, "latest", "6.1.6", id="B1"),
        pytest.param({"tag": "6.1.6"}, "6.1.6", "6.1.6", id="B2"),
        pytest.param({"semver": ">= 6.1.5"}, "6.1.6", "6.1.6", id="B3"),
        pytest.param({"digest": "6.1.6"}, None, "6.1.6", id="B4"),
        pytest.param({"semver": ">= 6.1.5", "tag": "6.1.5"}, "6.1.6", "6.1.6", id="B8"),
        pytest.param(
            {"tag": "6.1.6", "semver": ">= 6.1.6", "digest": "6.1.5"}, None, "6.1.5", id="B9"
        ),
    ],
)
async def test_b_the_reference_decides_on_the_revision(
    recorded: World, ref: dict[str, str] | None, tag: str | None, version: str, form: str
) -> None:
    """Digest before semver before tag before latest; progress is told without ArtifactOutdated."""
    world = recorded
    pushed = await _push(world)
    if ref is not None and "digest" in ref:
        ref = ref | {"digest": str(pushed[ref["digest"]])}
    digest = pushed[version]
    flux = f"{tag}@{digest}" if tag else str(digest)
    revision = digest.hex if form == "hex" else flux
    noun = "digest" if form == "hex" else "revision"
    async with world.controller(revision_format=form):
        spec: dict[str, Any] = {} if ref is None else {"ref": ref}
        await world.declare(**spec)
        obj = await world.ready()
    assert obj.status.artifact is not None
    assert obj.status.artifact.revision == revision
    assert obj.status.artifact.path.endswith(f"/podinfo/{digest.hex}.tar.gz")
    assert world.stored(obj) == {"version.txt": version.encode()}
    where = f"{world.host}/podinfo" + (f":{tag}" if tag else f"@{digest}")
    text = f"new {noun} '{revision}' for '{where}'"
    progress = [s for o in world.history if "Reconciling" in (s := worlds.state(o))]
    assert [s["Reconciling"] for s in progress] == [("True", "NewRevision", text)]
    assert progress[0]["Ready"] == ("False", "NewRevision", text)
    assert "ArtifactOutdated" not in progress[0]


@pytest.mark.parametrize(
    ("ref", "reason", "text"),
    [
        pytest.param(
            {"tag": "6.1.0"},
            PULL_FAILED,
            "failed to pull artifact from 'oci://{host}/podinfo': couldn't find tag \"6.1.0\"",
            id="B5",
        ),
        pytest.param(
            {"semver": "<= 6.1.0"},
            "ReadOperationFailed",
            "failed to determine the artifact tag for 'oci://{host}/podinfo': "
            "no match found for semver: <= 6.1.0",
            id="B6",
        ),
        pytest.param(
            {"digest": "invalid"},
            PULL_FAILED,
            'failed to determine artifact digest: cannot parse hash: "invalid"; write '
            "spec.ref.digest as sha256: and 64 hexadecimal digits",
            id="B7",
        ),
    ],
)
async def test_b_a_reference_that_leads_nowhere_is_retried(
    recorded: World, ref: dict[str, str], reason: str, text: str
) -> None:
    """FetchFailed with reason and text, not stalled, and tried again."""
    world = recorded
    await _push(world)
    async with world.controller():
        await world.declare(ref=ref)
        obj = await world.failed(reason)
        message = worlds.state(obj)["Ready"][2]
        assert message.startswith(text.format(host=world.host))
        assert worlds.state(obj)["FetchFailed"] == ("True", reason, message)
        assert worlds.state(obj)["Reconciling"][1] == "NoArtifact"
        assert "Stalled" not in worlds.state(obj)
        assert obj.status.artifact is None
        await world.declare(ref={"tag": "latest"})
        healed = await world.ready()
    assert "FetchFailed" not in worlds.state(healed)
