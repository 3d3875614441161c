"""Requests to one registry host with one credential: five storeys, each with one duty.

From the top::

    fetch, open     what callers use: a whole bounded answer, or a stream
    _retried        tries again after broken connections and temporary statuses; asks the gate first
    _authorized     shows what the registry asked for, renews what it refuses, once
    _redirected     follows redirects by hand, without credentials
    connections     sends one request on a pooled connection

No request is preceded by a ping, with two exceptions: where plain HTTP is allowed, the scheme is
found out once (`GET /v2/` over HTTPS, then HTTP); and where a registry answers 403 or 404 to nobody
although we hold a credential, `GET /v2/` tells how it wants to be asked.
"""

import contextlib
import dataclasses
import http
import random
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import aiohttp

from ocisource import errors
from ocisource.net import redact
from ocisource.oci import (
    answers,
    auth,
    connections,
    credentials,
    gate,
    guard,
    limits,
    patience,
    places,
    schemes,
)

T = TypeVar("T")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_REFUSED = frozenset({400, 401, 403})
_HIDDEN = frozenset({403, 404})
_AUTHORIZED_TRIES = 3  # nobody, with a token, with the scope that was named then
_WIRE_HOSTS = {"index.docker.io": "registry-1.docker.io"}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One logical request; ``path`` starts with ``/v2/`` and is quoted, or is a whole URL here."""

    method: str
    path: str
    scope: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = dataclasses.field(default=None, repr=False)
    attempts: int | None = None  # None: as the settings say


@dataclasses.dataclass(frozen=True, slots=True)
class _Reply:
    response: aiohttp.ClientResponse
    is_home: bool  # from the registry itself, not from where it redirected to


class Transport:
    """One registry host, spoken to in one way with one credential."""

    def __init__(
        self,
        way: connections.Way,
        credential: credentials.Credential | None,
        *,
        contexts: connections.Contexts,
        host_gate: gate.Gate,
        is_plain_http_allowed: bool,
        settings: limits.RegistrySettings,
        clock: Callable[[], float],
        wall: Callable[[], float],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.host = way.host
        self.settings = settings
        self._wire_host = _WIRE_HOSTS.get(way.host, way.host)
        self._is_insecure = way.is_insecure
        self._patience = patience.Patience(host_gate, settings=settings, rng=rng, sleep=sleep)
        self._active = 0
        self._connections = connections.Connections(way, contexts=contexts, settings=settings)
        self._authorizer = auth.Authorizer(
            way.host,
            credential,
            service=self._ask_token_service,
            settings=settings,
            clock=clock,
            wall=wall,
        )
        self._scheme = schemes.Scheme(
            self._probe,
            is_plain_http_allowed=is_plain_http_allowed or way.is_insecure,
            head_start=settings.head_start,
        )

    async def fetch(
        self, request: Request, *, bound: int | None = None, what: str = "the answer"
    ) -> answers.Answer:
        """A whole answer, whatever its status; ``what`` names the body, which ``bound`` limits.

        Raises TransportError, TooManyRequestsError and RegistryError for temporary statuses that
        stay, UnauthorizedError if the token service refuses, ContentError for a body too big.
        """
        limit = self.settings.error_size if bound is None else bound

        async def consume(response: aiohttp.ClientResponse) -> answers.Answer:
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                return await answers.read_head(response, bound=self.settings.error_size)
            return await answers.read(response, bound=limit, what=what)

        with self._counted():
            return await self._retried(request, consume)

    @contextlib.asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body the caller streams; raises as fetch() does."""

        async def consume(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
            return response

        with self._counted():
            response = await self._retried(request, consume)
            try:
                yield response
            finally:
                response.release()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._active += 1
        try:
            yield
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
        is_about_us = answer.status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}
        scheme = answer.url.partition(":")[0]
        home = places.origin_of(f"{scheme}://{self._wire_host}")
        is_home = places.origin_of(answer.url) == home
        hint = self._authorizer.refusal_hint if is_about_us and is_home else ""
        return answers.refusal(answer, retry_after=retry_after, hint=hint)

    async def close(self) -> None:
        """Close all connections; requests under way fail."""
        await self._scheme.close()
        await self._authorizer.close()
        await self._connections.close()

    async def _retried(
        self, request: Request, consume: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        async def attempt() -> T:
            reply = await self._authorized(request)
            response = reply.response
            asked = None
            if reply.is_home:
                asked = self._patience.heed(response.status, response.headers)
            if response.status not in patience.TEMPORARY_STATUSES:
                return await consume(response)
            answer = await answers.read_head(response, bound=self.settings.error_size)
            raise patience.TemporaryAnswerError(answer, asked=asked)

        return await self._patience.run(
            attempt,
            refusal=lambda answer, asked: self.refusal(answer, retry_after=asked),
            is_repeatable=request.method in _IDEMPOTENT,
            attempts=request.attempts,
        )

    async def _authorized(self, request: Request) -> _Reply:
        base = await self._base()
        for last in (False,) * (_AUTHORIZED_TRIES - 1) + (True,):
            shown = await self._authorizer.grant(request.scope)
            if shown.header is not None and self._authorizer.has_credential:
                places.check_clear(base, is_insecure=self._is_insecure)
            reply = await self._redirected(request, base, shown.header)
            if last or not await self._is_worth_another_try(reply, request, shown):
                break
            await answers.read_head(reply.response, bound=self.settings.error_size)
        return reply

    async def _is_worth_another_try(
        self, reply: _Reply, request: Request, shown: auth.Grant
    ) -> bool:
        if not reply.is_home or not request.scope:
            return False
        status = reply.response.status
        if status in _REFUSED:
            wanted = reply.response.headers.getall("WWW-Authenticate", [])
            if self._authorizer.learn(status, wanted, scope=request.scope, shown=shown):
                return True
        if status not in _HIDDEN or shown.header is not None or self._authorizer.is_settled:
            return False
        return self._authorizer.has_credential and await self._ping()

    async def _ping(self) -> bool:
        """Ask how the registry wants to be asked; True if it said so."""
        base = await self._base()
        reply = await self._redirected(Request(method="GET", path="/v2/"), base, None)
        wanted = reply.response.headers.getall("WWW-Authenticate", [])
        answer = await answers.read_head(reply.response, bound=self.settings.error_size)
        # A registry that lets everybody in at the door takes Basic further inside.
        return self._authorizer.learn(
            http.HTTPStatus.UNAUTHORIZED
            if answer.status < http.HTTPStatus.BAD_REQUEST
            else answer.status,
            wanted,
            scope="",
            shown=auth.Grant(),
        )

    async def _redirected(self, request: Request, base: str, header: str | None) -> _Reply:
        method, body, headers = request.method, request.body, dict(request.headers)
        url = places.redirect_target(base, request.path)
        home = places.origin_of(base)
        hops = 0
        is_home = True
        while True:
            # Whoever was sent away and comes back is a stranger.
            is_home = is_home and places.origin_of(url) == home
            shown = {**headers, "Authorization": header} if header and is_home else headers
            role = guard.Role.HOME if is_home else guard.Role.ELSEWHERE
            response = await self._send(method, url, role=role, headers=shown, data=body)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return _Reply(response, is_home)
            await answers.read_head(response, bound=self.settings.error_size)
            hops += 1
            if hops > self.settings.redirects:
                raise errors.TransportError(
                    f"{method} {redact.url(base + request.path)}: "
                    f"stopped after {self.settings.redirects} redirects"
                )
            url = places.redirect_target(url, location)
            if response.status not in _KEEPING_METHOD and method not in {"GET", "HEAD"}:
                method, body = "GET", None
                headers = {}

    async def _send(
        self,
        method: str,
        url: str,
        *,
        role: guard.Role,
        headers: Mapping[str, str],
        data: object = None,
    ) -> aiohttp.ClientResponse:
        try:
            return await self._connections.send(method, url, role=role, headers=headers, data=data)
        except errors.TransportError:
            if role is guard.Role.HOME:
                self._scheme.forget()
            raise

    async def _base(self) -> str:
        return f"{await self._scheme.get()}://{self._wire_host}"

    async def _probe(self, scheme: str) -> int:
        """Status of `GET /v2/` by a scheme; what it asks for is taken note of."""
        base = f"{scheme}://{self._wire_host}"
        response = await self._connections.send(
            "GET", f"{base}/v2/", role=guard.Role.HOME, headers={}
        )
        answer = await answers.read_head(response, bound=self.settings.error_size)
        wanted = response.headers.getall("WWW-Authenticate", [])
        self._authorizer.learn(answer.status, wanted, scope="", shown=auth.Grant())
        return answer.status

    async def _ask_token_service(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> answers.Answer:
        """One request to a realm; never redirected, because the credential is on board."""
        base = await self._base()
        places.check_realm(url, registry=base)
        if headers or form is not None:
            places.check_clear(url, is_insecure=self._is_insecure)
        is_home = places.origin_of(url) == places.origin_of(base)
        role = guard.Role.HOME if is_home else guard.Role.REALM
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form).encode()
            headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}

        async def attempt() -> answers.Answer:
            response = await self._connections.send(
                method, url, role=role, headers=headers, data=body
            )
            asked = self._patience.heed(response.status, response.headers)
            answer = await answers.read(
                response, bound=self.settings.token_size, what="the token service's answer"
            )
            if answer.status in patience.TEMPORARY_STATUSES:
                raise patience.TemporaryAnswerError(answer, asked=asked)
            return answer

        return await self._patience.run(
            attempt, refusal=lambda answer, asked: answers.refusal(answer, retry_after=asked)
        )
