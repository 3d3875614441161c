"""The types of reviews: who am I, what may I do, whose token is this.

``kubectl auth whoami`` asks the first, ``kubectl auth can-i --list`` the second; the third is for
servers that are shown tokens of this one.
"""

from collections.abc import Mapping

from ocisource.apiserver import builtintypes as types

_USER = f"{types.AUTHENTICATION}.UserInfo"

DEFINITIONS: Mapping[str, types.Schema] = {
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
