"""Forwarding to a notification-controller."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from ocisource.kube import events, notification, resources
from tests.simulators import faketime

ABOUT = resources.ObjectReference(
    kind="Thing", namespace="apps", name="one", uid="u1", api_version="g/v1", resource_version="5"
)
AT = 1_700_000_000.0


class Receiver:
    """A notification-controller that answers as told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.answers: list[int | None] = []  # None: the connection is cut
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Take an event."""
        self.bodies.append(json.loads(await request.read()))
        answer = self.answers.pop(0) if self.answers else 202
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=answer)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@pytest.fixture
async def notifier(receiver: Receiver) -> AsyncIterator[notification.Notifier]:
    """A notifier at work, whose pauses take no time."""
    time = faketime.FakeTime(AT)
    made = notification.Notifier(
        receiver.url, component="source-controller", host="pod-1", wall=time.clock, sleep=time.skip
    )
    task = asyncio.create_task(made.run())
    yield made
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def send(notifier: notification.Notifier, message: str, *, at: float = AT, **more: object) -> None:
    """Forward an event."""
    options: dict[str, object] = {"event_type": events.WARNING, "annotations": {}} | more
    notifier.forward(ABOUT, reason="Failed", message=message, at=at, **options)  # type: ignore[arg-type]


async def test_the_body_is_fluxs(receiver: Receiver, notifier: notification.Notifier) -> None:
    """Field for field."""
    send(notifier, "it broke", annotations={"g/revision": "r"})
    await faketime.until(lambda: receiver.bodies)
    assert receiver.bodies == [
        {
            "involvedObject": {
                "kind": "Thing",
                "namespace": "apps",
                "name": "one",
                "uid": "u1",
                "apiVersion": "g/v1",
                "resourceVersion": "5",
            },
            "severity": "error",
            "timestamp": "2023-11-14T22:13:20Z",
            "message": "it broke",
            "reason": "Failed",
            "metadata": {"g/revision": "r"},
            "reportingController": "source-controller",
            "reportingInstance": "pod-1",
        }
    ]


async def test_a_normal_event_is_of_severity_info(
    receiver: Receiver, notifier: notification.Notifier
) -> None:
    """Normal is info, Warning is error."""
    send(notifier, "fine", event_type=events.NORMAL)
    await faketime.until(lambda: receiver.bodies)
    assert receiver.bodies[0]["severity"] == "info"


@pytest.mark.parametrize(
    ("answers", "tries"),
    [
        ([500, None, 503], 4),  # a server's trouble and lost connections are tried again
        ([500] * 9, 5),  # with an end
        ([429], 1),  # "I have had that one"
        ([400], 1),  # what is refused once is refused again
    ],
)
async def test_what_is_tried_again(
    receiver: Receiver,
    notifier: notification.Notifier,
    answers: list[int | None],
    tries: int,
) -> None:
    """And the next event comes through in any case."""
    receiver.answers = answers
    send(notifier, "first")
    await faketime.until(lambda: len(receiver.bodies) >= tries)
    receiver.answers = []
    send(notifier, "second")
    await faketime.until(lambda: receiver.bodies[-1]["message"] == "second")
    assert [body["message"] for body in receiver.bodies].count("first") == tries


async def test_events_wait_within_bounds(notifier: notification.Notifier) -> None:
    """A receiver that is away fills no memory; what is too old is not sent late."""
    for number in range(notification.QUEUE + 5):
        send(notifier, f"m{number}", at=AT - notification.MAX_AGE - 1)
    assert notifier.lost.total == 5
    await faketime.until(lambda: notifier.lost.total == notification.QUEUE + 5)


async def test_old_events_are_not_sent(receiver: Receiver, notifier: notification.Notifier) -> None:
    """Ten minutes later nobody wants to be told."""
    send(notifier, "old", at=AT - notification.MAX_AGE - 1)
    send(notifier, "new")
    await faketime.until(lambda: receiver.bodies)
    assert [body["message"] for body in receiver.bodies] == ["new"]


async def test_a_password_in_the_address_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failing POST is logged, its address redacted."""
    time = faketime.FakeTime(AT)
    made = notification.Notifier(
        "http://user:s3cret@127.0.0.1:1/", component="c", host="h", wall=time.clock, sleep=time.skip
    )
    send(made, "m")
    task = asyncio.create_task(made.run())
    await faketime.until(lambda: caplog.records)
    fields = caplog.records[0].__dict__["ocisource_fields"]
    assert "127.0.0.1" in fields["error"]
    assert "s3cret" not in str(fields)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
