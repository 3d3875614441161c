"""How one registry wants one credential shown: Basic, or a token of its token service.

Rules, in order:

1. Nothing is sent before the registry has asked for it, except a ready registry token.
2. Of several challenges the first usable one counts; Basic is of no use without a user.
3. A challenge is remembered for the scope it met, and presumed of scopes that have met none, so
   that later requests bring their token along without being refused first. Some hosts name another
   realm for each repository. Tokens are kept per scope until shortly before they expire.
4. The scope a challenge names is asked for first, then the one we need: some servers read only the
   first.
5. A refused token is thrown away and asked for once more; so is one answered by 403 or 400, which
   is how ECR says that it expired, unless it was brand-new.

How a token service is asked is in ``tokenservice.py``.
"""

import dataclasses
import http
from collections.abc import Callable, Iterable

from ocisource import errors
from ocisource.oci import flights, limits
from ocisource.oci.authentication import challenge, credentials, tokenservice
from ocisource.oci.hosts import answers

_MARGIN_SHARE = 0.1  # of a token's life
_EXPIRED_STATUSES = frozenset({400, 403})
_ABOUT_CREDENTIALS = frozenset({400, 401, 403})


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What a request shows: an ``Authorization`` value or nothing, and whether it is brand-new."""

    header: str | None = dataclasses.field(default=None, repr=False)
    is_fresh: bool = False


NOTHING = Grant()


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    grant: Grant
    renew_at: float  # on the monotonic clock


class Authorizer:
    """The memory of one registry's challenges and tokens, for one credential."""

    def __init__(
        self,
        host: str,
        credential: credentials.Credential | None,
        *,
        service: tokenservice.TokenService,
        settings: limits.RegistrySettings,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._host = host
        self._credential = credential or credentials.Credential()
        self._service = service
        self._settings = settings
        self._clock = clock
        self._wall = wall
        basic = self._credential.basic
        self._basic = Grant(f"Basic {basic}") if basic else NOTHING
        ready = self._credential.registry_token
        self._registry_token = Grant(f"Bearer {ready}") if ready else None
        self._latest: challenge.Challenge | None = None  # of the host, whatever it was asked
        self._challenges: dict[str, challenge.Challenge] = {}  # our scope: what it met
        self._wanted: dict[str, str] = {}  # our scope: the scope a challenge named for it
        self._tokens: dict[str, _Token] = {}
        self._requests: flights.Flights[_Token] = flights.Flights()

    @property
    def has_credential(self) -> bool:
        """Whether there is anything to show."""
        return not self._credential.is_anonymous

    @property
    def is_settled(self) -> bool:
        """Whether the registry has said what it wants."""
        return self._latest is not None or self._registry_token is not None

    def ready(self, scope: str) -> Grant | None:
        """What to show for a scope if it is at hand; None if a token must be asked for."""
        token = self._tokens.get(scope)
        if token is not None:
            return token.grant if self._clock() < token.renew_at else None
        if self._registry_token is not None:
            return self._registry_token
        known = self._known(scope)
        if known is None:
            return NOTHING
        return self._basic if known.scheme == "basic" else None

    async def grant(self, scope: str) -> Grant:
        """What to show for a scope; raises UnauthorizedError if the token service refuses."""
        ready = self.ready(scope)
        if ready is not None:
            return ready
        token = await self._requests.share(scope, lambda: self._new_token(scope))
        return Grant(token.grant.header, is_fresh=True)

    def learn(self, status: int, wanted: Iterable[str], *, scope: str, shown: Grant) -> bool:
        """Take note of a refusal; returns whether the request is worth another try.

        ``wanted`` are the answer's ``WWW-Authenticate`` values, ``shown`` what the request showed.
        """
        if self._registry_token is not None:
            return False
        known = self._known(scope)
        if status in _EXPIRED_STATUSES:
            is_token = known is not None and known.scheme == "bearer"
            if shown.header is None or shown.is_fresh or not is_token:
                return False
            self._drop(scope, shown)
            return True
        if status != http.HTTPStatus.UNAUTHORIZED:
            return False
        asked = self._pick(challenge.parse(wanted), is_first=known is None)
        if asked is None:
            return False
        if asked.scheme == "basic":
            self._tokens.pop(scope, None)
            self._remember(asked, scope)
            return shown.header != self._basic.header
        return self._learn_bearer(asked, scope=scope, shown=shown)

    def _learn_bearer(self, asked: challenge.Challenge, *, scope: str, shown: Grant) -> bool:
        is_new_scope = bool(asked.scope) and self._wanted.get(scope, scope) != asked.scope
        if is_new_scope:
            self._wanted[scope] = asked.scope
        # The scope belongs to the request, the rest of the challenge to the host.
        parameters = {"realm": asked.realm, "service": asked.service}
        asked_of_host = challenge.Challenge(asked.scheme, parameters)
        is_news = self._known(scope) != asked_of_host
        if is_news:
            self._tokens.pop(scope, None)
        self._remember(asked_of_host, scope)
        self._drop(scope, shown)
        return shown.header is None or is_news or is_new_scope or not shown.is_fresh

    def _known(self, scope: str) -> challenge.Challenge | None:
        """What a scope has met, or else is presumed to meet."""
        return self._challenges.get(scope) or self._latest

    def _remember(self, asked: challenge.Challenge, scope: str) -> None:
        self._latest = asked
        if scope:
            self._challenges[scope] = asked

    def _pick(
        self, asked: Iterable[challenge.Challenge], *, is_first: bool
    ) -> challenge.Challenge | None:
        for each in asked:
            if each.scheme == "basic" and self._credential.basic:
                return each
            if each.scheme == "bearer" and each.realm:
                return each
        # Registries that refuse without a challenge want what their users were told: Basic.
        if is_first and self._credential.basic:
            return challenge.Challenge("basic")
        return None

    def _drop(self, scope: str, shown: Grant) -> None:
        """Forget the token that was shown, unless another has taken its place."""
        token = self._tokens.get(scope)
        if token is not None and token.grant.header == shown.header:
            del self._tokens[scope]

    async def _new_token(self, scope: str) -> _Token:
        known = self._known(scope)
        assert known is not None
        named = self._wanted.get(scope)
        scopes = [named, scope] if named and named != scope else [scope]
        asked_at = self._clock()
        answer = await tokenservice.ask(
            self._service, self._credential, asked=known, scopes=[each for each in scopes if each]
        )
        if answer.status != http.HTTPStatus.OK:
            if answer.status < http.HTTPStatus.BAD_REQUEST:
                answer = dataclasses.replace(answer, body=b"")  # a token, perhaps
            is_about_us = answer.status in _ABOUT_CREDENTIALS
            raise answers.refusal(
                answer,
                hint=self.refusal_hint
                if is_about_us
                else f"{self._host} names this address as its token service",
                # 404 is said of the service's address, not of what was to be read.
                kind=None if is_about_us else errors.RegistryError,
            )
        token, lifetime = tokenservice.read(answer, self._settings, now=self._wall())
        margin = min(self._settings.token_margin, _MARGIN_SHARE * lifetime)
        made = _Token(Grant(f"Bearer {token}"), asked_at + lifetime - margin)
        self._tokens[scope] = made
        return made

    @property
    def refusal_hint(self) -> str:
        """What to do when the registry or its token service refuses."""
        if not self.has_credential:
            return f"no credential for {self._host} was given; a private repository needs one"
        return (
            f"the credential given for {self._host} is not accepted: wrong, expired, or not allowed"
            " here; if the repository is public, it can be read without one"
        )

    async def close(self) -> None:
        """End token requests under way."""
        await self._requests.close()
