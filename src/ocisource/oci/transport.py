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
import functools
import http
import random
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp

from ocisource import errors, metrics
from ocisource.net import address, redact
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
_DOUBTED = _REFUSED | _HIDDEN
_AUTHORIZED_TRIES = 3  # as nobody, with a token, with the scope that was named then
_WIRE_HOSTS = {"index.docker.io": "registry-1.docker.io"}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_ERROR = 400


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One logical request; ``path`` starts with ``/v2/`` and is quoted, or is a whole URL here."""

    method: str
    path: str
    scope: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = dataclasses.field(default=None, repr=False)
    attempts: int | None = None  # None: as the settings say
    is_token: bool = False  # to a token service: never redirected, the credential is on board


@dataclasses.dataclass(frozen=True, slots=True)
class _Reply:
    response: aiohttp.ClientResponse
    is_home: bool  # from the registry itself, not from where it redirected to
    is_heard: bool = True  # what it asks for binds us


class Transport:
    """One registry host, spoken to in one way with one credential."""

    def __init__(
        self,
        way: connections.Way,
        credential: credentials.Credential | None,
        *,
        contexts: connections.Contexts,
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
        self._wire_host = _WIRE_HOSTS.get(way.host, way.host)
        self._is_insecure = way.is_insecure
        self._patience = patience.Patience(host_gate, settings=settings, rng=rng, sleep=sleep)
        self._active = 0
        self._known_base = ""  # scheme and host, once the scheme has been found out
        self._cleared = ""  # the base URL that credentials may be shown to
        self._connections = connections.Connections(
            way, contexts=contexts, settings=settings, observed=observed
        )
        self._authorizer = auth.Authorizer(
            way.host,
            credential,
            service=self._ask_token_service,
            settings=settings,
            clock=clock,
            wall=wall,
        )
        name, _ = address.split_port(way.host)
        self._scheme = schemes.Scheme(
            self._probe,
            is_plain_http_allowed=way.is_insecure or address.is_plain_http_host(name),
            head_start=settings.head_start,
        )

    async def fetch(
        self, request: Request, *, bound: int | None = None, what: str = "the answer"
    ) -> answers.Answer:
        """A whole answer, whatever its status; ``what`` names the body, which ``bound`` limits.

        Raises TransportError, TooManyRequestsError and RegistryError for temporary statuses that
        stay, UnauthorizedError if the token service refuses, ContentError for a body too big.
        """
        self._active += 1
        try:
            if request.method == "HEAD":
                response = await self._retried(request, _as_it_is)
                response.release()
                return answers.bare(response)
            limit = self.settings.error_size if bound is None else bound
            consume = functools.partial(self._read, bound=limit, what=what)
            return await self._retried(request, consume)
        finally:
            self._active -= 1

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
        retry = 0
        while True:
            if self._patience.gate.is_held:
                await self._patience.gate.enter()
            try:
                reply = await self._authorized(request)
                response = reply.response
                asked = None
                if reply.is_heard:
                    asked = self._patience.gate.heed(response.status, response.headers)
                if response.status not in patience.TEMPORARY_STATUSES:
                    return await consume(response)
                answer = await answers.read_head(response, bound=self.settings.error_size)
                if not self._patience.has_more(
                    retry, request.attempts
                ) or not self._patience.is_short(answer, asked=asked):
                    raise self.refusal(answer, retry_after=asked)
            except errors.ConnectionLostError:
                is_repeatable = request.is_token or request.method in _IDEMPOTENT
                self._forget_scheme()
                if not is_repeatable or not self._patience.has_more(retry, request.attempts):
                    raise
                asked = None
            except errors.TransportError:
                self._forget_scheme()
                raise
            if asked is None:  # else the gate waits
                await self._patience.pause(retry)
            retry += 1

    async def _authorized(self, request: Request) -> _Reply:
        base = self._known_base or await self._base()
        if request.is_token:
            is_home = places.origin_of(request.path) == places.origin_of(base)
            role = guard.Role.HOME if is_home else guard.Role.REALM
            response = await self._connections.send(
                request.method, request.path, role=role, headers=request.headers, data=request.body
            )
            return _Reply(response, is_home)
        if not request.scope:
            return await self._redirected(request, base, None)
        tries = 0
        while True:
            tries += 1
            shown = self._authorizer.ready(request.scope) or await self._authorizer.grant(
                request.scope
            )
            if shown.header is not None and base != self._cleared:
                self._check_clear(base)
            reply = await self._redirected(request, base, shown.header)
            if reply.response.status not in _DOUBTED or not reply.is_home:
                return reply
            if tries == _AUTHORIZED_TRIES:
                return reply
            try:
                is_worth_it = await self._is_worth_another_try(reply, request, shown)
            except BaseException:
                reply.response.release()
                raise
            if not is_worth_it:
                return reply
            await answers.read_head(reply.response, bound=self.settings.error_size)

    def _check_clear(self, base: str) -> None:
        """Raise CredentialError if a secret of ours must not be shown there."""
        if self._authorizer.has_credential:
            places.check_clear(base, is_insecure=self._is_insecure)
        self._cleared = base

    async def _is_worth_another_try(
        self, reply: _Reply, request: Request, shown: auth.Grant
    ) -> bool:
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
        method, body, headers = request.method, request.body, request.headers
        url, is_home = self._start(request.path, base)
        hops = 0
        while True:
            shown = {**headers, "Authorization": header} if header and is_home else headers
            role = guard.Role.HOME if is_home else guard.Role.ELSEWHERE
            response = await self._connections.send(
                method, url, role=role, headers=shown, data=body
            )
            if response.status not in _REDIRECTS:
                return _Reply(response, is_home, is_home)
            location = response.headers.get("Location")
            if not location:
                return _Reply(response, is_home, is_home)
            await answers.read_head(response, bound=self.settings.error_size)
            hops += 1
            if hops > self.settings.redirects:
                raise errors.TransportError(
                    f"{method} {redact.url(self._start(request.path, base)[0])}: "
                    f"stopped after {self.settings.redirects} redirects"
                )
            url = places.redirect_target(url, location)
            # Whoever was sent away and comes back is a stranger.
            is_home = is_home and places.origin_of(url) == places.origin_of(base)
            if response.status not in _KEEPING_METHOD and method not in {"GET", "HEAD"}:
                method, body = "GET", None
                headers = {}

    @staticmethod
    def _start(path: str, base: str) -> tuple[str, bool]:
        """The URL of a request, and whether it is on the registry itself."""
        if path.startswith("/") and not path.startswith("//"):
            return base + path, True
        url = places.redirect_target(base, path)
        return url, places.origin_of(url) == places.origin_of(base)

    def _forget_scheme(self) -> None:
        """Find out anew next time: what answers at this host may be another by then."""
        self._scheme.forget()
        self._known_base = ""

    async def _base(self) -> str:
        self._known_base = f"{await self._scheme.get()}://{self._wire_host}"
        return self._known_base

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
