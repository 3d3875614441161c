"""Field errors: what is wrong with one field of an object, worded as apimachinery's ``field``.

``error ::= path ": " body``, ``body ::= type [": " value] [": " detail]``
(apimachinery ``pkg/util/validation/field/errors.go``). Values are printed as Go prints them.

Example::

    >>> str(invalid("spec.n", 0, "must be greater than zero"))
    'spec.n: Invalid value: 0: must be greater than zero'
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ocisource.apiserver.wording import gotext

REQUIRED = "FieldValueRequired"
INVALID = "FieldValueInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
DUPLICATE = "FieldValueDuplicate"
FORBIDDEN = "FieldValueForbidden"
NOT_FOUND = "FieldValueNotFound"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldError:
    """One error; ``type`` is the reason of a Status cause, ``message`` the text without the path.

    These are exactly the three members of ``status.details.causes``.
    """

    field: str
    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def cause(self) -> dict[str, str]:
        """The entry of ``details.causes``."""
        return {"reason": self.type, "message": self.message, "field": self.field}


def aggregate(errors: Sequence[FieldError]) -> str:
    """All errors in one text: alone as it is, several in brackets, equal ones once."""
    texts = list(dict.fromkeys(map(str, errors)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def child(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name


def index(path: str, at: int | str) -> str:
    """The path of a list item or of a map's key."""
    return f"{path}[{at}]"


def required(path: str, detail: str = "") -> FieldError:
    """A value is missing."""
    return FieldError(path, REQUIRED, _join("Required value", detail))


def invalid(path: str, value: Any, detail: str = "") -> FieldError:
    """A value breaks a rule."""
    return FieldError(path, INVALID, _join(f"Invalid value: {_shown(value)}", detail))


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    """A value is none of those allowed."""
    detail = f"supported values: {', '.join(map(gotext.quote, supported))}" if supported else ""
    return FieldError(path, NOT_SUPPORTED, _join(f"Unsupported value: {_shown(value)}", detail))


def duplicate(path: str, value: Any) -> FieldError:
    """A value stands where another one equal to it stood before."""
    return FieldError(path, DUPLICATE, f"Duplicate value: {_shown(value)}")


def forbidden(path: str, detail: str) -> FieldError:
    """The field must not be set, or not be changed."""
    return FieldError(path, FORBIDDEN, _join("Forbidden", detail))


def not_found(path: str, value: Any) -> FieldError:
    """What the value names does not exist."""
    return FieldError(path, NOT_FOUND, f"Not found: {_shown(value)}")


def too_long(path: str, most: int) -> FieldError:
    """The value has more than ``most`` bytes."""
    return FieldError(path, TOO_LONG, f"Too long: must have at most {most} bytes")


def too_many(path: str, actual: int, most: int) -> FieldError:
    """The list has more than ``most`` items."""
    return FieldError(path, TOO_MANY, f"Too many: {actual}: must have at most {most} items")


def _join(kind: str, detail: str) -> str:
    return f"{kind}: {detail}" if detail else kind


def _shown(value: Any) -> str:
    if value is None:
        return '"null"'
    if isinstance(value, str):
        return gotext.quote(value)
    if isinstance(value, bool | int | float):
        return gotext.plain(value)
    return gotext.syntax(value)
