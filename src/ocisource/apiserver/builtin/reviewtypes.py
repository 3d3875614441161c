"""The types of reviews: who am I, what may I do, whose token is this.

``kubectl auth whoami`` asks the first, ``kubectl auth can-i --list`` the second; the third is for
servers that are shown tokens of this one.
"""

from collections.abc import Mapping

from ocisource.apiserver.builtin import builtintypes as types

_USER = f"{types.AUTHENTICATION}.UserInfo"

DEFINITIONS: Mapping[str, types.Schema] = {
    f"{types.AUTHORIZATION}.NonResourceAttributes": types.struct(
        "NonResourceAttributes",
        "A request for a path that is no resource.",
        {"path": types.text("The path."), "verb": types.text("The HTTP method, in lower case.")},
    ),
    f"{types.AUTHORIZATION}.ResourceAttributes": types.struct(
        "ResourceAttributes",
        "A request for a resource.",
        {
            "group": types.text("The group; * is all."),
            "name": types.text("The object's name; empty is all."),
            "namespace": types.text("The namespace; empty is all or none."),
            "resource": types.text("The resource; * is all."),
            "subresource": types.text("The subresource; * is all."),
            "verb": types.text("get, list, watch, create, update, delete, ...; * is all."),
            "version": types.text("The version; * is all."),
        },
    ),
    f"{types.AUTHORIZATION}.SelfSubjectAccessReviewSpec": types.struct(
        "SelfSubjectAccessReviewSpec",
        "The request in question; exactly one member is set.",
        {
            "nonResourceAttributes": types.ref(
                f"{types.AUTHORIZATION}.NonResourceAttributes", "A request for a path."
            ),
            "resourceAttributes": types.ref(
                f"{types.AUTHORIZATION}.ResourceAttributes", "A request for a resource."
            ),
        },
    ),
    f"{types.AUTHORIZATION}.SubjectAccessReviewStatus": types.struct(
        "SubjectAccessReviewStatus",
        "The answer.",
        {
            "allowed": types.flag("Whether the request would be allowed.", is_pointer=False)
            | {"x-go-always": False},
            "denied": types.flag("Whether it would be refused for certain.", is_pointer=False),
            "evaluationError": types.text("What went wrong in finding out."),
            "reason": types.text("Why."),
        },
        required=("allowed",),
    ),
    f"{types.AUTHORIZATION}.SelfSubjectAccessReview": types.kind(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "The question whether the asker may do something.",
        {
            "spec": types.value(
                f"{types.AUTHORIZATION}.SelfSubjectAccessReviewSpec", "The question."
            ),
            "status": types.value(
                f"{types.AUTHORIZATION}.SubjectAccessReviewStatus", "The answer."
            ),
        },
        required=("spec",),
    ),
    f"{types.AUTHENTICATION}.BoundObjectReference": types.struct(
        "BoundObjectReference",
        "The object a token lives and dies with.",
        {
            "apiVersion": types.text("Its API version."),
            "kind": types.text("Its kind."),
            "name": types.text("Its name."),
            "uid": types.text("Its uid.", **{"x-go-type": "types.UID"}),
        },
    ),
    f"{types.AUTHENTICATION}.TokenRequestSpec": types.struct(
        "TokenRequestSpec",
        "What kind of token is wanted.",
        {
            "audiences": types.several(types.STRING, "For whom it is meant.")
            | {"x-go-always": None},
            "boundObjectRef": types.ref(
                f"{types.AUTHENTICATION}.BoundObjectReference", "The object it lives and dies with."
            )
            | {"x-go-always": None},
            "expirationSeconds": types.integer("Seconds it is good for.", bits=64, is_pointer=True)
            | {"x-go-always": None},
        },
        required=("audiences",),
    ),
    f"{types.AUTHENTICATION}.TokenRequestStatus": types.struct(
        "TokenRequestStatus",
        "The token.",
        {
            "expirationTimestamp": types.time("Until when it is good.", is_always=True),
            "token": types.text("The token itself.", **{"x-go-always": ""}),
        },
        required=("token", "expirationTimestamp"),
    ),
    f"{types.AUTHENTICATION}.TokenRequest": types.kind(
        "authentication.k8s.io",
        "TokenRequest",
        "The wish for a token of a service account.",
        {
            "spec": types.value(f"{types.AUTHENTICATION}.TokenRequestSpec", "What is wanted."),
            "status": types.value(f"{types.AUTHENTICATION}.TokenRequestStatus", "What was given."),
        },
        required=("spec",),
    ),
    _USER: types.struct(
        "UserInfo",
        "Who somebody is.",
        {
            "extra": types.mapping(types.several(types.STRING), "What else is known."),
            "groups": types.several(types.STRING, "The groups."),
            "uid": types.text("The identity."),
            "username": types.text("The name."),
        },
    ),
    f"{types.AUTHENTICATION}.SelfSubjectReviewStatus": types.struct(
        "SelfSubjectReviewStatus", "The answer.", {"userInfo": types.ref(_USER, "The asker.")}
    ),
    f"{types.AUTHENTICATION}.SelfSubjectReview": types.kind(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "The question who the asker is.",
        {"status": types.ref(f"{types.AUTHENTICATION}.SelfSubjectReviewStatus", "The answer.")},
    ),
    f"{types.AUTHENTICATION}.TokenReviewSpec": types.struct(
        "TokenReviewSpec",
        "The token in question.",
        {
            "audiences": types.several(types.STRING, "For whom it should be meant."),
            "token": types.text("The token."),
        },
    ),
    f"{types.AUTHENTICATION}.TokenReviewStatus": types.struct(
        "TokenReviewStatus",
        "The answer.",
        {
            "audiences": types.several(types.STRING, "For whom it is meant, among those asked."),
            "authenticated": types.flag("Whether it is good.", is_pointer=False),
            "error": types.text("Why it is not."),
            "user": types.ref(_USER, "Whose it is."),
        },
    ),
    f"{types.AUTHENTICATION}.TokenReview": types.kind(
        "authentication.k8s.io",
        "TokenReview",
        "The question whose a token is.",
        {
            "spec": types.ref(f"{types.AUTHENTICATION}.TokenReviewSpec", "The question."),
            "status": types.ref(f"{types.AUTHENTICATION}.TokenReviewStatus", "The answer."),
        },
        required=("spec",),
    ),
    f"{types.AUTHORIZATION}.SelfSubjectRulesReviewSpec": types.struct(
        "SelfSubjectRulesReviewSpec",
        "Where.",
        {"namespace": types.text("The namespace.")},
    ),
    f"{types.AUTHORIZATION}.ResourceRule": types.struct(
        "ResourceRule",
        "What may be done with resources.",
        {
            "apiGroups": types.several(types.STRING, "The groups; * is all."),
            "resourceNames": types.several(types.STRING, "The objects' names; none is all."),
            "resources": types.several(types.STRING, "The resources; * is all."),
            "verbs": types.several(types.STRING, "The verbs; * is all."),
        },
        required=("verbs",),
    ),
    f"{types.AUTHORIZATION}.NonResourceRule": types.struct(
        "NonResourceRule",
        "What may be done with other paths.",
        {
            "nonResourceURLs": types.several(types.STRING, "The paths; * at the end is all below."),
            "verbs": types.several(types.STRING, "The HTTP methods; * is all."),
        },
        required=("verbs",),
    ),
    f"{types.AUTHORIZATION}.SubjectRulesReviewStatus": types.struct(
        "SubjectRulesReviewStatus",
        "The answer.",
        {
            "evaluationError": types.text("What went wrong in finding out."),
            "incomplete": types.flag("Whether there may be more.", is_pointer=False),
            "nonResourceRules": types.several(
                types.ref(f"{types.AUTHORIZATION}.NonResourceRule"), "For other paths."
            ),
            "resourceRules": types.several(
                types.ref(f"{types.AUTHORIZATION}.ResourceRule"), "For resources."
            ),
        },
        required=("resourceRules", "nonResourceRules", "incomplete"),
    ),
    f"{types.AUTHORIZATION}.SelfSubjectRulesReview": types.kind(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        "The question what the asker may do in a namespace.",
        {
            "spec": types.ref(f"{types.AUTHORIZATION}.SelfSubjectRulesReviewSpec", "Where."),
            "status": types.ref(f"{types.AUTHORIZATION}.SubjectRulesReviewStatus", "The answer."),
        },
        required=("spec",),
    ),
}
