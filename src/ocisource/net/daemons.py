"""Blocking calls in threads that the process does not wait for when it leaves.

A thread cannot be cancelled, and what waits for a peer may wait for minutes: the threads of a pool,
which the interpreter joins at its end, would hold the process for as long. What is called here must
have nothing to put back.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def start(
    call: Callable[[], T], *, name: str, ended: Callable[[], object] = lambda: None
) -> "asyncio.Future[T]":
    """The result of ``call``, made in a thread called ``name``; bound their number yourself.

    Cancelling the future abandons the thread. ``ended`` is called on the loop when the thread has
    come to its end, however long that takes. Raises RuntimeError when no thread is to be had.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def done(settle: Callable[[], None]) -> None:
        ended()
        if not result.done():  # somebody waits still
            settle()

    def work() -> None:
        try:
            settle = functools.partial(result.set_result, call())
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            settle = functools.partial(result.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done, settle)

    threading.Thread(target=work, name=name, daemon=True).start()
    return result
