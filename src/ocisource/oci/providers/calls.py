"""The clouds' own libraries: blocking calls in threads of their own, their errors translated.

Rules:

1. A thread cannot be cancelled: a call that outlasts its deadline, or that nobody waits for any
   more, is abandoned, and ends by the timeouts that its library was given.
2. The process waits for none of them when it leaves: a login holds nothing to put back.
3. Few calls are waited for at a time; the deadline of one begins with its turn. An abandoned call
   has given up its turn: a cloud, or one tenant's proxy, that hangs does not hold up the others.
4. Threads are bounded all the same: a peer that sends a byte now and then outlasts every timeout.
   One tenant's proxy has a share of them, and once it hangs in all of that it is refused before
   its turn: it costs nobody else threads or time.
"""

import asyncio
import collections
import contextlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from ocisource import errors
from ocisource.net import daemons
from ocisource.net import proxy as proxies
from ocisource.oci.providers import quoting

DEADLINE = 10.0  # seconds for one call, Flux's timeout of token requests
CONNECT_TIMEOUT = 5.0  # seconds
ATTEMPTS = 2  # of one request, where the library lets itself be told
TURNS = 8  # calls waited for at a time
THREADS_MAX = 128  # threads at a time, abandoned ones among them
PROXY_THREADS_MAX = 16  # of them through one proxy of an object's own
# Whatever they log at their levels, a warning is a line of ours or none: Python would print what
# nobody handles on stderr, over several lines and with tracebacks.
_CHATTY = ("azure", "botocore", "google.auth", "msal", "msal_extensions", "requests", "urllib3")
# What libraries raise where they meant to say that something is not as it should be.
_STUMBLES = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    json.JSONDecodeError,
)

T = TypeVar("T")


class Calls:
    """Runs blocking logins; close() waits for none of them.

    ``environ`` may hold credentials, which are cut out of what is shown.
    """

    def __init__(
        self,
        *,
        turns: int = TURNS,
        threads_max: int = THREADS_MAX,
        deadline: float = DEADLINE,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.deadline = deadline
        self._environ = environ
        self._turns = asyncio.Semaphore(turns)
        self._threads_max = threads_max
        self._threads: collections.Counter[proxies.Proxy | None] = collections.Counter()
        self._is_closed = False
        for name in _CHATTY:
            logger = logging.getLogger(name)
            if not logger.handlers:
                logger.addHandler(logging.NullHandler())

    async def run(
        self,
        call: Callable[[], T],
        *,
        proxy: proxies.Proxy | None = None,
        secrets: Collection[str] = (),
    ) -> T:
        """Result of a blocking call; raises CredentialError with the library's words.

        ``proxy`` is the object's own, which the call goes through. ``secrets`` are cut out of the
        words, should a library quote what it was given. Raises AbandonedError after close().
        """
        self._check_room(proxy)
        async with self._turns:
            if self._is_closed:
                raise errors.AbandonedError("cloud logins were closed")
            self._check_room(proxy)
            result = self._start(call, proxy, secrets)
            with self.timed():
                async with asyncio.timeout(self.deadline):
                    return await result

    def words(self, text: str, *, secrets: Collection[str] = ()) -> str:
        """A message fit to be shown."""
        return quoting.words(text, secrets=secrets, environ=self._environ)

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
        self._is_closed = True

    def _check_room(self, proxy: proxies.Proxy | None) -> None:
        total, behind = self._threads.total(), self._threads[proxy]
        if total >= self._threads_max:
            raise errors.CredentialError(
                f"{total} earlier cloud logins hang; it is tried again later"
            )
        if proxy is not None and behind >= PROXY_THREADS_MAX:
            raise errors.CredentialError(
                f"{behind} earlier cloud logins hang behind the proxy {proxy.address}; "
                "it is tried again later"
            )

    def _start(
        self, call: Callable[[], T], proxy: proxies.Proxy | None, secrets: Collection[str]
    ) -> "asyncio.Future[T]":
        """The result of a call in a thread that the process does not wait for."""
        try:
            result = daemons.start(
                lambda: self._translated(call, secrets),
                name="cloud-login",
                ended=lambda: self._end(proxy),
            )
        except RuntimeError as error:  # the machine's bound, or the process is leaving
            raise errors.CredentialError(f"no thread for a cloud login: {error}") from None
        self._threads[proxy] += 1
        return result

    def _end(self, proxy: proxies.Proxy | None) -> None:
        self._threads[proxy] -= 1
        if not self._threads[proxy]:
            del self._threads[proxy]  # objects come and go

    def _translated(self, call: Callable[[], T], secrets: Collection[str]) -> T:
        """Make the call; raises its failure as one of ours."""
        try:
            return call()
        except errors.OcisourceError:
            raise
        except BaseException as error:  # noqa: BLE001 - the libraries' own errors share no root
            kind = type(error).__name__
            text = self.words(_said(error), secrets=secrets) or kind
            if isinstance(error, _STUMBLES):
                text = f"the cloud's library cannot read an answer or a setting ({kind}: {text})"
        # Raised here, without cause and context: frames and attributes may hold requests with
        # their secrets.
        raise errors.CredentialError(text)


def _said(error: BaseException) -> str:
    """An error's words; of several arguments (Google's library) those that are words."""
    parts = [str(each) for each in error.args if isinstance(each, str | BaseException)]
    is_tuple = len(error.args) > 1 and str(error) == str(error.args)
    return "; ".join(dict.fromkeys(parts)) if is_tuple else str(error)


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
