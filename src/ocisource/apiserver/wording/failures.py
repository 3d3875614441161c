"""The API's refusals, with the codes, reasons and texts of ``k8s.io/apimachinery`` ``api/errors``.

Each function builds the error; the caller raises it. :func:`status` turns any of them into the
Status object that is sent.
"""

from collections.abc import Sequence
from typing import Any

from ocisource import errors
from ocisource.apiserver import resources
from ocisource.apiserver.wording import fielderrors
from ocisource.wire import status as statuses

EXPIRED = "Expired"
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


_GENERIC = "generic"


def status(error: errors.APIStatusError) -> dict[str, Any]:
    """The Status object of a refusal."""
    details = {key: value for key, value in error.details.items() if key != _GENERIC}
    has_details = bool(details) or _GENERIC in error.details
    shown = statuses.failure(error.code, error.reason, str(error), details if has_details else None)
    if fresh := error.details.get("continue"):
        shown["metadata"] = {"continue": fresh}
        shown.pop("details")
    return shown


def _generic(message: str, *, code: int, reason: str) -> errors.APIStatusError:
    """What apimachinery's NewGenericServerResponse says: it has details, but they are empty."""
    return errors.APIStatusError(message, code=code, reason=reason, details={_GENERIC: True})


def bad_request(message: str) -> errors.APIStatusError:
    """400: the request cannot be understood."""
    return errors.APIStatusError(message, code=400, reason="BadRequest")


def unauthorized() -> errors.APIStatusError:
    """401: no token, or one that nobody issued."""
    return errors.APIStatusError("Unauthorized", code=401, reason="Unauthorized")


def forbidden(message: str, *, group: str, plural: str, name: str) -> errors.APIStatusError:
    """403: known, but not allowed."""
    details = _details(group=group, kind=plural, name=name)
    return errors.APIStatusError(message, code=403, reason="Forbidden", details=details)


def no_such_path() -> errors.APIStatusError:
    """404: nothing is served there."""
    text = "the server could not find the requested resource"
    return _generic(text, code=404, reason="NotFound")


class NoPageError(errors.APIStatusError):
    """404 in plain text: no such group, version or custom resource."""

    def __init__(self) -> None:
        super().__init__("404 page not found", code=404)


def not_found(resource: resources.Resource, name: str) -> errors.APIStatusError:
    """404: no such object."""
    return errors.APIStatusError(
        f'{resource.qualified} "{name}" not found',
        code=404,
        reason="NotFound",
        details=_details(group=resource.group, kind=resource.plural, name=name),
    )


def no_object(plural: str, name: str) -> errors.APIStatusError:
    """404: no such object of the core group."""
    return errors.APIStatusError(
        f'{plural} "{name}" not found',
        code=404,
        reason="NotFound",
        details=_details(group="", kind=plural, name=name),
    )


def rebound(kind: str, name: str, uid: str) -> errors.APIStatusError:
    """409: a token's object is not the one that was meant."""
    return errors.APIStatusError(
        f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object reference '
        f"({uid}) does not match the UID in record. The object might have been deleted and then "
        "recreated",
        code=409,
        reason="Conflict",
        details=_details(group="", kind=kind, name=name),
    )


def method_not_allowed() -> errors.APIStatusError:
    """405: the path exists, the verb does not."""
    text = "the server does not allow this method on the requested resource"
    return _generic(text, code=405, reason="MethodNotAllowed")


def not_acceptable(message: str = "406: Not Acceptable") -> errors.APIStatusError:
    """406: the client wants a form we do not have."""
    return _generic(message, code=406, reason="NotAcceptable")


def none_of(offered: Sequence[str]) -> errors.APIStatusError:
    """406: the client wants none of the media types there are."""
    return wrong_shape(f"only the following media types are accepted: {', '.join(offered)}")


def wrong_shape(message: str) -> errors.APIStatusError:
    """406: the client wants an object as a list, or a list as an object."""
    return errors.APIStatusError(message, code=406, reason="NotAcceptable")


def already_exists(
    resource: resources.Resource, name: str, *, is_going: bool = False
) -> errors.APIStatusError:
    """409: the name is taken, perhaps by an object that is on its way out."""
    prefix = "object is being deleted: " if is_going else ""
    return errors.APIStatusError(
        f'{prefix}{resource.qualified} "{name}" already exists',
        code=409,
        reason="AlreadyExists",
        details=_details(group=resource.group, kind=resource.plural, name=name),
    )


def conflict(
    resource: resources.Resource, name: str, cause: str, *, called: str = ""
) -> errors.APIStatusError:
    """409: the object is no longer what the client thinks it is.

    ``called`` stands for the plural where kube-apiserver names the kind instead.
    """
    kind = called or resource.plural
    qualified = f"{kind}.{resource.group}" if resource.group else kind
    return errors.APIStatusError(
        f'Operation cannot be fulfilled on {qualified} "{name}": {cause}',
        code=409,
        reason="Conflict",
        details=_details(group=resource.group, kind=kind, name=name),
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def gone(message: str, *, fresh_token: str = "") -> errors.APIStatusError:
    """410: history as old as that has been compacted."""
    details: dict[str, object] = {"continue": fresh_token} if fresh_token else {}
    return errors.APIStatusError(message, code=410, reason=EXPIRED, details=details)


def too_large(message: str) -> errors.APIStatusError:
    """413: more than the server takes."""
    text = f"Request entity too large: {message}"
    return errors.APIStatusError(text, code=413, reason="RequestEntityTooLarge")


def not_a_patch() -> errors.APIStatusError:
    """415, as kube-apiserver's router says it before any handler sees the request."""
    text = "415: Unsupported Media Type"
    return _generic(text, code=415, reason="UnsupportedMediaType")


def unsupported_media_type(accepted: Sequence[str]) -> errors.APIStatusError:
    """415: a body in a form we do not read."""
    return errors.APIStatusError(
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(accepted)}",
        code=415,
        reason="UnsupportedMediaType",
    )


def invalid(
    group: str, kind: str, name: str, found: Sequence[fielderrors.FieldError]
) -> errors.APIStatusError:
    """422: fields that break rules."""
    details = _details(group=group, kind=kind, name=name)
    details["causes"] = [error.cause() for error in found]
    return errors.APIStatusError(
        f'{kind}{"." + group if group else ""} "{name}" is invalid: {fielderrors.aggregate(found)}',
        code=422,
        reason="Invalid",
        details=details,
    )


def patch_does_not_fit() -> errors.APIStatusError:
    """422: a JSON patch that cannot be carried out."""
    text = "the server rejected our request due to an error in our request"
    return _generic(text, code=422, reason="Invalid")


def internal(message: str) -> errors.APIStatusError:
    """500: it is us."""
    return errors.APIStatusError(
        f"Internal error occurred: {message}",
        code=500,
        reason="InternalError",
        details={"causes": [{"message": message}]},
    )


def plain_500(message: str) -> errors.APIStatusError:
    """500 without a reason, where kube-apiserver passes on an error it did not classify."""
    return errors.APIStatusError(message, code=500)


def version_too_large(wanted: int, current: int) -> errors.APIStatusError:
    """504: a resourceVersion from the future."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return errors.APIStatusError(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        code=504,
        reason="Timeout",
        details={"causes": [cause], "retryAfterSeconds": 1},
        retry_after=1,
    )


def _details(*, group: str, kind: str, name: str) -> dict[str, object]:
    shown: dict[str, object] = {}
    if name:
        shown["name"] = name
    if group:
        shown["group"] = group
    if kind:
        shown["kind"] = kind
    return shown
