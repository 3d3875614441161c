"""What is asked rather than stored: tokens for service accounts, access reviews, finalizing.

``serviceaccounts/NAME/token`` signs a token, reviews are answered by ``reviews``, and
``namespaces/NAME/finalize`` takes a namespace's finalizers away.
"""

import copy
from collections.abc import Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver import admission, kinds, objects, reading, requests, verbs, watching
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import answers, bodies, presenting
from ocisource.apiserver.history import records, store
from ocisource.apiserver.identity import access, reviews
from ocisource.apiserver.wording import failures
from ocisource.wire import timestamps

_TOKEN_REVIEWS = "tokenreviews.authentication.k8s.io"  # noqa: S105 - a resource's name
_REVIEWS: Mapping[str, reviews.Answer] = {
    "selfsubjectaccessreviews.authorization.k8s.io": reviews.access_review,
    "selfsubjectrulesreviews.authorization.k8s.io": reviews.rules_review,
    "selfsubjectreviews.authentication.k8s.io": reviews.self_review,
}
_ACCOUNTS = "serviceaccounts"
_SECRETS = "secrets"
_BINDING = {"Secret": _SECRETS, "Pod": "pods", "Node": "nodes"}

Object = dict[str, Any]


class Subresources:
    """Answers calls that read or write no stored object of their kind."""

    def __init__(
        self,
        held: store.Store,
        written: objects.Objects,
        *,
        clock: watching.Clock,
        source: objects.Source,
    ) -> None:
        self._store = held
        self._objects = written
        self._clock = clock
        self._source = source
        # Set by whoever composes the server: it needs this object's store to look accounts up.
        self.authority: access.Authority | None = None

    def account_uid(self, namespace: str, name: str) -> str | None:
        """The uid of a service account, None if there is none."""
        return self._uid(_ACCOUNTS, namespace, name)

    def secret_uid(self, namespace: str, name: str) -> str | None:
        """The uid of a Secret, None if there is none."""
        return self._uid(_SECRETS, namespace, name)

    def _uid(self, resource: str, namespace: str, name: str) -> str | None:
        record = self._store.get(records.Key(resource, namespace, name))
        return record.decode()["metadata"]["uid"] if record else None

    def handles(self, call: verbs.Call) -> bool:
        """Whether a call is for this object rather than for the verbs."""
        return self._road(call) is not None

    async def answer(self, call: verbs.Call, user: access.User) -> answers.Answer:
        """Answer a call; raises APIStatusError."""
        match self._road(call):
            case "review" if call.method == "POST":
                return await self._review(call, user)
            case "token" if call.method == "POST":
                return await self._token(call)
            case "finalize" if call.method == "PUT":
                return await self._finalize(call)
        raise failures.method_not_allowed()

    def _road(self, call: verbs.Call) -> str | None:
        qualified, below = call.kind.resource.qualified, call.target.subresource
        if qualified == _TOKEN_REVIEWS or qualified in _REVIEWS:
            return "review"
        if (qualified, below) == (_ACCOUNTS, "token"):
            return "token"
        return "finalize" if (qualified, below) == (objects.NAMESPACES, "finalize") else None

    async def _review(self, call: verbs.Call, user: access.User) -> answers.Answer:
        review = await self._read(call, call.kind)
        answer = _REVIEWS.get(call.kind.resource.qualified)
        if answer is not None:
            status = answer(review, user)
        else:
            assert self.authority is not None
            status = reviews.token_review(review, self.authority, now=self._clock.wall())
        review["metadata"] = {"creationTimestamp": None, **(review.get("metadata") or {})}
        review["status"] = status
        return self._shown(call, review)

    async def _token(self, call: verbs.Call) -> answers.Answer:
        account = reading.Reader(self._store).get(call.kind, call.key).decode()
        request = await self._read(call, _token_kind())
        assert self.authority is not None
        spec = request["spec"]
        now = self._clock.wall()
        expires = now + spec["expirationSeconds"]
        audiences = spec.get("audiences") or [access.ISSUER]
        spec["audiences"] = audiences
        namespace, name = call.key.namespace, call.key.name
        claims = {
            "aud": audiences,
            "exp": int(expires),
            "iat": int(now),
            "iss": access.ISSUER,
            "jti": self._source.uid(),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
                **self._bound(spec.get("boundObjectRef"), namespace),
            },
            "nbf": int(now),
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        request["metadata"] = {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": timestamps.format_seconds(now),
        }
        request["status"] = {
            "token": self.authority.sign(claims),
            "expirationTimestamp": timestamps.format_seconds(expires),
        }
        return self._shown(call, request)

    def _bound(self, ref: Mapping[str, Any] | None, namespace: str) -> Object:
        """The claim that binds a token to another object's life; raises APIStatusError."""
        if not ref:
            return {}
        version, kind, name = (ref.get(part, "") for part in ("apiVersion", "kind", "name"))
        group, _, version = version.rpartition("/")
        if group or kind not in _BINDING:
            raise failures.bad_request(
                f"cannot bind token to object of type {group}/{version}, Kind={kind}"
            )
        # Pods and Nodes can be named, but there are none here.
        uid = self.secret_uid(namespace, name) if kind == "Secret" else None
        if uid is None:
            raise failures.no_object(_BINDING[kind], name)
        if ref.get("uid", uid) != uid:
            raise failures.rebound(kind, name, ref["uid"])
        return {"secret": {"name": name, "uid": uid}}

    async def _finalize(self, call: verbs.Call) -> answers.Answer:
        options = requests.WriteOptions.parse(
            call.query, kind="UpdateOptions", user_agent=call.user_agent
        )
        decoded = await _decoded(call)
        update = objects.Update(call.kind, call.key, options, subresource="finalize")
        written = await self._objects.update(update, lambda _: copy.deepcopy(decoded))
        body = presenting.Presenter(call.kind, call.form).obj(written.obj, now=self._clock.wall())
        return answers.Answer(body, 200, call.form.content_type)

    async def _read(self, call: verbs.Call, kind: kinds.Kind) -> Object:
        """The body as a checked object of a kind; raises APIStatusError."""
        decoded = await _decoded(call)
        options = requests.WriteOptions.parse(
            call.query, kind="CreateOptions", user_agent=call.user_agent
        )
        obj, _ = admission.admit(kind, decoded, options)
        if kind.rules is builtins.TOKEN_REQUEST:
            obj.setdefault("spec", {})
        kind.rules.prepare(obj, None)
        if found := kind.rules.check(obj, None):
            raise kind.invalid(obj["metadata"].get("name", ""), found)
        return obj

    def _shown(self, call: verbs.Call, obj: Object) -> answers.Answer:
        return answers.document(obj, call.form, code=201)


async def _decoded(call: verbs.Call) -> bodies.Decoded:
    data = await call.body()
    try:
        return bodies.decode(data, content_type=call.content_type)
    except errors.InvalidInputError as error:
        raise failures.bad_request(
            f"couldn't get version/kind; json parse error: {error}"
        ) from error


def _token_kind() -> kinds.Kind:
    resource = builtins.TOKEN_REQUEST.resource
    return kinds.Kind(resource, resource.versions[0], builtins.TOKEN_REQUEST)
