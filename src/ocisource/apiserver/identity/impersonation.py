"""Impersonation: the administrator asks as somebody else (``kubectl --as``).

Headers, as kube-apiserver reads them: ``Impersonate-User``, ``Impersonate-Group`` (any number of
them), ``Impersonate-Uid``; ``Impersonate-Extra-*`` is told to who asks who they are, and means
nothing else here. Whoever is impersonated has the rights of the groups that are named, and of no
others.
"""

import urllib.parse

import multidict

from ocisource.apiserver.identity import access
from ocisource.apiserver.wording import failures

_USER = "Impersonate-User"
_GROUP = "Impersonate-Group"
_UID = "Impersonate-Uid"
_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


def asked_for(user: access.User, headers: multidict.CIMultiDictProxy[str]) -> access.User:
    """Who asks: ``user``, or whom it impersonates; raises APIStatusError."""
    named = sorted({name for name in headers if name.lower().startswith(_PREFIX)})
    if not named:
        return user
    name, groups = headers.get(_USER, ""), tuple(headers.getall(_GROUP, ()))
    if not name:
        raise failures.internal(f"requested {', '.join(named)} without impersonating a user")
    if access.MASTERS not in user.groups:
        raise failures.forbidden(
            f'users "{name}" is forbidden: User "{user.name}" cannot impersonate resource "users" '
            'in API group "" at the cluster scope',
            group="",
            plural="users",
            name=name,
        )
    return access.User(
        name,
        (*(groups or _groups_of(name)), access.AUTHENTICATED),
        headers.get(_UID, ""),
        _extra(headers),
    )


def _extra(
    headers: multidict.CIMultiDictProxy[str],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys in small letters, as kube-apiserver reads them, with their values."""
    found: dict[str, list[str]] = {}
    for name, value in headers.items():
        if name.lower().startswith(_EXTRA):
            key = urllib.parse.unquote(name.lower().removeprefix(_EXTRA))
            found.setdefault(key, []).append(value)
    return tuple((key, tuple(values)) for key, values in sorted(found.items()))


def _groups_of(name: str) -> tuple[str, ...]:
    """The groups that a service account always has."""
    namespace, colon, _ = name.removeprefix(_ACCOUNT).partition(":")
    if not (name.startswith(_ACCOUNT) and colon):
        return ()
    return (access.ACCOUNTS, f"{access.ACCOUNTS}:{namespace}")
