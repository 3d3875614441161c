"""Reviews: questions that are posted like objects and answered at once, never stored.

``selfsubjectaccessreviews`` (``kubectl auth can-i``), ``selfsubjectrulesreviews`` (``--list``),
``selfsubjectreviews`` (``whoami``) and ``tokenreviews``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ocisource.apiserver.identity import access

Object = dict[str, Any]
Answer = Callable[[Object, access.User], Object]

_ANY = ["*"]


def access_review(review: Mapping[str, Any], user: access.User) -> Object:
    """Whether the asker may do one thing."""
    spec = review.get("spec") or {}
    asked = spec.get("resourceAttributes") or {}
    other = spec.get("nonResourceAttributes") or {}
    parts = (asked.get("resource", ""), asked.get("subresource", ""))
    question = access.Question(
        (asked or other).get("verb", ""),
        asked.get("group", ""),
        "/".join(filter(None, parts)),
        asked.get("namespace", ""),
        asked.get("name", ""),
        other.get("path", ""),
    )
    return {"allowed": access.allows(user, question)}


def rules_review(_review: Mapping[str, Any], user: access.User) -> Object:
    """All that the asker may do; here it is the same in every namespace."""
    reviews = [
        {"verbs": ["create"], "apiGroups": [group], "resources": list(resources)}
        for group, resources in access.REVIEWS.items()
    ]
    rules, paths = reviews, [{"verbs": ["get"], "nonResourceURLs": _ANY}]
    if access.MASTERS in user.groups:
        rules = [{"verbs": _ANY, "apiGroups": _ANY, "resources": _ANY}, *reviews]
        paths = [{"verbs": _ANY, "nonResourceURLs": _ANY}]
    elif access.READERS in user.groups:
        verbs = sorted(access.READ_VERBS)
        core = ["configmaps", "events", "namespaces", "serviceaccounts"]
        readable = {"verbs": verbs, "apiGroups": [""], "resources": core}
        # A rule cannot say "every group but the core's": the answer names what is known.
        rules = [readable, *reviews]
    return {
        "resourceRules": rules,
        "nonResourceRules": paths,
        "incomplete": access.READERS in user.groups,
    }


def self_review(_review: Mapping[str, Any], user: access.User) -> Object:
    """Who the asker is."""
    return {"userInfo": user_info(user)}


def user_info(user: access.User) -> Object:
    """A caller as ``authentication.k8s.io`` describes one."""
    shown: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        shown["uid"] = user.uid
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra}
    return shown


def token_review(review: Mapping[str, Any], authority: access.Authority, *, now: float) -> Object:
    """Whose a token is, for the audiences asked about."""
    spec = review.get("spec") or {}
    audiences = spec.get("audiences") or [access.ISSUER]
    user = authority.known(spec.get("token", ""), now=now, audiences=audiences)
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user_info(user), "audiences": audiences}
