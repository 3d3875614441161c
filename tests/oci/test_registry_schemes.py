"""HTTPS or plain HTTP: which is tried, which wins, and what is remembered."""

import asyncio

import pytest

from ocisource import errors
from ocisource.oci.transport import schemes
from tests.simulators import faketime


class Host:
    """A host that answers each scheme with a status, an error, or after an event with 200."""

    def __init__(self, **answers: int | errors.OcisourceError | asyncio.Event) -> None:
        self.answers = answers
        self.probes: list[str] = []

    async def probe(self, scheme: str) -> int:
        """As Transport._probe."""
        self.probes.append(scheme)
        answer = self.answers[scheme]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return 200
        if isinstance(answer, errors.OcisourceError):
            raise answer
        return answer

    def scheme(self, *, is_plain_http_allowed: bool = True) -> schemes.Scheme:
        """The scheme of this host, with next to no head start."""
        return schemes.Scheme(
            self.probe, is_plain_http_allowed=is_plain_http_allowed, head_start=0.01
        )


BROKEN = errors.TLSError("GET https://h/v2/: tls: handshake failure")
REFUSED = errors.TransportError("GET http://h/v2/: dial: connection refused")


async def test_https_alone_needs_no_probe() -> None:
    """Where plain HTTP is not allowed there is nothing to find out."""
    host = Host()
    assert await host.scheme(is_plain_http_allowed=False).get() == "https"
    assert host.probes == []


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_https_that_answers_wins(status: int) -> None:
    """Whatever it answers: TLS was spoken."""
    host = Host(https=status, http=200)
    scheme = host.scheme()
    assert await scheme.get() == "https"
    assert await scheme.get() == "https"
    assert host.probes == ["https"]


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429])
async def test_plain_http_is_tried_at_once_if_https_fails(status: int) -> None:
    """No waiting for a head start that has been lost."""
    host = Host(https=BROKEN, http=status)
    assert await host.scheme().get() == "http"
    assert host.probes == ["https", "http"]


async def test_plain_http_is_tried_if_https_is_slow() -> None:
    """After the head start; the slower one is called off."""
    host = Host(https=asyncio.Event(), http=200)
    assert await host.scheme().get() == "http"


async def test_https_may_still_win_after_its_head_start() -> None:
    """The first that answers is taken."""
    slow = asyncio.Event()
    host = Host(https=slow, http=asyncio.Event())
    found = asyncio.create_task(host.scheme().get())
    await faketime.until(lambda: host.probes == ["https", "http"])
    slow.set()
    assert await found == "https"


@pytest.mark.parametrize("status", [301, 308, 400, 426, 500, 503])
async def test_not_every_answer_to_plain_http_is_a_registrys(status: int) -> None:
    """An HTTPS port answers 400, a front that wants HTTPS redirects: the HTTPS error is told."""
    host = Host(https=BROKEN, http=status)
    with pytest.raises(errors.TLSError) as caught:
        await host.scheme().get()
    assert str(caught.value) == (
        "GET https://h/v2/: tls: handshake failure "
        f"(and plain HTTP: plain HTTP is answered by status {status})"
    )


async def test_if_both_fail_both_are_told() -> None:
    """The error is of HTTPS's kind; nothing is remembered."""
    host = Host(https=BROKEN, http=REFUSED)
    scheme = host.scheme()
    with pytest.raises(errors.TLSError, match=r"and plain HTTP: dial: connection refused"):
        await scheme.get()
    host.answers["http"] = 200
    assert await scheme.get() == "http"


async def test_a_broken_identity_is_no_reason_for_plain_http() -> None:
    """A CA that cannot be read must not lead to the clear."""
    host = Host(https=errors.CredentialError("failed to parse CA certificate"), http=200)
    with pytest.raises(errors.CredentialError):
        await host.scheme().get()
    assert host.probes == ["https"]


async def test_what_was_found_can_be_forgotten() -> None:
    """After a failed connection the host may be another."""
    host = Host(https=BROKEN, http=200)
    scheme = host.scheme()
    assert await scheme.get() == "http"
    scheme.forget()
    host.answers["https"] = 200
    assert await scheme.get() == "https"


async def test_many_callers_find_out_once() -> None:
    """One race, whoever asks."""
    host = Host(https=BROKEN, http=200)
    scheme = host.scheme()
    assert set(await asyncio.gather(*(scheme.get() for _ in range(9)))) == {"http"}
    assert host.probes == ["https", "http"]


async def test_a_caller_that_gives_up_leaves_no_probe_behind() -> None:
    """Both are called off: the loop is watched for tasks that are left."""
    host = Host(https=asyncio.Event(), http=asyncio.Event())
    found = asyncio.create_task(host.scheme().get())
    await faketime.until(lambda: host.probes == ["https", "http"])
    found.cancel()
    with pytest.raises(asyncio.CancelledError):
        await found
