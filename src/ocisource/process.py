"""What a process that runs for weeks asks of its interpreter and of malloc: once, at its start.

Measured with ten thousand objects (docs/adr/0010). Commands that run a controller call ``settle``;
whoever embeds the controller in a program of his own decides for himself.
"""

import ctypes
import gc
import os
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
    _settle_malloc(environ)
    # What is imported stays: the collector need not walk through it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_LOOKS, _MIDDLE_LOOKS)


def _settle_malloc(environ: Mapping[str, str]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # another libc
    tunables = environ.get("GLIBC_TUNABLES", "")
    for variable, tunable, parameter, value in _MALLOC:
        if variable not in environ and tunable not in tunables:
            mallopt(parameter, value)
