"""What a process that runs for weeks asks of its interpreter and of malloc: once, at its start.

Measured with ten thousand objects (docs/adr/0010). Commands that run a controller call ``settle``;
whoever embeds the controller in a program of his own decides for himself.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import sys
import typing
from asyncio import sslproto
from collections.abc import Mapping

# Objects made and not freed before the collector looks at the youngest ones; Python's default of
# 700 is a look every few requests, at objects that are still in use.
_YOUNG_OBJECTS = 10_000
_YOUNG_LOOKS = 20  # looks at the youngest before the middle ones are looked at
_MIDDLE_LOOKS = 20

# A connection's buffer that TLS records are read into: asyncio makes one of 256 KiB for each.
TLS_BUFFER = 64 * 1024  # bytes; a record has 16 KiB at most (RFC 8446, section 5.1)

MAX_FILES = 65_536  # open files, each connection being one
REPEAT_SECONDS = 60.0  # before a failure that nobody waits for is told again
_MAX_TOLD = 64  # different ones remembered

_log = logging.getLogger(__name__)

# glibc's mallopt(3). A read of 256 KiB from a plain connection must not be mapped and unmapped each
# time, nor the heap cut back after it; and a thread needs no heap of its own for a rename.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MALLOC: typing.Final = (
    ("MALLOC_ARENA_MAX", "glibc.malloc.arena_max", _M_ARENA_MAX, 2),
    ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", _M_MMAP_THRESHOLD, 1 << 20),
    ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", _M_TRIM_THRESHOLD, 4 << 20),
)


def settle(environ: Mapping[str, str] = os.environ) -> None:
    """To be called once everything is imported and before threads are started.

    What ``environ`` says of malloc stands.
    """
    sslproto.SSLProtocol.max_size = TLS_BUFFER
    allow_files()
    _settle_malloc(environ)
    # What is imported stays: the collector need not walk through it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_LOOKS, _MIDDLE_LOOKS)


def allow_files() -> None:
    """Let the process have as many files as the system lets it, up to MAX_FILES.

    The usual limit of 1024 open files is one of old programs; Go's runtime raises it likewise.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # some systems say more than they give
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections(most: int) -> int:
    """How many connections one listener may hold, ``most`` if there is room.

    Where files are few, a listener leaves three quarters of them to everything else.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(min(most, soft // 4), 1)


def tell_failures(loop: asyncio.AbstractEventLoop) -> None:
    """Log in one line, and once a minute, what fails where nobody waits for it.

    asyncio itself prints a traceback each time: of a listener that has no more open files, a
    thousand times a second. Texts may hold anything, so of an error the system's words are told,
    or its kind. Python's development mode (``-X dev``) keeps the tracebacks.
    """
    told: dict[tuple[str, str], float] = {}

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, typing.Any]) -> None:
        error = context.get("exception")
        why = (getattr(error, "strerror", None) or type(error).__name__) if error else ""
        message = str(context.get("message") or "a callback failed").partition("\n")[0]
        now = loop.time()
        if now - told.get((message, why), -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        if len(told) >= _MAX_TOLD:
            told.clear()
        told[message, why] = now
        _log.error("%s", f"{message}: {why}" if why else message)

    if not sys.flags.dev_mode:
        loop.set_exception_handler(tell)


def _settle_malloc(environ: Mapping[str, str]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # another libc
    tunables = environ.get("GLIBC_TUNABLES", "")
    for variable, tunable, parameter, value in _MALLOC:
        if variable not in environ and tunable not in tunables:
            mallopt(parameter, value)
