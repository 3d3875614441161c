"""One request to one registry host: shown what it asks for, followed where it leads.

From the top::

    answer          tells the registry itself from its token service; shows what it asked for, and
                    renews what it refuses, once
    _sent           follows redirects by hand, without credentials
    connections     sends one request on a pooled connection

No request is preceded by a ping, with two exceptions: where plain HTTP is allowed, the scheme is
found out once (`GET /v2/` over HTTPS, then HTTP); and where a registry answers 403 or 404 to nobody
although we hold a credential, `GET /v2/` tells how it wants to be asked.
"""

import http
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
import msgspec

from ocisource import errors
from ocisource.net import address, redact
from ocisource.oci import limits
from ocisource.oci.authentication import auth
from ocisource.oci.hosts import answers, connections, guard, places
from ocisource.oci.transport import schemes

WIRE_HOSTS: Mapping[str, str] = {"index.docker.io": "registry-1.docker.io"}

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_REFUSED = frozenset({400, 401, 403})
_HIDDEN = frozenset({403, 404})
_DOUBTED = _REFUSED | _HIDDEN
_AUTHORIZED_TRIES = 3  # as nobody, with a token, with the scope that was named then
_NO_HEADERS: Mapping[str, str] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One logical request; ``path`` starts with ``/v2/`` and is quoted, or is a whole URL here.

    ``attempts`` None means as the settings say. ``is_token`` marks a request to a token service: it
    is never redirected, because the credential is on board.
    """

    method: str
    path: str
    scope: str = ""
    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes | None = None
    attempts: int | None = None
    is_token: bool = False

    def __repr__(self) -> str:
        """Without headers and body: they may hold a credential."""
        return f"Request({self.method} {redact.url(self.path)})"


class Reply(NamedTuple):
    """A response, whether it came from the registry itself, and whether its wishes bind us."""

    response: aiohttp.ClientResponse
    is_home: bool = True
    is_heard: bool = True


class Exchange:
    """What one registry host was found to want of one credential."""

    def __init__(
        self,
        way: connections.Way,
        *,
        pooled: connections.Connections,
        authorizer: auth.Authorizer,
        settings: limits.RegistrySettings,
    ) -> None:
        self._wire_host = WIRE_HOSTS.get(way.host, way.host)
        self._is_insecure = way.is_insecure
        self._connections = pooled
        self._authorizer = authorizer
        self._settings = settings
        self._known_base = ""  # scheme and host, once the scheme has been found out
        self._cleared = ""  # the base URL that credentials may be shown to
        name, _ = address.split_port(way.host)
        self._scheme = schemes.Scheme(
            self._probe,
            is_plain_http_allowed=way.is_insecure or address.is_plain_http_host(name),
            head_start=settings.head_start,
        )

    async def base(self) -> str:
        """Scheme and host; raises TransportError if the scheme cannot be found out."""
        self._known_base = f"{await self._scheme.get()}://{self._wire_host}"
        return self._known_base

    def forget_scheme(self) -> None:
        """Find out anew next time: what answers at this host may be another by then."""
        self._scheme.forget()
        self._known_base = ""

    def is_home(self, url: str) -> bool:
        """Whether an answer from there is the registry's own."""
        home = f"{url.partition(':')[0]}://{self._wire_host}"
        return places.origin_of(url) == places.origin_of(home)

    async def close(self) -> None:
        """End a search for the scheme."""
        await self._scheme.close()

    async def answer(self, request: Request) -> Reply:
        """The response, whatever its status; raises TransportError, UnauthorizedError."""
        base = self._known_base or await self.base()
        if request.is_token:
            return await self._asked_token_service(request, base)
        if not request.scope:
            return await self._sent(request, base, None)
        tries = 0
        while True:
            tries += 1
            shown = self._authorizer.ready(request.scope)
            if shown is None:
                shown = await self._authorizer.grant(request.scope)
            if shown.header is not None and base != self._cleared:
                self._check_clear(base)
            reply = await self._sent(request, base, shown.header)
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
            await answers.read_head(reply.response, bound=self._settings.error_size)

    async def _asked_token_service(self, request: Request, base: str) -> Reply:
        is_home = places.origin_of(request.path) == places.origin_of(base)
        role = guard.Role.HOME if is_home else guard.Role.REALM
        response = await self._connections.send(
            request.method, request.path, role=role, headers=request.headers, data=request.body
        )
        return Reply(response, is_home)

    def _check_clear(self, base: str) -> None:
        """Raise CredentialError if a secret of ours must not be shown there."""
        if self._authorizer.has_credential:
            places.check_clear(base, is_insecure=self._is_insecure)
        self._cleared = base

    async def _is_worth_another_try(
        self, reply: Reply, request: Request, shown: auth.Grant
    ) -> bool:
        status = reply.response.status
        if status in _REFUSED:
            wanted = reply.response.headers.getall("WWW-Authenticate", [])
            if self._authorizer.learn(status, wanted, scope=request.scope, shown=shown):
                return True
        if status not in _HIDDEN or shown.header is not None or self._authorizer.is_settled:
            return False
        return self._authorizer.has_credential and await self._ping(request.scope)

    async def _ping(self, scope: str) -> bool:
        """Ask how the registry wants to be asked; True if it said so."""
        reply = await self._sent(Request(method="GET", path="/v2/"), await self.base(), None)
        wanted = reply.response.headers.getall("WWW-Authenticate", [])
        answer = await answers.read_head(reply.response, bound=self._settings.error_size)
        # A registry that lets everybody in at the door takes Basic further inside.
        return self._authorizer.learn(
            http.HTTPStatus.UNAUTHORIZED
            if answer.status < http.HTTPStatus.BAD_REQUEST
            else answer.status,
            wanted,
            scope=scope,
            shown=auth.NOTHING,
        )

    async def _sent(self, request: Request, base: str, header: str | None) -> Reply:
        """The response to a request that shows ``header``, through redirects."""
        path = request.path
        if path[0] == "/" and path[1:2] != "/":
            url, is_home = base + path, True
        else:
            url = places.redirect_target(base, path)
            is_home = places.origin_of(url) == places.origin_of(base)
        method, body, headers = request.method, request.body, request.headers
        hops = 0
        while True:
            response = await self._connections.send(
                method,
                url,
                role=guard.Role.HOME if is_home else guard.Role.ELSEWHERE,
                headers={**headers, "Authorization": header} if header and is_home else headers,
                data=body,
            )
            if response.status not in _REDIRECTS:
                return Reply(response, is_home, is_home)
            location = response.headers.get("Location")
            if not location:
                return Reply(response, is_home, is_home)
            await answers.read_head(response, bound=self._settings.error_size)
            hops += 1
            if hops > self._settings.redirects:
                raise errors.TransportError(
                    f"{method} {redact.url(base + path if path[0] == '/' else path)}: "
                    f"stopped after {self._settings.redirects} redirects"
                )
            url = places.redirect_target(url, location)
            # Whoever was sent away and comes back is a stranger.
            is_home = is_home and places.origin_of(url) == places.origin_of(base)
            if response.status not in _KEEPING_METHOD and method not in {"GET", "HEAD"}:
                method, body = "GET", None
                headers = _NO_HEADERS

    async def _probe(self, scheme: str) -> int:
        """Status of `GET /v2/` by a scheme; what it asks for is taken note of."""
        base = f"{scheme}://{self._wire_host}"
        response = await self._connections.send(
            "GET", f"{base}/v2/", role=guard.Role.HOME, headers=_NO_HEADERS
        )
        answer = await answers.read_head(response, bound=self._settings.error_size)
        wanted = response.headers.getall("WWW-Authenticate", [])
        self._authorizer.learn(answer.status, wanted, scope="", shown=auth.NOTHING)
        return answer.status
