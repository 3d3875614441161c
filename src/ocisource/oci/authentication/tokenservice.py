"""Token services: how one is asked for a token, and its answer read.

Rules:

1. An identity token goes by OAuth2 POST, falling back to GET on 404 and 405; user and password (or
   nobody) go by GET with Basic, falling back to OAuth2 POST on 405.
2. `expires_in` counts from `issued_at`, by the server's own clock if it shows one.

Specifications: distribution/distribution ``docs/spec/auth/token.md`` and ``oauth.md``.
"""

import contextlib
import datetime
import email.utils
import http
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ocisource import errors
from ocisource.oci import limits
from ocisource.oci.authentication import challenge, credentials
from ocisource.oci.hosts import answers

CLIENT_ID = "ocisource"
_TOKEN_USER = "<token>"  # noqa: S105 - docker's mark for "the password is an identity token"
_LIFETIME_MAX = 24 * 3600.0  # seconds; nobody's token is trusted longer
_NO_SUCH_FLOW = frozenset({404, 405})


class TokenService(Protocol):
    """Sends one request to a token service; the realm has been checked before."""

    async def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> answers.Answer:
        """The answer, whatever its status; raises TransportError, TooManyRequestsError."""
        ...


class _TokenJSON(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None
    issued_at: str | None = None

    def __repr__(self) -> str:
        return "_TokenJSON(redacted)"


async def ask(
    service: TokenService,
    credential: credentials.Credential,
    *,
    asked: challenge.Challenge,
    scopes: Sequence[str],
) -> answers.Answer:
    """Ask the realm of a challenge for a token; its answer, whatever the status.

    Raises TransportError, TooManyRequestsError.
    """
    identity = credential.identity_token
    if not identity and credential.username == _TOKEN_USER:
        identity = credential.password
    if identity:
        grant = {"grant_type": "refresh_token", "refresh_token": identity}
        answer = await _post(service, asked, scopes, grant)
        if answer.status not in _NO_SUCH_FLOW:
            return answer
    query = [("service", asked.service)] if asked.service else []
    query += [("scope", each) for each in scopes]
    url = asked.realm + ("&" if "?" in asked.realm else "?") + urllib.parse.urlencode(query)
    basic = credential.basic
    headers = {"Authorization": f"Basic {basic}"} if basic else {}
    answer = await service("GET", url, headers=headers, form=None)
    if answer.status == http.HTTPStatus.METHOD_NOT_ALLOWED and basic and not identity:
        grant = {
            "grant_type": "password",
            "username": credential.username,
            "password": credential.password,
        }
        return await _post(service, asked, scopes, grant)
    return answer


async def _post(
    service: TokenService,
    asked: challenge.Challenge,
    scopes: Sequence[str],
    grant: Mapping[str, str],
) -> answers.Answer:
    form = {
        **grant,
        "service": asked.service,
        "client_id": CLIENT_ID,
        "scope": " ".join(scopes),
    }
    return await service("POST", asked.realm, headers={}, form=form)


def read(
    answer: answers.Answer, settings: limits.RegistrySettings, *, now: float
) -> tuple[str, float]:
    """Token and seconds it still lives; raises RegistryError for an answer without one."""
    try:
        content = msgspec.json.decode(answer.body, type=_TokenJSON, strict=False)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise answers.not_json(answer, "a token", is_secret=True) from None
    token = content.token or content.access_token
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise errors.RegistryError(
            f"{answer.where}: the token service's answer holds no usable token",
            method=answer.method,
            status=answer.status,
        )
    lifetime = content.expires_in or settings.token_lifetime
    lifetime -= _age(content.issued_at, answer.headers, now=now)
    return token, min(max(lifetime, 0.0), _LIFETIME_MAX)


def _age(issued_at: str | None, headers: Mapping[str, str], *, now: float) -> float:
    """Seconds since a token was issued, by the server's own clock if it shows one."""
    if not issued_at:
        return 0.0
    try:
        issued = datetime.datetime.fromisoformat(issued_at)
    except ValueError:
        return 0.0
    if issued.tzinfo is None:
        issued = issued.replace(tzinfo=datetime.UTC)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        now = email.utils.parsedate_to_datetime(headers.get("Date", "")).timestamp()
    return max(0.0, now - issued.timestamp())
