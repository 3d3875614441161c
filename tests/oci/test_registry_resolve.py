"""Resolving tags and digests, and fetching manifests."""

import asyncio
import json

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci.grammar import manifest
from tests.oci.conftest import Remote
from tests.simulators import faketime, faults
from tests.simulators.registry import Fault, Simulator


async def test_a_check_costs_one_head(simulator: Simulator, remote: Remote) -> None:
    """Without a ping and without a new connection, a check is one HEAD."""
    digest = simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    with simulator.watched() as seen:
        found = await remote(simulator.host).resolve("1.0")
    assert str(found.digest) == digest
    assert found.media_type == manifest.OCI_MANIFEST
    assert found.size > 0
    assert [(each.method, each.path) for each in seen] == [("HEAD", "/v2/org/app/manifests/1.0")]


async def test_the_request_names_every_format_we_read(simulator: Simulator, remote: Remote) -> None:
    """A registry that is not told of indexes would answer with something else."""
    simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    assert simulator.seen[-1].headers["Accept"].split(", ") == list(manifest.ACCEPT)
    assert simulator.seen[-1].headers["User-Agent"].startswith("ocisource/")


async def test_a_digest_is_confirmed_by_one_head(simulator: Simulator, remote: Remote) -> None:
    """The check of a digest reference after a new generation is one HEAD."""
    digest = digests.Digest.parse(simulator.add_image("org/app", "1.0"))
    with simulator.watched() as seen:
        assert (await remote(simulator.host).head(digest)).digest == digest
    assert [each.method for each in seen if each.path != "/v2/"] == ["HEAD"]


async def test_a_missing_digest_header_is_made_up_for(simulator: Simulator, remote: Remote) -> None:
    """Artifactory, Red Hat: without `Docker-Content-Digest` the body is fetched and hashed."""
    digest = simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.without("Docker-Content-Digest", "Content-Type"))
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest


@pytest.mark.parametrize(
    "fault", [faults.without("Docker-Content-Digest"), faults.status(405), faults.status(404)]
)
async def test_a_head_that_says_nothing_is_not_asked_again_for_a_while(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime, fault: Fault
) -> None:
    """Such a registry costs two requests once, then one for each check; other repositories HEAD."""
    simulator.add_image("org/app", "1.0")
    simulator.add_image("org/other", "1.0")
    simulator.on("HEAD", "/org/app/manifests/", fault)
    found = []
    for name, pause in [("app", 0.0), ("app", 599.0), ("other", 0.0), ("app", 2.0), ("app", 0.0)]:
        await time.skip(pause)
        with simulator.watched() as seen:
            await remote(simulator.host, f"org/{name}").resolve("1.0")
        found.append([each.method for each in seen if "/manifests/" in each.path])
    assert found == [["HEAD", "GET"], ["GET"], ["HEAD"], ["HEAD", "GET"], ["GET"]]


async def test_a_head_is_asked_again_where_the_get_failed_too(
    simulator: Simulator, remote: Remote
) -> None:
    """A missing tag says nothing about the registry."""
    simulator.add_image("org/app", "1.0")
    for _ in range(2):
        with pytest.raises(errors.NotFoundError):
            await remote(simulator.host).resolve("2.0")
    with simulator.watched() as seen:
        await remote(simulator.host).resolve("1.0")
    assert [each.method for each in seen] == ["HEAD"]


@pytest.mark.parametrize("code", [400, 404, 405, 501])
async def test_a_registry_without_head_is_asked_with_get(
    simulator: Simulator, remote: Remote, code: int
) -> None:
    """Static registries know no HEAD."""
    digest = simulator.add_image("org/app", "1.0")
    simulator.on("HEAD", "/manifests/", faults.status(code))
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest


@pytest.mark.parametrize("header", ["sha512:" + "0" * 128, "sha256:XYZ", "", "nonsense"])
async def test_an_unusable_digest_header_is_not_believed(
    simulator: Simulator, remote: Remote, header: str
) -> None:
    """A header that is no sha256 digest counts as absent."""
    digest = simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.with_headers({"Docker-Content-Digest": header}))
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest


async def test_an_unknown_tag_is_named(simulator: Simulator, remote: Remote) -> None:
    """The error is the GET's: it says what, where and the registry's code."""
    simulator.add_image("org/app", "1.0")
    with pytest.raises(errors.NotFoundError) as caught:
        await remote(simulator.host).resolve("6.1.0")
    assert caught.value.codes == ("MANIFEST_UNKNOWN",)
    assert caught.value.status == 404
    assert str(caught.value) == (
        f"GET http://{simulator.host}/v2/org/app/manifests/6.1.0: "
        'MANIFEST_UNKNOWN: manifest unknown; {"Tag":"6.1.0"}'
    )


async def test_a_strange_tag_stays_in_its_place(simulator: Simulator, remote: Remote) -> None:
    """A tag is text of the user's: it cannot become a path or a query."""
    simulator.add_image("org/app", "1.0")
    with pytest.raises(errors.NotFoundError):
        await remote(simulator.host).resolve("../../x?y=1#z é")
    assert simulator.seen[-1].path == "/v2/org/app/manifests/..%2F..%2Fx%3Fy%3D1%23z%20%C3%A9"


async def test_a_page_for_humans_is_no_manifest(simulator: Simulator, remote: Remote) -> None:
    """Google and GitLab front-ends answer some errors with HTML and status 200."""
    simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.html())
    with pytest.raises(errors.RegistryError, match="expected a manifest, got an HTML page"):
        await remote(simulator.host).resolve("1.0")


async def test_a_web_server_that_is_no_registry_has_no_missing_tag(
    simulator: Simulator, remote: Remote
) -> None:
    """Its 404 for humans says nothing of tags: the user is told what was met instead."""
    simulator.on("*", "/", faults.html(404))
    with pytest.raises(errors.RegistryError, match="the answer is an HTML page") as caught:
        await remote(simulator.host).resolve("1.0")
    assert not isinstance(caught.value, errors.NotFoundError)
    assert caught.value.status == 404


async def test_a_manifest_is_checked_against_its_digest(
    simulator: Simulator, remote: Remote
) -> None:
    """The bytes are hashed: the header of the answer proves nothing."""
    digest = digests.Digest.parse(simulator.add_image("org/app", "1.0"))
    simulator.on("GET", "/manifests/", faults.altered(lambda body: body + b" "))
    with pytest.raises(errors.ContentError, match="does not match requested digest"):
        await remote(simulator.host).manifest(digest)


async def test_another_digest_than_asked_for_is_refused(
    simulator: Simulator, remote: Remote
) -> None:
    """A HEAD by digest whose header names another digest is no confirmation."""
    digest = digests.Digest.parse(simulator.add_image("org/app", "1.0"))
    other = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    simulator.on("HEAD", "/manifests/", faults.with_headers(other))
    with pytest.raises(errors.ContentError, match="does not match requested digest"):
        await remote(simulator.host).head(digest)


async def test_a_manifest_has_a_bound(simulator: Simulator, remote: Remote) -> None:
    """GHSA-f36w-mj3v-6jqv: a manifest of any size would fill the memory."""
    body = b'{"schemaVersion":2,"layers":[]' + b" " * (4 << 20) + b"}"
    digest = simulator.add_manifest("org/app", body, "1.0", media_type=manifest.OCI_MANIFEST)
    with pytest.raises(errors.ContentError, match="manifest is bigger than 4194304 bytes"):
        await remote(simulator.host).manifest(digests.Digest.parse(digest))


async def test_an_index_keeps_its_own_digest(simulator: Simulator, remote: Remote) -> None:
    """What a tag points to is named, not a child of it."""
    child = simulator.add_image("org/app")
    entry = {"mediaType": manifest.OCI_MANIFEST, "digest": child, "size": 1}
    body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    index = simulator.add_manifest("org/app", body, "1.0", media_type=manifest.OCI_INDEX)
    found = await remote(simulator.host).resolve("1.0")
    assert str(found.digest) == index
    assert found.is_index


async def test_an_error_body_is_shown_short_and_clean(simulator: Simulator, remote: Remote) -> None:
    """Of a foreign body at most 256 printable characters reach a condition."""
    body = b"\x1b[31m\r\n" + b"x" * 5000
    simulator.on("*", "/manifests/", faults.status(418, body=body))
    with pytest.raises(errors.RegistryError) as caught:
        await remote(simulator.host).resolve("1.0")
    text = str(caught.value)
    assert "unexpected status code 418 I'm a Teapot: [31mxxx" in text.replace(" x", "x")
    assert text.isprintable()
    assert text.count("x") < 270


async def test_several_errors_are_all_told(simulator: Simulator, remote: Remote) -> None:
    """One line for all diagnostics of a body."""
    both = [{"code": "DENIED", "message": "no"}, {"code": "UNAUTHORIZED", "detail": {}}]
    body = json.dumps({"errors": both}).encode()
    simulator.on("*", "/manifests/", faults.status(403, body=body))
    with pytest.raises(errors.UnauthorizedError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert caught.value.codes == ("DENIED", "UNAUTHORIZED")
    assert "multiple errors returned: DENIED: no; UNAUTHORIZED (" in str(caught.value)


async def test_probes_in_flight_are_shared(simulator: Simulator, remote: Remote) -> None:
    """Objects with one repository, reference and credential ask once."""
    digest = simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    with simulator.watched() as seen:
        found = await asyncio.gather(*(remote(simulator.host).resolve("1.0") for _ in range(20)))
    assert {str(each.digest) for each in found} == {digest}
    assert len(seen) == 1


async def test_one_waiter_gone_does_not_end_the_others(
    simulator: Simulator, remote: Remote
) -> None:
    """A cancelled and a timed-out waiter leave the shared probe alone."""
    digest = simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    go = asyncio.Event()
    simulator.on("HEAD", "/manifests/", faults.silence(go))
    first = asyncio.create_task(remote(simulator.host).resolve("1.0"))
    second = asyncio.create_task(
        asyncio.wait_for(remote(simulator.host).resolve("1.0"), timeout=0.001)
    )
    third = asyncio.create_task(remote(simulator.host).resolve("1.0"))
    await asyncio.wait({second})
    first.cancel()
    await asyncio.wait({first})
    go.set()
    assert str((await third).digest) == digest
    assert first.cancelled()
    assert isinstance(second.exception(), TimeoutError)
    assert [each.method for each in simulator.seen].count("HEAD") == 2


async def test_a_probe_nobody_waits_for_is_given_up(simulator: Simulator, remote: Remote) -> None:
    """The last waiter's end is the probe's, and the next caller starts anew."""
    simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    go = asyncio.Event()
    simulator.on("HEAD", "/manifests/", faults.silence(go), times=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(remote(simulator.host).resolve("1.0"), timeout=0.01)
    await remote(simulator.host).resolve("1.0")
    go.set()
