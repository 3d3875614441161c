"""What built-in kinds demand of their objects beyond types: defaults, and rules of values.

``default_...`` functions complete a decoded object in place, ``prepare_...`` functions do what
only a write does, ``check_...`` functions list what is wrong. The last two get the object as it
was before, or None for a new one.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource.apiserver.builtin import eventversions, objectmeta
from ocisource.apiserver.wording import fielderrors
from ocisource.wire import names

FieldError = fielderrors.FieldError
Object = dict[str, Any]

MAX_DATA = 1024 * 1024  # bytes of all values of a Secret or ConfigMap
_SECRET_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_DOCKER_TYPES = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type
_BASIC_TYPE = "kubernetes.io/basic-auth"
_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
_SET_AT_ONCE = "field is immutable when `immutable` is set"
_MAX_EVENT_WORD = 128  # characters of action, reason and reporting instance
_MAX_NOTE = 1024  # characters of an event's message
_MIN_TOKEN_SECONDS = 600
_MAX_TOKEN_SECONDS = 1 << 32
_DEFAULT_TOKEN_SECONDS = 3600
_UNSET = "needs to be unset"


def default_namespace(obj: Object) -> None:
    """A namespace is active unless said otherwise, and labelled with its name."""
    obj["status"].setdefault("phase", "Active")
    # Selectors of namespaces by name rely on the label.
    if name := obj["metadata"].get("name"):
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def prepare_namespace(obj: Object, old: Object | None) -> None:
    """Give a new namespace its finalizer and phase; an update keeps both."""
    if old is not None:
        obj["spec"], obj["status"] = old.get("spec", {}), old.get("status", {})
        return
    finalizers = obj["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    obj["status"] = {"phase": "Active"}


def check_namespace(obj: Object, _old: Object | None) -> list[FieldError]:
    """Finalizers are standard or qualified."""
    found: list[FieldError] = []
    for name in obj.get("spec", {}).get("finalizers") or []:
        texts = names.qualified_name_errors(name)
        found.extend(fielderrors.invalid("spec.finalizers", name, text) for text in texts)
        if not texts:
            found.extend(objectmeta.check_finalizer(name, "spec.finalizers"))
    return found


def default_secret(obj: Object) -> None:
    """Write ``stringData`` into ``data``; the type is Opaque unless said."""
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
    obj.setdefault("type", "Opaque")


def check_secret(obj: Object, old: Object | None) -> list[FieldError]:
    """Keys, size, what the type demands, and what may not change."""
    data: Mapping[str, str] = obj.get("data") or {}
    found = list(_check_keys(data, "data"))
    if sum(_decoded_size(value) for value in data.values()) > MAX_DATA:
        found.append(fielderrors.too_long("data", MAX_DATA))
    found.extend(_check_secret_type(obj, data))
    if old is not None:
        if obj.get("type") != old.get("type"):
            error = fielderrors.invalid("type", obj.get("type", ""), objectmeta.IMMUTABLE)
            found.append(error)
        found.extend(_check_immutable(obj, old, ("data",)))
    return found


def _check_secret_type(obj: Object, data: Mapping[str, str]) -> Iterator[FieldError]:
    kind = obj.get("type", "")
    if kind == _TOKEN_TYPE:
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get(_ACCOUNT_ANNOTATION):
            yield fielderrors.required(f"metadata.annotations[{_ACCOUNT_ANNOTATION}]")
    if kind == _BASIC_TYPE and not {"username", "password"} & set(data):
        yield fielderrors.required("data[%s][username]")
        yield fielderrors.required("data[%s][password]")
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
            yield fielderrors.required(f"data[{'%s][' if kind.endswith('ssh-auth') else ''}{key}]")
        elif kind in _DOCKER_TYPES and (problem := _json_problem(data[key])):
            yield fielderrors.invalid(f"data[{key}]", "<secret contents redacted>", problem)


def _json_problem(value: str) -> str:
    """Why a value is no JSON object, in the words of Go's decoder; empty when it is one."""
    try:
        text = base64.b64decode(value).decode()
    except ValueError:
        return "invalid character 'ï' looking for beginning of value"
    try:
        decoded = json.loads(text)
    except ValueError as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else 0
        if at >= len(text):
            return "unexpected end of JSON input"
        return _complaint(text, at)
    if isinstance(decoded, dict) or decoded is None:
        return ""
    kinds = {str: "string", bool: "bool", list: "array"}
    kind = kinds.get(type(decoded), "number")
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


_LITERALS = {"n": "null", "t": "true", "f": "false"}


def _complaint(text: str, at: int) -> str:
    literal = _LITERALS.get(text[at], "")
    for offset, wanted in enumerate(literal):
        got = text[at + offset : at + offset + 1]
        if not got:
            return "unexpected end of JSON input"
        if got != wanted:
            return f"invalid character '{got}' in literal {literal} (expecting '{wanted}')"
    return f"invalid character '{text[at]}' looking for beginning of value"


def check_config_map(obj: Object, old: Object | None) -> list[FieldError]:
    """Keys, size, and what may not change."""
    data: Mapping[str, str] = obj.get("data") or {}
    binary: Mapping[str, str] = obj.get("binaryData") or {}
    found: list[FieldError] = []
    for key in sorted(data):
        found.extend(_check_keys([key], "data"))
        if key in binary:
            text = "duplicate of key present in binaryData"
            found.append(fielderrors.invalid(f"data[{key}]", key, text))
    found.extend(_check_keys(binary, "binaryData"))
    size = sum(len(value.encode()) for value in data.values())
    if size + sum(map(_decoded_size, binary.values())) > MAX_DATA:
        found.append(fielderrors.too_long("", MAX_DATA))
    if old is not None:
        found.extend(_check_immutable(obj, old, ("data", "binaryData")))
    return found


def _check_keys(keys: Mapping[str, str] | list[str], path: str) -> Iterator[FieldError]:
    for key in sorted(keys):
        for text in names.data_key_errors(key):
            yield fielderrors.invalid(fielderrors.index(path, key), key, text)


def _decoded_size(value: str) -> int:
    return len(value) * 3 // 4 - value[-2:].count("=")


def _check_immutable(obj: Object, old: Object, fields: tuple[str, ...]) -> Iterator[FieldError]:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield fielderrors.forbidden("immutable", _SET_AT_ONCE)
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield fielderrors.forbidden(field, _SET_AT_ONCE)


def check_lease(obj: Object, _old: Object | None) -> list[FieldError]:
    """Durations are positive, transitions not negative."""
    spec = obj.get("spec", {})
    found: list[FieldError] = []
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        text = "must be greater than 0"
        found.append(fielderrors.invalid("spec.leaseDurationSeconds", duration, text))
    if transitions is not None and transitions < 0:
        text = "must to greater or equal than 0"  # as kube-apiserver writes it
        found.append(fielderrors.invalid("spec.leaseTransitions", transitions, text))
    return found


def check_event(obj: Object, _old: Object | None) -> list[FieldError]:
    """Rules of core/v1 events: the legacy ones only, for old clients' sake."""
    namespace = obj["metadata"].get("namespace", "")
    about = obj.get("involvedObject", {}).get("namespace", "")
    found: list[FieldError] = []
    mismatch = fielderrors.invalid(
        "involvedObject.namespace", about, "does not match event.namespace"
    )
    if not obj.get("eventTime"):
        if about != namespace and (about or namespace not in ("", "default")):
            found.append(mismatch)
    else:
        if not about and namespace not in ("default", "kube-system"):
            found.append(mismatch)
        found.extend(_check_new_event(obj))
    texts = names.dns_subdomain_errors(namespace)
    found.extend(fielderrors.invalid("namespace", namespace, text) for text in texts)
    return found


def _check_new_event(obj: Object) -> Iterator[FieldError]:
    controller = obj.get("reportingComponent", "")
    if not controller:
        yield fielderrors.required("reportingController")
    for text in names.qualified_name_errors(controller):
        yield fielderrors.invalid("reportingController", controller, text)
    for field in ("reportingInstance", "action", "reason"):
        value = obj.get(field, "")
        if not value:
            yield fielderrors.required(field)
        if len(value.encode()) > _MAX_EVENT_WORD:
            text = f"can have at most {_MAX_EVENT_WORD} characters"
            yield fielderrors.invalid(field, "", text)
    if len(obj.get("message", "").encode()) > _MAX_NOTE:
        yield fielderrors.invalid("message", "", f"can have at most {_MAX_NOTE} characters")


_EVENT_FIELDS = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def check_new_api_event(obj: Object, old: Object | None) -> list[FieldError]:
    """Rules of events.k8s.io/v1 events; messages name the fields as core/v1 does."""
    obj = eventversions.to_core(obj)
    old = eventversions.to_core(old) if old is not None else None
    found = check_event(obj, old)
    if old is None:
        found.extend(objectmeta.validate(obj["metadata"], is_namespaced=True))
        found.extend(_check_series(obj.get("series")))
        if not obj.get("eventTime"):
            found.append(fielderrors.required("eventTime"))
        if obj.get("type") not in ("Normal", "Warning"):
            text = f"has invalid value: {obj.get('type', '')}"
            found.append(fielderrors.invalid("type", "", text))
        for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
            if obj.get(field):
                found.append(fielderrors.invalid(field, "", _UNSET))
        return found
    if obj.get("series") != old.get("series"):
        found.extend(_check_series(obj.get("series")))
    for field in _EVENT_FIELDS:
        if (obj.get(field) or None) != (old.get(field) or None):
            path = "reportingController" if field == "reportingComponent" else field
            found.append(fielderrors.invalid(path, obj.get(field), objectmeta.IMMUTABLE))
    return found


def _check_series(series: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if series is None:
        return
    if series.get("count", 0) < 2:  # noqa: PLR2004 - the second event makes a series
        yield fielderrors.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield fielderrors.required("series.lastObservedTime")


def default_token_request(obj: Object) -> None:
    """A token lives an hour unless said otherwise."""
    spec = obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_TOKEN_SECONDS


def check_token_request(obj: Object, _old: Object | None) -> list[FieldError]:
    """A token lives ten minutes at least, and 2^32 seconds at most."""
    seconds = obj["spec"]["expirationSeconds"]
    path = "spec.expirationSeconds"
    if seconds < _MIN_TOKEN_SECONDS:
        text = "may not specify a duration less than 10 minutes"
        return [fielderrors.invalid(path, seconds, text)]
    if seconds > _MAX_TOKEN_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        return [fielderrors.invalid(path, seconds, text)]
    return []


def check_access_review(obj: Object, _old: Object | None) -> list[FieldError]:
    """Exactly one question is asked."""
    spec = obj.get("spec", {})
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        return [fielderrors.invalid("spec.nonResourceAttributes", other, text)]
    if resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [fielderrors.invalid("spec.resourceAttributes", None, text)]
    return []
