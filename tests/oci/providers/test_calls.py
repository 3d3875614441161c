"""Blocking calls of the clouds' libraries: turns, deadlines, bounds, and whose errors they are."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.oci.providers import calls

HANGS = "the cloud did not answer within"


@pytest.fixture
async def release() -> AsyncIterator[threading.Event]:
    """What a call that hangs waits for; set at the end."""
    event = threading.Event()
    yield event
    event.set()


async def abandoned(runner: calls.Calls, call: Callable[[], object]) -> None:
    """Wait for a call past its deadline."""
    with pytest.raises(errors.CredentialError, match=HANGS):
        await runner.run(call)


async def test_a_call_that_hangs_gives_up_its_turn(release: threading.Event) -> None:
    """One cloud's, or one tenant's proxy's, silence is nobody else's."""
    hasty = calls.Calls(turns=1, deadline=0.01)
    patient = calls.Calls(turns=1, deadline=60.0)
    async with asyncio.timeout(60):
        for _ in range(3):
            await abandoned(hasty, release.wait)
        for _ in range(3):
            waiting = asyncio.create_task(patient.run(release.wait))
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        assert await patient.run(lambda: 1) == 1


async def test_the_wait_for_a_turn_is_no_part_of_the_deadline(release: threading.Event) -> None:
    """A thousand logins at once are no reason to say that the cloud is silent."""
    runner = calls.Calls(turns=1, deadline=60.0)
    first = asyncio.create_task(runner.run(release.wait))
    await asyncio.sleep(0)
    started = threading.Event()
    second = asyncio.create_task(runner.run(started.set))
    await asyncio.sleep(0)
    assert not started.is_set()
    release.set()
    await asyncio.gather(first, second)
    assert started.is_set()


async def test_hanging_threads_are_bounded(release: threading.Event) -> None:
    """A peer that sends a byte now and then outlasts all timeouts; it gets so many threads."""
    runner = calls.Calls(threads_max=2, deadline=0.01)
    for _ in range(2):
        await abandoned(runner, release.wait)
    with pytest.raises(errors.CredentialError, match=r"^2 earlier cloud logins hang; it is tried"):
        await runner.run(lambda: None)
    release.set()
    async with asyncio.timeout(60):
        while True:  # the threads that ended make room again
            with contextlib.suppress(errors.CredentialError):
                return await runner.run(lambda: None)
            await asyncio.sleep(0)


async def test_a_proxy_that_hangs_costs_nobody_else_threads_or_time(
    release: threading.Event,
) -> None:
    """Once its share hangs it is refused at once, though no turn is free; others get theirs."""
    proxy = proxies.Proxy.parse("http://proxy.example.com:3128", "tenant", "s3cret")
    runner = calls.Calls(turns=1, deadline=0.01)
    for _ in range(calls.PROXY_THREADS_MAX):
        with pytest.raises(errors.CredentialError, match="did not answer"):
            await runner.run(release.wait, proxy=proxy)
    runner.deadline = 60
    assert await runner.run(lambda: 1) == 1
    assert await runner.run(lambda: 2, proxy=proxies.Proxy.parse("http://other:3128")) == 2
    waiting = asyncio.create_task(runner.run(release.wait))
    await asyncio.sleep(0)
    with pytest.raises(errors.CredentialError) as caught:
        await runner.run(lambda: None, proxy=proxy)
    assert caught.value.text == (
        "16 earlier cloud logins hang behind the proxy http://proxy.example.com:3128; "
        "it is tried again later"
    )
    release.set()
    await waiting


async def test_a_machine_without_threads_to_give_is_an_error_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told, and tried again later; the turn is given back."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = calls.Calls(turns=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(errors.CredentialError, match="no thread for a cloud login: can't"):
            await runner.run(lambda: None)
    assert await runner.run(lambda: 1) == 1


async def test_an_error_of_a_library_brings_nothing_but_its_words() -> None:
    """Its attributes and frames may hold requests with their secrets."""

    class RefusedError(Exception):
        request = "Bearer s3cret"

    def call() -> None:
        raise RefusedError("no\n way\n for s3cret")

    with pytest.raises(errors.CredentialError) as caught:
        await calls.Calls().run(call, secrets=("s3cret",))
    assert caught.value.text == "no way for redacted"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_an_error_without_words_is_named() -> None:
    """Rather than shown as nothing."""

    def call() -> None:
        raise ZeroDivisionError

    with pytest.raises(errors.CredentialError, match=r"^ZeroDivisionError$"):
        await calls.Calls().run(call)


async def test_an_error_of_many_parts_is_a_sentence() -> None:
    """Google's library hands over text, cause and answer; Python would show a tuple."""

    def call() -> None:
        raise RuntimeError("cannot read the key", ValueError("bad PEM"), {"token": "x"}, "bad PEM")

    with pytest.raises(errors.CredentialError, match=r"^cannot read the key; bad PEM$"):
        await calls.Calls().run(call)


@pytest.mark.parametrize(
    ("stumble", "shown"),
    [
        (lambda: json.loads("{}")["expires_in"], "KeyError: 'expires_in'"),
        (lambda: json.loads("<html>"), "JSONDecodeError: Expecting value: line 1 column 1"),
        (lambda: json.loads("[" * 100_000), "RecursionError: maximum recursion depth exceeded"),
    ],
)
async def test_a_library_that_stumbles_is_explained(
    stumble: Callable[[], object], shown: str
) -> None:
    """Its error alone would say nothing to anybody."""
    with pytest.raises(errors.CredentialError) as caught:
        await calls.Calls().run(stumble)
    assert caught.value.text.startswith(
        f"the cloud's library cannot read an answer or a setting ({shown}"
    )


async def test_nothing_starts_after_close() -> None:
    """Callers learn that the work was called off."""
    runner = calls.Calls()
    runner.close()
    with pytest.raises(errors.AbandonedError):
        await runner.run(lambda: None)
