"""Listing tags."""

import json

import pytest

from ocisource import errors
from tests.oci.conftest import Remote
from tests.simulators import faketime, faults
from tests.simulators.registry import Fault, Simulator


async def test_pages_are_followed(simulator: Simulator, remote: Remote) -> None:
    """All tags come, in the registry's order, however it cuts them."""
    names = [f"1.0.{number}" for number in range(25)]
    simulator.add_image("org/app", *names)
    simulator.page = 10
    assert await remote(simulator.host).tags() == tuple(names)
    queries = [each.query for each in simulator.seen if "tags" in each.path]
    assert queries == ["n=1000", "last=1.0.9&n=10", "last=1.0.19&n=10"]


async def test_a_list_serves_for_a_few_seconds(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime
) -> None:
    """Many objects with ranges on one repository ask once; another credential asks itself."""
    simulator.add_image("org/app", "1.0")
    assert await remote(simulator.host).tags() == ("1.0",)
    simulator.add_image("org/app", "1.1")
    with simulator.watched() as seen:
        assert await remote(simulator.host).tags() == ("1.0",)
    assert seen == []
    assert await remote(simulator.host, user="other").tags() == ("1.0", "1.1")
    time.now += 6
    assert await remote(simulator.host).tags() == ("1.0", "1.1")


@pytest.mark.parametrize("body", [b'{"tags":null}', b"{}", b'{"name":"org/app"}'])
async def test_no_tags_is_an_empty_list(simulator: Simulator, remote: Remote, body: bytes) -> None:
    """`null` and a missing field both mean none."""
    simulator.on("GET", "/tags/", faults.status(200, body=body))
    assert await remote(simulator.host).tags() == ()


async def test_googles_extra_fields_do_not_matter(simulator: Simulator, remote: Remote) -> None:
    """Artifact Registry adds a map of manifests."""
    body = json.dumps({"tags": ["a"], "manifest": {"sha256:0": {"tag": ["a"]}}, "child": []})
    simulator.on("GET", "/tags/", faults.status(200, body=body.encode()))
    assert await remote(simulator.host).tags() == ("a",)


@pytest.mark.parametrize(
    "fault", [faults.html(), faults.status(200, body=b"oops"), faults.status(200, body=b"")]
)
async def test_a_page_that_is_no_list_is_an_error(
    simulator: Simulator, remote: Remote, fault: Fault
) -> None:
    """A page for humans with status 200 is not an empty list."""
    simulator.on("GET", "/tags/", fault)
    with pytest.raises(errors.RegistryError, match="expected a list of tags"):
        await remote(simulator.host).tags()


@pytest.mark.parametrize("is_repeating", [True, False])
async def test_pages_end(simulator: Simulator, remote: Remote, is_repeating: bool) -> None:
    """oras-go#1214: a registry that always names one more page is stopped."""
    endless = faults.endless_pages(lambda page: [f"t{page}"], is_repeating=is_repeating)
    simulator.on("GET", "/tags/", endless)
    with pytest.raises(errors.ContentError, match="the pages do not end"):
        await remote(simulator.host).tags()
    assert len(simulator.seen) <= 1002


async def test_the_next_page_is_on_the_same_host(simulator: Simulator, remote: Remote) -> None:
    """A `Link` to somewhere else would take the credential along."""
    elsewhere = {"Link": '<https://evil.example/v2/org/app/tags/list>; rel="next"'}
    simulator.add_image("org/app", "1.0")
    simulator.on("GET", "/tags/", faults.with_headers(elsewhere))
    with pytest.raises(errors.ForbiddenAddressError, match=r"evil\.example"):
        await remote(simulator.host).tags()


async def test_an_unknown_repository_is_named(simulator: Simulator, remote: Remote) -> None:
    """The registry's own code and words."""
    with pytest.raises(errors.NotFoundError, match="NAME_UNKNOWN: repository name not known"):
        await remote(simulator.host).tags()
