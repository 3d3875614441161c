"""One call and its answer: rate limit, login, deadline, bounded body, and the brief retries.

Retried here is only what certainly had no effect or does no harm twice:

1. 401 with a renewable login: once, with the next login.
2. 429, and 5xx with ``Retry-After``: the server did nothing; it says when to come back.
3. No connection made: any verb. Connection lost: idempotent calls alone.

Longer waiting is for those who call: the reflector, the workqueue and the lease have back-offs.
"""

import asyncio
import contextlib
import dataclasses
import os
import random
import time
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp

from ocisource import errors, metrics
from ocisource.kube import answers, config, logins, ratelimit, transport
from ocisource.net import backoff

_SERVER_ERROR = 500
_TOO_MANY = 429
_UNAUTHORIZED = 401
_SUCCESSES = range(200, 300)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client behaves; times in seconds.

    ``qps`` and ``burst`` limit requests (0: no limit); ``request_timeout`` bounds one attempt with
    its body, a watch excepted; ``page_size`` is objects in a page of a list; ``retries`` how often
    one call is tried again; ``retry_after_cap`` the longest ``Retry-After`` that is waited for
    here, a longer one is handed to the caller in the error; ``field_manager`` owns what we write.
    """

    qps: float = 50.0
    burst: int = 300
    request_timeout: float = 30.0
    page_size: int = 500
    retries: int = 4
    retry_after_cap: float = 10.0
    field_manager: str = "source-controller"
    user_agent: str = "ocisource"


DEFAULTS: typing.Final = ClientSettings()
# Between tries after a connection was refused or lost.
_RECONNECT: typing.Final = backoff.Backoff(initial=0.1, factor=2.0, cap=1.0, jitter=0.5)


class Exchange:
    """Sends calls to one API server."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        *,
        settings: ClientSettings = DEFAULTS,
        observed: metrics.Metrics | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._transport = transport.Transport(
            cluster, user_agent=settings.user_agent, environ=environ, observed=observed
        )
        self._limiter = ratelimit.TokenBucket(
            qps=settings.qps, burst=settings.burst, clock=clock, sleep=sleep
        )
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._warn = warn
        self._may_write: Callable[[], None] | None = None

    def guard(self, may_write: Callable[[], None]) -> None:
        """Ask ``may_write`` before each attempt of a write; what it raises is raised.

        What passes the rate limiter by passes this by, too.
        """
        self._may_write = may_write

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    def lift_limit(self) -> None:
        """Limit our rate no more."""
        self._limiter.lift()

    async def send(self, call: transport.Call) -> bytes:
        """Send a call, with the retries of this module; returns the body.

        Raises APIStatusError and TransportError.
        """
        retry = 0
        while True:
            try:
                async with self.opened(call) as response:
                    return await answers.body(response)
            except errors.TransportError as exc:
                # opened() has had its own retries; this is for an answer cut off in the middle.
                is_cut = call.is_idempotent and _is_lost(exc) and retry < self._settings.retries
                if not is_cut:
                    raise
            await self._sleep(_RECONNECT.delay(retry, rng=self._rng))
            retry += 1

    @contextlib.asynccontextmanager
    async def opened(
        self, call: transport.Call, limits: aiohttp.ClientTimeout | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The positive answer to a call, its body yet to be read.

        ``limits`` stands in for the usual deadline. Negative answers are tried again or raised:
        APIStatusError, TransportError, CredentialError.
        """
        limits = limits or self._limits()
        rejected: logins.Login | None = None
        retry = 0
        while True:
            if call.is_limited:
                await self._limiter.take()
            login = await self._cluster.login_source.login()
            if self._may_write is not None and call.is_limited and call.method != "GET":
                self._may_write()
            is_positive = False
            try:
                async with self._transport.open(call, login=login, limits=limits) as response:
                    if response.status in _SUCCESSES:
                        is_positive = True
                        self._pass_on_warnings(response)
                        yield response
                        return
                    failure = await answers.failure(response, now=self._wall())
            except errors.TransportError as exc:
                # What goes wrong while a positive answer is read is the reader's.
                if is_positive or retry >= self._settings.retries or not _may_repeat(call, exc):
                    raise
                pause = _RECONNECT.delay(retry, rng=self._rng)
            else:
                if failure.code == _UNAUTHORIZED:
                    if rejected is not None or not self._cluster.login_source.reject(login):
                        raise self._not_let_in(failure)
                    rejected, pause = login, 0.0
                else:
                    pause = self._patience(failure, retry)
            retry += 1
            await self._sleep(pause)

    def _not_let_in(self, failure: errors.APIStatusError) -> errors.APIStatusError:
        """A 401 with what it does not say: by whom, and what to do."""
        return errors.APIStatusError(
            f"the API server {self._transport.host} does not accept our login ({failure.text}): "
            "renew the token or certificate in the kubeconfig, or choose another user",
            code=failure.code,
            reason=failure.reason,
            details=failure.details,
        )

    def _patience(self, failure: errors.APIStatusError, retry: int) -> float:
        """Seconds to wait before the next try; raises ``failure`` when there is none."""
        wish = failure.retry_after
        is_busy = failure.code == _TOO_MANY or (failure.code >= _SERVER_ERROR and wish is not None)
        wish = 1.0 if wish is None else wish
        if not is_busy or retry >= self._settings.retries or wish > self._settings.retry_after_cap:
            raise failure
        return wish + _RECONNECT.delay(retry, rng=self._rng)

    def _limits(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=self._settings.request_timeout, sock_connect=transport.CONNECT_TIMEOUT
        )

    def _pass_on_warnings(self, response: aiohttp.ClientResponse) -> None:
        if self._warn is None:
            return
        for header in response.headers.getall("Warning", ()):
            # RFC 7234, 5.5: warn-code warn-agent warn-text, here always 299 - "...".
            _, _, text = header.partition('"')
            self._warn(text.removesuffix('"').replace('\\"', '"'))


def _is_lost(error: errors.TransportError) -> bool:
    """Whether the connection broke, rather than ran out of time or was not trusted."""
    return not isinstance(error, (errors.DeadlineError, errors.TLSError, errors.NotSentError))


def _may_repeat(call: transport.Call, error: errors.TransportError) -> bool:
    if isinstance(error, errors.NotSentError):
        return True
    return call.is_idempotent and _is_lost(error)
