"""The clouds' own libraries: blocking calls in threads of their own, their errors translated.

A thread cannot be cancelled: a call that outlasts its deadline is abandoned, and ends by the
timeouts that its library was given. The pool is bounded, so that a cloud that hangs holds up cloud
logins and nothing else.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from ocisource import errors
from ocisource.net import redact

DEADLINE = 10.0  # seconds for one login, Flux's timeout of token requests
CONNECT_TIMEOUT = 5.0  # seconds
ATTEMPTS = 2  # of one request, where the library lets itself be told
THREADS = 8
_LINES = 8  # of a library's message that are shown

T = TypeVar("T")


class Calls:
    """Runs blocking logins; close() waits for none of them."""

    def __init__(self, *, threads: int = THREADS, deadline: float = DEADLINE) -> None:
        self.deadline = deadline
        self._pool = concurrent.futures.ThreadPoolExecutor(
            max_workers=threads, thread_name_prefix="cloud"
        )

    async def run(self, call: Callable[[], T], *, secrets: Collection[str] = ()) -> T:
        """Result of a blocking call; raises CredentialError with the library's words.

        ``secrets`` are cut out of them, should a library quote what it was given.
        """
        loop = asyncio.get_running_loop()
        with self.timed():
            async with asyncio.timeout(self.deadline):
                return await loop.run_in_executor(self._pool, _translated, call, secrets)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Say a timeout in words; raises CredentialError."""
        try:
            yield
        except TimeoutError:
            raise errors.CredentialError(
                f"the cloud did not answer within {self.deadline:g}s; it is asked again later"
            ) from None

    def close(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def stage(prefix: str) -> Iterator[None]:
    """Say what was being done; raises CredentialError."""
    try:
        yield
    except errors.CredentialError as error:
        raise errors.CredentialError(f"{prefix}: {error.text}") from error


def missing(extra: str, error: ImportError) -> errors.CredentialError:
    """What to do about a library that is not installed."""
    return errors.CredentialError(
        f"provider {extra} needs a library that is not installed ({error.name}): "
        f"pip install ocisource[{extra}]"
    )


def words(text: str, *, secrets: Collection[str] = ()) -> str:
    """A library's message, fit to be shown: one line, bounded, without what is secret."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "redacted")
    lines = [redact.foreign(line) for line in text.splitlines() if line.strip()]
    return " ".join(lines[:_LINES])


def _translated(call: Callable[[], T], secrets: Collection[str]) -> T:
    try:
        return call()
    except errors.OcisourceError:
        raise
    except Exception as error:  # noqa: BLE001 - the libraries' own errors share no root
        text = words(str(error), secrets=secrets)
        # Without the cause: its attributes may hold requests with their secrets.
        raise errors.CredentialError(text or type(error).__name__) from None
