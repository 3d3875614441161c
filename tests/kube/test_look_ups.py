"""A name server that says nothing keeps no process that speaks to an API server."""

import subprocess
import sys

import pytest

# Each asks for a name in the way of its own and is called off while nobody answers.
_PARTS = {
    "the API server": (
        "cluster = config.ClusterConfig("
        "server='https://api.test', login_source=logins.MaterialLogin())\n"
        "    async with client.Client(cluster, environ={}) as api:\n"
        "        await api.versions('apps')\n"
    ),
    "its socks5 proxy": (
        "cluster = config.ClusterConfig(server='https://192.0.2.1', "
        "login_source=logins.MaterialLogin(), proxy_url='socks5://proxy.test')\n"
        "    async with client.Client(cluster, environ={}) as api:\n"
        "        await api.versions('apps')\n"
    ),
    "the receiver of events": (
        "told = notification.Notifier('http://receiver.test', component='c', host='h')\n"
        "    told.forward(resources.ObjectReference(), event_type='Normal', reason='R', "
        "message='m', annotations={}, at=time.time())\n"
        "    await told.run()\n"
    ),
}
_PROGRAM = """
import asyncio, contextlib, socket, threading, time
from ocisource.kube import client, config, logins, notification, resources

asked = threading.Event()

def look_up(*_, **__):
    asked.set()
    threading.Event().wait()

socket.getaddrinfo = look_up

async def ask():
    {part}

async def main():
    task = asyncio.create_task(ask())
    while not asked.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

asyncio.run(main())
print("left")
"""


@pytest.mark.parametrize("what", list(_PARTS))
def test_a_silent_name_server_keeps_no_process(what: str) -> None:
    """Whoever leaves while a name is looked up has left."""
    program = _PROGRAM.format(part=_PARTS[what])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
