"""Look-ups of names: bounded in number and time, and in nobody's way at the end."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from ocisource.net import names

ANY = socket.AF_UNSPEC


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A name server that answers every question when this is set, and never before."""
    go = threading.Event()

    def look_up(_host: str, port: int, **_: object) -> object:
        go.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield go
    go.set()
    for thread in _waiting():  # so that no test counts another's
        thread.join()


def _waiting() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "look-up"]


async def test_what_is_found_is_as_a_connector_wants_it(answer: threading.Event) -> None:
    """Numbers, so that nothing is looked up again."""
    answer.set()
    (found,) = await names.Resolver(names.LookUps(timeout=600)).resolve("api.test", 6443)
    assert (found["hostname"], found["host"], found["port"]) == ("api.test", "192.0.2.1", 6443)
    assert found["flags"] == socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


async def test_a_name_server_that_says_nothing_is_named_when_the_time_is_over(
    answer: threading.Event,
) -> None:
    """As an error of a look-up, which says what to look at."""
    look_ups = names.LookUps(timeout=0.01)
    with pytest.raises(socket.gaierror, match=r"the name server gave no answer in 0\.01 s"):
        await look_ups.look_up("silent.test", 443, ANY)
    assert not answer.is_set()


async def test_threads_that_nobody_waits_for_count_until_they_end(answer: threading.Event) -> None:
    """However many give up waiting, there never are more threads than the bound."""
    impatient = names.LookUps(timeout=0.01)
    asked = [impatient.look_up(f"{n}.test", 443, ANY) for n in range(names.THREADS + 10)]
    given_up = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in given_up} == {socket.gaierror}
    waiting = _waiting()
    assert len(waiting) == names.THREADS
    answer.set()
    for each in waiting:
        await asyncio.to_thread(each.join)
    assert await impatient.look_up("back.test", 443, ANY)


async def test_a_machine_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the place is free again."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    look_ups = names.LookUps(timeout=600)
    for _ in range(names.THREADS + 1):
        with pytest.raises(socket.gaierror, match="no thread for a look-up"):
            await look_ups.look_up("api.test", 443, ANY)
