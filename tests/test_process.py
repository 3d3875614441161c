"""What a long-running command asks of its interpreter and of malloc."""

import asyncio
import errno
import os
import platform
import resource
import subprocess
import sys

import pytest

from ocisource import process

_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")


def told(script: str, **environ: str) -> str:
    """What a script prints, in a process of its own: nothing here can be taken back."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environ},
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_the_collector_looks_rarely_and_never_at_what_is_imported() -> None:
    """Default thresholds cost a fifth of every request."""
    script = "import gc; from ocisource import process; process.settle(); "
    assert int(told(script + "print(gc.get_freeze_count())")) > 1000
    assert int(told(script + "print(gc.get_threshold()[0])")) > 700


def test_a_tls_connection_reads_into_a_small_buffer() -> None:
    """Dozens of them to the API server are megabytes otherwise."""
    script = """
import asyncio, ssl
from asyncio import sslproto
from ocisource import process

process.settle()

async def main():
    made = sslproto.SSLProtocol(
        asyncio.get_running_loop(), asyncio.Protocol(), ssl.create_default_context(), None,
        server_hostname="localhost",
    )
    print(len(made.get_buffer(-1)))

asyncio.run(main())
"""
    assert int(told(script)) == 64 * 1024


_ARENAS = """
import ctypes, threading
from ocisource import process

process.settle()
barrier = threading.Barrier(6)

def work():
    kept = [bytes(1000 + number) for number in range(100)]
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@_GLIBC
def test_threads_share_two_heaps() -> None:
    """One for each thread of the pools would be a megabyte each, nearly empty."""
    assert told(_ARENAS).count("Arena") <= 2


@_GLIBC
@pytest.mark.parametrize(
    "environ",
    [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}],
)
def test_what_the_environment_says_of_malloc_stands(environ: dict[str, str]) -> None:
    """Whoever runs the process knows its memory better."""
    assert 2 < told(_ARENAS, **environ).count("Arena") <= 5


async def test_what_fails_where_nobody_waits_is_one_line_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A listener without files fails a thousand times a second; no text of an error is shown."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    process.tell_failures(loop)
    full = OSError(errno.EMFILE, "Too many open files")
    try:
        for _ in range(1000):
            loop.call_exception_handler({"message": "accept() failed", "exception": full})
        secret = ValueError("token=s3cret")
        loop.call_exception_handler({"message": "lost\nTask s3cret", "exception": secret})
        loop.call_exception_handler({})
    finally:
        loop.set_exception_handler(before)
    assert [each.getMessage() for each in caplog.records] == [
        "accept() failed: Too many open files",
        "lost: ValueError",
        "a callback failed",
    ]
    assert all(each.exc_info is None for each in caplog.records)


def test_a_command_may_open_as_many_files_as_the_system_lets_it() -> None:
    """Whatever the soft limit was."""
    script = """
import resource
from ocisource import process

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
process.settle()
soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
print(soft > 64 or hard == 64)
"""
    assert told(script) == "True\n"


@pytest.mark.parametrize(("soft", "allowed"), [(65_536, 1024), (1024, 256), (2, 1)])
def test_a_listener_leaves_files_to_others(
    monkeypatch: pytest.MonkeyPatch, soft: int, allowed: int
) -> None:
    """Idle clients must not keep the store from opening a file."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert process.connections(1024) == allowed
