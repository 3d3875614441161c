"""Retries, and politeness: what a registry asks for is done."""

import asyncio
import email.utils

import pytest

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.hosts import guard
from tests.oci.conftest import WALL, Remote
from tests.simulators import faketime, faults
from tests.simulators.registry import Simulator, Tokens


@pytest.mark.parametrize("code", [408, 429, 499, 500, 502, 503, 504, 522])
async def test_temporary_statuses_are_tried_again(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime, code: int
) -> None:
    """Three tries, with pauses of about 1 s and 3 s."""
    digest = simulator.add_image("org/app", "1.0")
    simulator.on("HEAD", "/manifests/", faults.status(code), times=2)
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest
    assert [each.method for each in simulator.seen if each.path != "/v2/"] == ["HEAD"] * 3
    first, second = [each for each in time.slept if each > 0.5][-2:]
    assert first == pytest.approx(1, rel=0.1)
    assert second == pytest.approx(3, rel=0.1)


async def test_a_temporary_status_that_stays_is_told(simulator: Simulator, remote: Remote) -> None:
    """After three tries one GET fetches the words for it."""
    simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.status(502, body=b"bad gateway, sorry"))
    with pytest.raises(errors.RegistryError, match="502 Bad Gateway: bad gateway, sorry"):
        await remote(simulator.host).resolve("1.0")
    methods = [each.method for each in simulator.seen if each.path != "/v2/"]
    assert methods == ["HEAD", "HEAD", "HEAD", "GET"]


async def test_a_reset_is_tried_again(simulator: Simulator, remote: Remote) -> None:
    """A connection that breaks before the answer costs another try."""
    digest = simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    simulator.on("HEAD", "/manifests/", faults.reset(), times=3)
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest


async def test_a_host_that_only_resets_is_given_up(simulator: Simulator, remote: Remote) -> None:
    """Three tries, then an error that names host, repository and reference."""
    simulator.add_image("org/app", "1.0")
    await remote(simulator.host).resolve("1.0")
    simulator.on("*", "/manifests/", faults.reset())
    with pytest.raises(errors.ConnectionLostError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert f"{simulator.host}/v2/org/app/manifests/1.0: the connection broke" in str(caught.value)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    "value", ["120", email.utils.formatdate(WALL + 120, usegmt=True)], ids=["seconds", "date"]
)
async def test_a_long_retry_after_frees_the_worker(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime, code: int, value: str
) -> None:
    """The wait is handed to the caller's requeue, not slept."""
    simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.status(code, headers={"Retry-After": value}))
    with pytest.raises(errors.RegistryError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert caught.value.retry_after == pytest.approx(120)
    hint = "trying again in 120 s"
    if code == 429:
        hint += "; without a credential, all share one budget"
    assert str(caught.value).endswith(f" ({hint})")
    assert sum(time.slept) == 0


async def test_retry_after_holds_back_everybody_with_that_credential(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime
) -> None:
    """While the hold lasts, not one request goes to that host; another credential is free."""
    simulator.add_image("org/app", "1.0")
    simulator.add_image("org/other", "1.0")
    spent = faults.status(429, headers={"Retry-After": "60"})
    await remote(simulator.host, user="b").resolve("1.0")
    simulator.on("*", "/org/app/manifests/", spent, times=1)
    with pytest.raises(errors.TooManyRequestsError):
        await remote(simulator.host).resolve("1.0")
    time.now += 20
    with simulator.watched() as seen, pytest.raises(errors.TooManyRequestsError) as caught:
        await remote(simulator.host, "org/other").resolve("1.0")
    assert caught.value.retry_after == pytest.approx(40)
    assert seen == []
    await remote(simulator.host, user="b").resolve("1.0")
    time.now += 41
    await remote(simulator.host, "org/other").resolve("1.0")


async def test_retry_after_is_capped(simulator: Simulator, remote: Remote) -> None:
    """Fifteen minutes are the most a registry can hold us back."""
    simulator.add_image("org/app", "1.0")
    much = faults.status(429, headers={"Retry-After": "99999999"})
    simulator.on("*", "/manifests/", much)
    with pytest.raises(errors.TooManyRequestsError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert caught.value.retry_after == 900


async def test_a_short_retry_after_is_waited_for(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime
) -> None:
    """A second or two are slept through."""
    digest = simulator.add_image("org/app", "1.0")
    short = faults.status(429, headers={"Retry-After": "2"})
    simulator.on("HEAD", "/manifests/", short, times=1)
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest
    assert 2.0 in time.slept


@pytest.mark.parametrize(
    "value", ["0", email.utils.formatdate(WALL - 60, usegmt=True)], ids=["seconds", "date"]
)
async def test_at_once_is_not_taken_literally(
    simulator: Simulator, remote: Remote, time: faketime.FakeTime, value: str
) -> None:
    """A host in trouble that asks for no wait gets the usual pauses all the same."""
    digest = simulator.add_image("org/app", "1.0")
    now = faults.status(503, headers={"Retry-After": value})
    simulator.on("HEAD", "/manifests/", now, times=2)
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest
    assert sum(time.slept) == pytest.approx(4, rel=0.1)


async def test_a_429_without_a_wish_backs_off(simulator: Simulator, remote: Remote) -> None:
    """Quay answers 429 with HTML and nothing else: the caller's own back-off decides."""
    simulator.add_image("org/app", "1.0")
    simulator.on("*", "/manifests/", faults.html(429))
    with pytest.raises(errors.TooManyRequestsError, match="429 Too Many Requests") as caught:
        await remote(simulator.host).resolve("1.0")
    assert caught.value.retry_after is None
    methods = [each.method for each in simulator.seen if each.path != "/v2/"]
    assert methods == ["HEAD"] * 3


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"ratelimit-remaining": "0;w=21600"}, 900),
        ({"RateLimit-Remaining": "0;w=300"}, 300),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "17"}, 17),
        ({"ratelimit-remaining": "0", "ratelimit-reset": str(int(WALL) + 33)}, 33),
        ({"ratelimit-remaining": "0"}, 60),
    ],
)
async def test_a_spent_budget_holds_the_next_request_back(
    simulator: Simulator,
    remote: Remote,
    headers: dict[str, str],
    wait: float,
) -> None:
    """The answer that says so is used; the next request would be refused anyway."""
    digest = simulator.add_image("org/app", "1.0")
    simulator.on("HEAD", "/manifests/", faults.with_headers(headers))
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest
    with pytest.raises(errors.TooManyRequestsError) as caught:
        await remote(simulator.host).resolve("1.0")
    assert caught.value.retry_after == pytest.approx(wait)


async def test_a_budget_that_is_left_holds_nobody(simulator: Simulator, remote: Remote) -> None:
    """Docker Hub's header on a good day."""
    simulator.add_image("org/app", "1.0")
    left = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    simulator.on("HEAD", "/manifests/", faults.with_headers(left))
    await remote(simulator.host).resolve("1.0")
    await remote(simulator.host).resolve("1.0")


async def test_a_silent_registry_meets_the_callers_deadline(
    simulator: Simulator, remote: Remote
) -> None:
    """A request can be cancelled at any moment, and leaves nothing behind."""
    simulator.add_image("org/app", "1.0")
    go = asyncio.Event()
    simulator.on("*", "/manifests/", faults.silence(go))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await remote(simulator.host).resolve("1.0")
    go.set()


async def test_a_dead_token_service_is_tried_three_times(remote: Remote) -> None:
    """Its tries are not multiplied by those of the request that wants the token."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/token", faults.reset())
        with pytest.raises(errors.TransportError, match=r"token.*the connection broke"):
            await remote(simulator.host).resolve("1.0")
        asked = [each for each in simulator.seen if each.path == "/token"]
    # aiohttp itself repeats a request once when a kept connection turns out to be dead.
    assert 3 <= len(asked) <= 6


async def test_a_closed_client_says_so(
    simulator: Simulator, remote: Remote, registries: registry.Registries
) -> None:
    """Whoever is at work when the process stops, or comes later."""
    simulator.add_image("org/app", "1.0")
    app = remote(simulator.host)
    await app.resolve("1.0")
    go = asyncio.Event()
    simulator.on("HEAD", "/manifests/", faults.silence(go))
    waiting = asyncio.create_task(app.resolve("1.0"))
    await faketime.until(lambda: len(simulator.seen) == 3)
    pool = await app._pool()
    await registries.close()
    go.set()
    with pytest.raises(errors.AbandonedError, match="was closed"):
        await waiting
    with pytest.raises(errors.AbandonedError, match="was closed"):
        await pool.transport._connections.send(
            "GET", simulator.url, role=guard.Role.HOME, headers={}
        )
