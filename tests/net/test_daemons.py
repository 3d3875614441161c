"""Blocking calls in threads that the process does not wait for."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from ocisource.net import daemons


@pytest.fixture
async def release() -> AsyncIterator[threading.Event]:
    """What a call that hangs waits for; set at the end."""
    event = threading.Event()
    yield event
    event.set()


async def test_results_and_failures_come_back() -> None:
    """As if the call had been made here."""
    assert await daemons.start(lambda: threading.current_thread().name, name="one") == "one"
    with pytest.raises(ZeroDivisionError):
        await daemons.start(lambda: 1 // 0, name="two")


async def test_an_abandoned_call_is_told_to_have_ended_only_when_it_has(
    release: threading.Event,
) -> None:
    """Whoever bounds the number of threads counts those that nobody waits for any more."""
    ended = asyncio.Event()
    result = daemons.start(release.wait, name="hangs", ended=ended.set)
    result.cancel()
    await asyncio.sleep(0)
    assert not ended.is_set()
    release.set()
    await ended.wait()
    assert result.cancelled()


def test_a_call_that_hangs_keeps_no_process() -> None:
    """The interpreter leaves without it, also when the loop is long closed."""
    code = (
        "import asyncio, threading\n"
        "from ocisource.net import daemons\n"
        "async def main():\n"
        "    daemons.start(threading.Event().wait, name='hangs')\n"
        "asyncio.run(main())\n"
        "print('left')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
