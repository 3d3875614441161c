"""Who asks, and what they may do.

Three sorts of callers: the administrator, a reader who may see everything but Secrets, and
service accounts with a token that this server issued, who may do nothing but ask what they may
do. Tokens are compared by their hash; none is ever logged.
"""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from ocisource.apiserver import requests
from ocisource.apiserver.wording import failures

MASTERS = "system:masters"
READERS = "ocisource:readers"
AUTHENTICATED = "system:authenticated"
ACCOUNTS = "system:serviceaccounts"
ISSUER = "https://kubernetes.default.svc.cluster.local"
MAX_TOKEN = 16 * 1024  # characters
READ_VERBS = frozenset({"get", "list", "watch"})
LEEWAY_SECONDS = 60.0  # that the clock may have gone back since a token was made, as in go-jose
REVIEWS: Mapping[str, tuple[str, ...]] = {
    "authentication.k8s.io": ("selfsubjectreviews",),
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
}
_COORDINATE = 32  # bytes of each half of an ES256 signature (RFC 7518, section 3.4)
_HEADER = {"alg": "ES256", "typ": "JWT"}


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller; ``extra`` is what else was said of one who is impersonated."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """May this be done? ``plural`` may carry a subresource after a slash."""

    verb: str
    group: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @classmethod
    def of(cls, verb: str, target: requests.Target) -> "Question":
        """The question that a request puts."""
        plural = "/".join(part for part in (target.plural, target.subresource) if part)
        return cls(verb, target.group, plural, target.namespace, target.name)


class Accounts(Protocol):
    """Looks up service accounts, and the Secrets that their tokens may be bound to."""

    def account_uid(self, namespace: str, name: str) -> str | None:
        """The uid of a service account, None if there is none."""

    def secret_uid(self, namespace: str, name: str) -> str | None:
        """The uid of a Secret, None if there is none."""


ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
READER = User("ocisource-reader", (READERS, AUTHENTICATED))


class Authority:
    """Knows tokens: the two fixed ones, and those it signed."""

    def __init__(
        self,
        *,
        tokens: Mapping[str, User],
        key: ec.EllipticCurvePrivateKey,
        accounts: Accounts,
    ) -> None:
        self._users = {_hashed(token): user for token, user in tokens.items()}
        self._key = key
        self._accounts = accounts

    def authenticate(self, header: str, *, now: float) -> User:
        """The caller behind an Authorization header; raises APIStatusError (401)."""
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
            raise failures.unauthorized()
        user = self.known(token, now=now)
        if user is None:
            raise failures.unauthorized()
        return user

    def known(self, token: str, *, now: float, audiences: Sequence[str] = (ISSUER,)) -> User | None:
        """Whose a token is, None if it is nobody's; the fixed ones are for this API alone."""
        if len(token) > MAX_TOKEN:
            return None
        user = self._users.get(_hashed(token)) if ISSUER in audiences else None
        return user or self.verify(token, now=now, audiences=audiences)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed token (JWS, compact form) with these claims."""
        signed = f"{_segment(_HEADER)}.{_segment(claims)}"
        der = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        raw = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return f"{signed}.{_base64(raw)}"

    def verify(
        self, token: str, *, now: float, audiences: Sequence[str] = (ISSUER,)
    ) -> User | None:
        """The service account whose token this is, None if it is none of ours or over."""
        claims = self._claims(token)
        if claims is None or not _is_current(claims, now):
            return None
        if claims.get("iss") != ISSUER or not set(audiences) & set(claims.get("aud") or ()):
            return None
        bound = claims.get("kubernetes.io") or {}
        namespace = bound.get("namespace", "")
        account = bound.get("serviceaccount") or {}
        uid = self._accounts.account_uid(namespace, account.get("name", ""))
        if uid is None or uid != account.get("uid"):
            return None
        secret = bound.get("secret")
        if secret and self._accounts.secret_uid(namespace, secret["name"]) != secret["uid"]:
            # It ends with what it was bound to.
            return None
        groups = (ACCOUNTS, f"{ACCOUNTS}:{namespace}", AUTHENTICATED)
        return User(str(claims.get("sub", "")), groups, uid)

    def _claims(self, token: str) -> dict[str, Any] | None:
        parts = token.split(".")
        if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
            return None
        try:
            raw = _unbase64(parts[2])
            r, s = raw[:_COORDINATE], raw[_COORDINATE:]
            der = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            signed = f"{parts[0]}.{parts[1]}".encode()
            self._key.public_key().verify(der, signed, ec.ECDSA(hashes.SHA256()))
            header, claims = json.loads(_unbase64(parts[0])), json.loads(_unbase64(parts[1]))
        except (ValueError, exceptions.InvalidSignature):
            return None
        is_ours = header == _HEADER and isinstance(claims, dict)
        return claims if is_ours else None


def _is_current(claims: Mapping[str, Any], now: float) -> bool:
    begins, ends = claims.get("nbf", 0), claims.get("exp", 0)
    return bool(begins - LEEWAY_SECONDS <= now < ends)


def allows(user: User, question: Question) -> bool:
    """Whether the caller may do it."""
    if MASTERS in user.groups:
        return True
    plural = question.plural.partition("/")[0]
    if question.path:
        return question.verb in {"get", "head"}
    if question.verb == "create" and plural in REVIEWS.get(question.group, ()):
        return True
    if READERS not in user.groups or question.verb not in READ_VERBS:
        return False
    return (question.group, plural) != ("", "secrets")


def check(user: User, question: Question) -> None:
    """Raise APIStatusError (403) unless the caller may do it."""
    if allows(user, question):
        return
    if question.path:
        raise failures.forbidden(
            f'User "{user.name}" cannot {question.verb} path "{question.path}"',
            group="",
            plural="",
            name="",
        )
    plural = question.plural.partition("/")[0]
    subject = f"{plural}.{question.group}" if question.group else plural
    name = f' "{question.name}"' if question.name else ""
    where = (
        f' in the namespace "{question.namespace}"'
        if question.namespace
        else " at the cluster scope"
    )
    raise failures.forbidden(
        f'{subject}{name} is forbidden: User "{user.name}" cannot {question.verb} resource '
        f'"{question.plural}" in API group "{question.group}"{where}',
        group=question.group,
        plural=plural,
        name=question.name,
    )


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _segment(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
