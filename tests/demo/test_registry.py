"""The demo registry speaks the distribution API: one suite for it and for a real registry."""

import asyncio
import dataclasses
import json
import pathlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.demo import content as contents
from ocisource.demo import registry as demo
from ocisource.oci.grammar import manifest as manifests
from tests.parts import registry, skopeo

_NAME = "org/app"
_LAYER = b"layer " * 1000
_CONFIG = b"{}"
_BYTES = "application/octet-stream"
_UNKNOWN = digests.Digest.of(b"nobody has this")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A registry under test and a session to talk to it."""

    url: str
    session: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one exchange, redirects not followed."""
        url = path if path.startswith("http") else self.url + path
        async with self.session.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, found, await answer.read()

    async def push_blob(self, data: bytes, *, name: str = _NAME) -> digests.Digest:
        """Upload in one POST and one PUT."""
        digest = digests.Digest.of(data)
        status, headers, _ = await self.call("POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202
        location = _with_query(headers["location"], f"digest={digest}")
        status, headers, _ = await self.call("PUT", location, body=data)
        assert status == 201
        assert headers["docker-content-digest"] == str(digest)
        return digest

    async def push_image(self, *tags: str, name: str = _NAME) -> tuple[bytes, digests.Digest]:
        """Upload config, layer and manifest; the manifest's bytes and digest."""
        await self.push_blob(_LAYER, name=name)
        await self.push_blob(_CONFIG, name=name)
        body = _manifest()
        for tag in tags:
            path = f"/v2/{name}/manifests/{tag}"
            headers = {"Content-Type": manifests.OCI_MANIFEST}
            status, answered, _ = await self.call("PUT", path, body=body, headers=headers)
            assert status == 201
            assert answered["docker-content-digest"] == str(digests.Digest.of(body))
        return body, digests.Digest.of(body)


def _with_query(location: str, query: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{query}"


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    digest = str(digests.Digest.of(data))
    return {"mediaType": media_type, "size": len(data), "digest": digest}


def _manifest(layer: bytes = _LAYER) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", _CONFIG),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    ).encode()


@pytest.fixture
async def demo_host() -> AsyncIterator[str]:
    """The demo registry's address."""
    server = demo.Registry()
    yield await server.start()
    await server.stop()


@pytest.fixture(params=["demo", "real"])
def host(request: pytest.FixtureRequest) -> str:
    """The address of the demo registry, then of a real one."""
    if request.param == "demo":
        return str(request.getfixturevalue("demo_host"))
    part: registry.Registry = request.getfixturevalue("start_registry")()
    return part.host


@pytest.fixture
async def subject(host: str) -> AsyncIterator[Subject]:
    """A session with each registry in turn."""
    async with aiohttp.ClientSession() as session:
        yield Subject(f"http://{host}", session)


async def test_the_base_answers(subject: Subject) -> None:
    """A client may ping, and learns the version of the API."""
    status, headers, _ = await subject.call("GET", "/v2/")
    assert status == 200
    assert headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_is_found_by_tag_and_digest(subject: Subject, method: str) -> None:
    """Body, media type, length and digest are those of what was pushed."""
    body, digest = await subject.push_image("v1")
    for reference in ("v1", str(digest)):
        path = f"/v2/{_NAME}/manifests/{reference}"
        headers = {"Accept": manifests.OCI_MANIFEST}
        status, found, read = await subject.call(method, path, headers=headers)
        assert status == 200
        assert found["content-type"] == manifests.OCI_MANIFEST
        assert found["docker-content-digest"] == str(digest)
        assert int(found["content-length"]) == len(body)
        assert read == (body if method == "GET" else b"")


async def test_a_blob_is_served_whole_and_in_parts(subject: Subject) -> None:
    """Whole, from an offset, a span, the last bytes."""
    digest = await subject.push_blob(_LAYER)
    path = f"/v2/{_NAME}/blobs/{digest}"
    status, headers, read = await subject.call("GET", path)
    assert (status, read) == (200, _LAYER)
    assert int(headers["content-length"]) == len(_LAYER)
    for wanted, expected in (
        ("bytes=5990-", _LAYER[5990:]),
        ("bytes=0-9", _LAYER[:10]),
        ("bytes=-7", _LAYER[-7:]),
    ):
        status, headers, read = await subject.call("GET", path, headers={"Range": wanted})
        assert (status, read) == (206, expected)
        assert headers["content-range"].endswith("/6000")


async def test_a_blob_may_come_in_chunks(subject: Subject) -> None:
    """Chunks are put together in their order."""
    _, headers, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
    for first in (0, 2000, 4000):
        chunk = _LAYER[first : first + 2000]
        sent = {"Content-Range": f"{first}-{first + 1999}", "Content-Type": _BYTES}
        status, headers, _ = await subject.call(
            "PATCH", headers["location"], body=chunk, headers=sent
        )
        assert status == 202
        assert headers["range"] == f"0-{first + 1999}"
    digest = digests.Digest.of(_LAYER)
    status, _, _ = await subject.call("PUT", _with_query(headers["location"], f"digest={digest}"))
    assert status == 201
    assert (await subject.call("GET", f"/v2/{_NAME}/blobs/{digest}"))[2] == _LAYER


async def test_a_blob_is_mounted_from_another_repository(subject: Subject) -> None:
    """Known content needs no second upload; unknown content starts an ordinary one."""
    digest = await subject.push_blob(_LAYER)
    path = f"/v2/other/blobs/uploads/?from={_NAME}&mount="
    assert (await subject.call("POST", f"{path}{digest}"))[0] == 201
    assert (await subject.call("GET", f"/v2/other/blobs/{digest}"))[2] == _LAYER
    assert (await subject.call("POST", f"{path}{_UNKNOWN}"))[0] == 202


async def test_tags_are_listed(subject: Subject) -> None:
    """All tags of the repository, under its name."""
    await subject.push_image("v2", "v10", "latest")
    _, _, read = await subject.call("GET", f"/v2/{_NAME}/tags/list")
    listed = json.loads(read)
    assert (listed["name"], sorted(listed["tags"])) == (_NAME, ["latest", "v10", "v2"])


async def test_an_index_is_kept_with_its_children(subject: Subject) -> None:
    """An index may be pushed once its manifests are there."""
    body, _ = await subject.push_image("v1")
    index = {
        "schemaVersion": 2,
        "mediaType": manifests.OCI_INDEX,
        "manifests": [
            {
                **_descriptor(manifests.OCI_MANIFEST, body),
                "platform": {"os": "linux", "architecture": "amd64"},
            }
        ],
    }
    path, headers = f"/v2/{_NAME}/manifests/all", {"Content-Type": manifests.OCI_INDEX}
    sent = json.dumps(index).encode()
    assert (await subject.call("PUT", path, body=sent, headers=headers))[0] == 201
    status, found, read = await subject.call("GET", path, headers={"Accept": manifests.OCI_INDEX})
    assert (status, found["content-type"], read) == (200, manifests.OCI_INDEX, sent)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/none/manifests/v1", 404, "MANIFEST_UNKNOWN NAME_UNKNOWN"),
        ("GET", f"/v2/{_NAME}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{_NAME}/manifests/{_UNKNOWN}", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{_NAME}/blobs/{_UNKNOWN}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        (
            "PATCH",
            f"/v2/{_NAME}/blobs/uploads/none",
            404,
            "BLOB_UPLOAD_UNKNOWN BLOB_UPLOAD_INVALID",
        ),
    ],
)
async def test_what_is_not_there_is_said_with_its_code(
    subject: Subject, method: str, path: str, status: int, code: str
) -> None:
    """The answer is the spec's error document."""
    await subject.push_image("v1")
    answered, _, read = await subject.call(method, path)
    assert answered == status
    assert json.loads(read)["errors"][0]["code"] in code.split()


async def test_bytes_under_a_wrong_digest_are_refused(subject: Subject) -> None:
    """Neither a blob nor a manifest is kept under a digest it does not have."""
    _, headers, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
    location = _with_query(headers["location"], f"digest={_UNKNOWN}")
    status, _, read = await subject.call("PUT", location, body=_LAYER)
    assert (status, json.loads(read)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert (await subject.call("GET", f"/v2/{_NAME}/blobs/{_UNKNOWN}"))[0] == 404
    body, _ = await subject.push_image("v1")
    path, sent = f"/v2/{_NAME}/manifests/{_UNKNOWN}", {"Content-Type": manifests.OCI_MANIFEST}
    status, _, read = await subject.call("PUT", path, body=body, headers=sent)
    assert (status, json.loads(read)["errors"][0]["code"]) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("body", [_manifest(b"a layer nobody pushed"), b"not json"])
async def test_a_manifest_that_cannot_be_used_is_refused(subject: Subject, body: bytes) -> None:
    """Missing layers and broken documents are told apart from success."""
    await subject.push_image("v1")
    path, sent = f"/v2/{_NAME}/manifests/bad", {"Content-Type": manifests.OCI_MANIFEST}
    status, _, read = await subject.call("PUT", path, body=body, headers=sent)
    assert status in {400, 404}
    assert json.loads(read)["errors"][0]["code"] in {"MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"}
    assert (await subject.call("GET", f"/v2/{_NAME}/manifests/bad"))[0] == 404


async def test_a_range_or_chunk_out_of_bounds_is_refused(demo_host: str) -> None:
    """416 for what lies behind the end (the real one here gets both wrong)."""
    async with aiohttp.ClientSession() as session:
        subject = Subject(f"http://{demo_host}", session)
        digest = await subject.push_blob(_LAYER)
        path, beyond = f"/v2/{_NAME}/blobs/{digest}", {"Range": "bytes=6000-"}
        status, headers, _ = await subject.call("GET", path, headers=beyond)
        assert (status, headers["content-range"]) == (416, "bytes */6000")
        _, headers, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
        beyond = {"Content-Range": "99-99"}
        path = headers["location"]
        assert (await subject.call("PATCH", path, body=b"x", headers=beyond))[0] == 416


async def test_tags_come_in_pages(demo_host: str) -> None:
    """A page is followed by a Link until all tags were seen (the real one here knows no pages)."""
    async with aiohttp.ClientSession() as session:
        subject = Subject(f"http://{demo_host}", session)
        await subject.push_image(*(f"v{number}" for number in range(7)))
        path, seen = f"/v2/{_NAME}/tags/list?n=3", []
        for _ in range(3):
            _, headers, read = await subject.call("GET", path)
            seen.append(json.loads(read)["tags"])
            path = headers.get("link", "").partition(">")[0].lstrip("<")
        assert seen == [["v0", "v1", "v2"], ["v3", "v4", "v5"], ["v6"]]
        assert path == ""


async def test_the_registry_does_not_grow_without_bound() -> None:
    """More bytes than it may hold are refused, and a refused or dropped upload gives them back."""
    content = contents.Content(total_bytes_max=14_000)
    server = demo.Registry(content)
    host = await server.start()
    async with aiohttp.ClientSession() as session:
        subject = Subject(f"http://{host}", session)
        for _ in range(3):
            _, headers, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
            location = _with_query(headers["location"], f"digest={_UNKNOWN}")
            assert (await subject.call("PUT", location, body=_LAYER))[0] == 400
        await subject.push_blob(_LAYER)
        await subject.push_blob(_LAYER, name="other")  # the same bytes are held once
        _, headers, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
        status, _, read = await subject.call("PATCH", headers["location"], body=b"x" * 9000)
        assert status == 413
        assert "at most 14000 bytes" in json.loads(read)["errors"][0]["message"]
    await server.stop()


async def test_only_so_many_unfinished_uploads_are_kept(demo_host: str) -> None:
    """The oldest upload is given up for a new one."""
    async with aiohttp.ClientSession() as session:
        subject = Subject(f"http://{demo_host}", session)
        _, first, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
        for _ in range(demo.UPLOADS_MAX):
            _, last, _ = await subject.call("POST", f"/v2/{_NAME}/blobs/uploads/")
        assert (await subject.call("PATCH", first["location"], body=b"x"))[0] == 404
        assert (await subject.call("PATCH", last["location"], body=b"x"))[0] == 202


@pytest.mark.parametrize("name", ["Upper", "a//b", "-a", "a" * 256, "a/../b"])
def test_a_bad_name_is_refused(name: str) -> None:
    """Names follow the spec's grammar."""
    content = contents.Content()
    with pytest.raises(errors.RegistryError, match="invalid repository name"):
        content.check_name(name)


async def test_skopeo_copies_in_and_out(
    demo_host: str, skopeo_client: skopeo.Skopeo, tmp_path: pathlib.Path
) -> None:
    """An independent client pushes an image here and pulls the same bytes."""
    folder = tmp_path / "image"
    folder.mkdir()
    body = _manifest()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(body)
    for data in (_LAYER, _CONFIG):
        (folder / digests.Digest.of(data).hex).write_bytes(data)
    there, back = f"docker://{demo_host}/{_NAME}:v1", tmp_path / "back"
    for words in (
        ("copy", "--preserve-digests", "--dest-tls-verify=false", f"dir:{folder}", there),
        ("copy", "--preserve-digests", "--src-tls-verify=false", there, f"dir:{back}"),
    ):
        await asyncio.to_thread(skopeo_client.run, *words)
    assert (back / "manifest.json").read_bytes() == body
    assert (back / digests.Digest.of(_LAYER).hex).read_bytes() == _LAYER
