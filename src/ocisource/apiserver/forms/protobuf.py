r"""Objects of built-in kinds as protobuf: stock ``kubectl create secret`` sends nothing else.

``body ::= "k8s\0" Unknown`` (runtime/generated.proto)::

    Unknown  { TypeMeta typeMeta = 1; bytes raw = 2; string contentEncoding = 3; … }
    TypeMeta { string apiVersion = 1; string kind = 2; }

Field numbers are those of the generated.proto of each API group. Only requests are read; answers
are JSON, which every client that sends protobuf takes as well. Go writes empty strings, numbers and
messages where JSON leaves a member out: they are left out here, too.
"""

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource import errors
from ocisource.wire import timestamps

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"

_MAX_VARINT_BYTES = 10
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIGN_BIT = 1 << 63

STRING, BYTES, INT, BOOL, TIME, MICRO_TIME = "string", "bytes", "int", "bool", "time", "micro"


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A member's name and how its bytes are read; ``kind`` is a name above or a message."""

    name: str
    kind: "str | Message"
    is_repeated: bool = False
    is_map: bool = False


Message = Mapping[int, Field]


def _one(name: str, kind: "str | Message" = STRING) -> Field:
    return Field(name, kind)


def _many(name: str, kind: "str | Message" = STRING) -> Field:
    return Field(name, kind, is_repeated=True)


def _map(name: str, kind: str = STRING) -> Field:
    return Field(name, kind, is_map=True)


_OWNER: Message = {
    1: _one("kind"),
    3: _one("name"),
    4: _one("uid"),
    5: _one("apiVersion"),
    6: _one("controller", BOOL),
    7: _one("blockOwnerDeletion", BOOL),
}
_META: Message = {
    1: _one("name"),
    2: _one("generateName"),
    3: _one("namespace"),
    5: _one("uid"),
    6: _one("resourceVersion"),
    7: _one("generation", INT),
    8: _one("creationTimestamp", TIME),
    9: _one("deletionTimestamp", TIME),
    10: _one("deletionGracePeriodSeconds", INT),
    11: _map("labels"),
    12: _map("annotations"),
    13: _many("ownerReferences", _OWNER),
    14: _many("finalizers"),
}
_REFERENCE: Message = {
    1: _one("kind"),
    2: _one("namespace"),
    3: _one("name"),
    4: _one("uid"),
    5: _one("apiVersion"),
    6: _one("resourceVersion"),
    7: _one("fieldPath"),
}
_METADATA = {1: _one("metadata", _META)}
_LOCAL_REFERENCE: Message = {1: _one("name")}

KINDS: Mapping[tuple[str, str], Message] = {
    ("v1", "Secret"): _METADATA
    | {
        2: _map("data", BYTES),
        3: _one("type"),
        4: _map("stringData"),
        5: _one("immutable", BOOL),
    },
    ("v1", "ConfigMap"): _METADATA
    | {2: _map("data"), 3: _map("binaryData", BYTES), 4: _one("immutable", BOOL)},
    ("v1", "Namespace"): _METADATA
    | {2: _one("spec", {1: _many("finalizers")}), 3: _one("status", {1: _one("phase")})},
    ("v1", "ServiceAccount"): _METADATA
    | {
        2: _many("secrets", _REFERENCE),
        3: _many("imagePullSecrets", _LOCAL_REFERENCE),
        4: _one("automountServiceAccountToken", BOOL),
    },
    ("v1", "Event"): _METADATA
    | {
        2: _one("involvedObject", _REFERENCE),
        3: _one("reason"),
        4: _one("message"),
        5: _one("source", {1: _one("component"), 2: _one("host")}),
        6: _one("firstTimestamp", TIME),
        7: _one("lastTimestamp", TIME),
        8: _one("count", INT),
        9: _one("type"),
        10: _one("eventTime", MICRO_TIME),
        11: _one("series", {1: _one("count", INT), 2: _one("lastObservedTime", MICRO_TIME)}),
        12: _one("action"),
        13: _one("related", _REFERENCE),
        14: _one("reportingComponent"),
        15: _one("reportingInstance"),
    },
    ("coordination.k8s.io/v1", "Lease"): _METADATA
    | {
        2: _one(
            "spec",
            {
                1: _one("holderIdentity"),
                2: _one("leaseDurationSeconds", INT),
                3: _one("acquireTime", MICRO_TIME),
                4: _one("renewTime", MICRO_TIME),
                5: _one("leaseTransitions", INT),
            },
        )
    },
    ("authentication.k8s.io/v1", "TokenRequest"): _METADATA
    | {
        2: _one(
            "spec",
            {
                1: _many("audiences"),
                3: _one(
                    "boundObjectRef",
                    {1: _one("kind"), 2: _one("apiVersion"), 3: _one("name"), 4: _one("uid")},
                ),
                4: _one("expirationSeconds", INT),
            },
        )
    },
    ("authentication.k8s.io/v1", "TokenReview"): _METADATA
    | {2: _one("spec", {1: _one("token"), 2: _many("audiences")})},
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _METADATA
    | {2: _one("spec", {1: _one("namespace")})},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _METADATA
    | {
        2: _one(
            "spec",
            {
                1: _one(
                    "resourceAttributes",
                    {
                        1: _one("namespace"),
                        2: _one("verb"),
                        3: _one("group"),
                        4: _one("version"),
                        5: _one("resource"),
                        6: _one("subresource"),
                        7: _one("name"),
                    },
                ),
                2: _one("nonResourceAttributes", {1: _one("path"), 2: _one("verb")}),
            },
        )
    },
    ("authentication.k8s.io/v1", "SelfSubjectReview"): _METADATA,
    ("v1", "DeleteOptions"): {
        1: _one("gracePeriodSeconds", INT),
        2: _one("preconditions", {1: _one("uid"), 2: _one("resourceVersion")}),
        3: _one("orphanDependents", BOOL),
        4: _one("propagationPolicy"),
        5: _many("dryRun"),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """The object in a body; raises InvalidInputError for damage and for unknown kinds."""
    if not body.startswith(MAGIC):
        raise errors.InvalidInputError(
            "provided data does not appear to be a protobuf message, expected prefix "
            f"{list(MAGIC)}".replace(",", "")
        )
    api_version = kind = ""
    raw = b""
    for number, value in _fields(memoryview(body)[len(MAGIC) :]):
        if number == 1 and isinstance(value, memoryview):
            meta = _message({1: _one("apiVersion"), 2: _one("kind")}, value)
            api_version, kind = meta.get("apiVersion", ""), meta.get("kind", "")
        elif number == 2 and isinstance(value, memoryview):  # noqa: PLR2004 - see the grammar above
            raw = bytes(value)
    message = KINDS.get((api_version, kind))
    if message is None:
        raise errors.InvalidInputError(
            f'no kind "{kind}" is registered for version "{api_version}" as protobuf'
        )
    return {"apiVersion": api_version, "kind": kind} | _message(message, memoryview(raw))


def _message(message: Message, data: memoryview) -> dict[str, Any]:
    """The members of a message; numbers that are not in the table are newer than it."""
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        field = message.get(number)
        if field is None:
            continue
        if field.is_map:
            key, item = _entry(value, field)
            found.setdefault(field.name, {})[key] = item
            continue
        read = _value(field.kind, value)
        if field.is_repeated:
            found.setdefault(field.name, []).append(read)
        elif read not in ("", 0, None, {}) or read is False:
            found[field.name] = read
    return found


def _entry(value: int | memoryview, field: Field) -> tuple[str, Any]:
    """A map's entry is a message of key (1) and value (2), either of them absent when empty."""
    key = ""
    item: Any = ""
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _value(STRING, part)
        else:
            item = _value(field.kind, part)
    return key, item


def _value(kind: "str | Message", value: int | memoryview) -> Any:
    if isinstance(kind, Mapping):
        return _message(kind, _bytes(value))
    match kind:
        case "string":
            try:
                return str(_bytes(value), "utf-8")
            except UnicodeDecodeError as error:
                raise errors.InvalidInputError("proto: a string is not UTF-8") from error
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "time" | "micro":
            return _time(_bytes(value), is_micro=kind == MICRO_TIME)
        case _:
            if not isinstance(value, int):
                raise errors.InvalidInputError("proto: wrong wireType")
            if kind == BOOL:
                return bool(value)
            return value - (1 << 64) if value & _SIGN_BIT else value


def _time(data: memoryview, *, is_micro: bool) -> str | None:
    """RFC 3339 text of seconds (1) and nanoseconds (2); nothing for the empty message."""
    parts = {number: value for number, value in _fields(data) if isinstance(value, int)}
    if not parts:
        return None
    seconds = parts.get(1, 0)
    seconds = seconds - (1 << 64) if seconds & _SIGN_BIT else seconds
    try:
        if is_micro:
            return timestamps.format_micro(seconds + parts.get(2, 0) / 10**9)
        return timestamps.format_seconds(seconds)
    except (ValueError, OverflowError, OSError) as error:
        raise errors.InvalidInputError("proto: a time is out of range") from error


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise errors.InvalidInputError("proto: wrong wireType")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and raw values; raises InvalidInputError when the data ends too early."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if wire == _LENGTH:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise errors.InvalidInputError(f"proto: illegal wireType {wire}")
        if size > len(data) - position:
            raise errors.InvalidInputError("unexpected EOF")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            raise errors.InvalidInputError("unexpected EOF")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value & ((1 << 64) - 1), position
    raise errors.InvalidInputError("proto: integer overflow")
