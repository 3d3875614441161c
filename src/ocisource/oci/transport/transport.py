"""Requests to one registry host with one credential, tried again where that may help.

From the top::

    head, fetch, open   what callers use: headers alone, a whole bounded answer, or a stream
    _retried            asks the gate first; tries again after broken connections and temporary
                        statuses
    exchange            shows what the registry asked for, follows redirects
"""

import contextlib
import functools
import http
import random
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp

from ocisource import errors, metrics
from ocisource.oci import limits
from ocisource.oci.authentication import auth, credentials
from ocisource.oci.hosts import answers, connections, names, places
from ocisource.oci.transport import exchange, gate, heads, patience

T = TypeVar("T")

Request = exchange.Request

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_ERROR = 400


class Transport:
    """One registry host, spoken to in one way with one credential."""

    def __init__(
        self,
        way: connections.Way,
        credential: credentials.Credential | None,
        *,
        contexts: connections.Contexts,
        known_names: names.Names,
        host_gate: gate.Gate,
        settings: limits.RegistrySettings,
        clock: Callable[[], float],
        wall: Callable[[], float],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        observed: metrics.Metrics | None = None,
    ) -> None:
        self.host = way.host
        self.settings = settings
        self.heads = heads.Heads(lifetime=settings.heads_lifetime, clock=clock)
        self._is_insecure = way.is_insecure
        self._gate = host_gate
        self._patience = patience.Patience(host_gate, settings=settings, rng=rng, sleep=sleep)
        self._active = 0
        self._connections = connections.Connections(
            way,
            contexts=contexts,
            known_names=known_names,
            settings=settings,
            observed=observed,
        )
        self._authorizer = auth.Authorizer(
            way.host,
            credential,
            service=self._ask_token_service,
            settings=settings,
            clock=clock,
            wall=wall,
        )
        self._exchange = exchange.Exchange(
            way, pooled=self._connections, authorizer=self._authorizer, settings=settings
        )

    def head(self, request: Request) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """The response to a HEAD, its connection free again; raises as fetch() does."""
        # No coroutine of its own: every check of every object passes here.
        return self._retried(request, _released)

    async def fetch(
        self, request: Request, *, bound: int | None = None, what: str = "the answer"
    ) -> answers.Answer:
        """A whole answer, whatever its status; ``what`` names the body, which ``bound`` limits.

        Raises TransportError, TooManyRequestsError and RegistryError for temporary statuses that
        stay, UnauthorizedError if the token service refuses, ContentError for a body too big.
        """
        if request.method == "HEAD":
            return answers.bare(await self.head(request))
        limit = self.settings.error_size if bound is None else bound
        consume = functools.partial(self._read, bound=limit, what=what)
        return await self._retried(request, consume)

    async def _read(
        self, response: aiohttp.ClientResponse, *, bound: int, what: str
    ) -> answers.Answer:
        if response.status >= _ERROR:
            return await answers.read_head(response, bound=self.settings.error_size)
        return await answers.read(response, bound=bound, what=what)

    @contextlib.asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body the caller streams; raises as fetch() does."""
        self._active += 1
        try:
            response = await self._retried(request, _as_it_is)
            try:
                yield response
            finally:
                response.release()
        finally:
            self._active -= 1

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return not self._active

    async def pause(self, retry: int) -> None:
        """Wait as before retry number ``retry`` of a request."""
        await self._patience.pause(retry)

    def refusal(
        self, answer: answers.Answer, *, retry_after: float | None = None
    ) -> errors.RegistryError:
        """The error that an answer is, with advice where a credential is the matter."""
        hint = ""
        if answer.status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
            if self._exchange.is_home(answer.url):
                hint = self._authorizer.refusal_hint
        elif retry_after is not None:
            hint = f"trying again in {retry_after:.0f} s"
            is_budget = answer.status == http.HTTPStatus.TOO_MANY_REQUESTS
            if is_budget and not self._authorizer.has_credential:
                hint += "; without a credential, all share one budget"
        return answers.refusal(answer, retry_after=retry_after, hint=hint)

    async def close(self) -> None:
        """Close all connections; requests under way fail."""
        await self._exchange.close()
        await self._authorizer.close()
        await self._connections.close()

    async def _retried(
        self, request: Request, consume: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        retry = 0
        self._active += 1
        try:
            while True:
                if self._gate.is_held:
                    await self._gate.enter()
                try:
                    response, _, is_heard = await self._exchange.answer(request)
                    asked = None
                    if is_heard:
                        asked = self._gate.heed(response.status, response.headers)
                    if response.status not in patience.TEMPORARY_STATUSES:
                        return await consume(response)
                    answer = await answers.read_head(response, bound=self.settings.error_size)
                    if not self._patience.has_more(
                        retry, request.attempts
                    ) or not self._patience.is_short(answer, asked=asked):
                        raise self.refusal(answer, retry_after=asked)
                except errors.ConnectionLostError:
                    is_repeatable = request.is_token or request.method in _IDEMPOTENT
                    self._exchange.forget_scheme()
                    if not is_repeatable or not self._patience.has_more(retry, request.attempts):
                        raise
                    asked = None
                except errors.TransportError:
                    self._exchange.forget_scheme()
                    raise
                if not asked:  # else the gate waits; "at once" is no reason to hammer
                    await self._patience.pause(retry)
                retry += 1
        finally:
            self._active -= 1

    async def _ask_token_service(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> answers.Answer:
        """One request to a realm; never redirected, because the credential is on board."""
        base = await self._exchange.base()
        places.check_realm(url, registry=base)
        if headers or form is not None:
            places.check_clear(url, is_insecure=self._is_insecure)
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form).encode()
            headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        request = Request(method=method, path=url, headers=headers, body=body, is_token=True)
        consume = functools.partial(
            answers.read, bound=self.settings.token_size, what="the token service's answer"
        )
        try:
            return await self._retried(request, consume)
        except errors.ConnectionLostError as error:
            # All tries are used up: the request that wanted the token must not add its own.
            raise errors.TransportError(str(error)) from error


async def _as_it_is(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    return response


async def _released(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    response.release()
    return response
