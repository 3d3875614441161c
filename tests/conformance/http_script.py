"""Raw requests, read from ``http.yaml`` and sent in order to one server, answers masked."""

import dataclasses
import functools
import http.client
import json
import pathlib
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.conformance import masking, subjects

AGENT = "conformance/1"  # without a fieldManager, the manager's name is what stands before "/"
_FILE = pathlib.Path(__file__).with_name("http.yaml")
_SECONDS = 30.0
_ANSWER_BYTES = 1 << 24
_TIMES = frozenset({"creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime"})
_PATHS = {
    "$W": "/apis/raw.example.com/v1/namespaces/$N/widgets",
    "$C": "/api/v1/namespaces/$N/configmaps",
}
_STRANGER = "a-token-nobody-issued"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One request; see ``http.yaml``."""

    name: str
    do: str
    body: Any = None
    raw: str | None = None
    type: str = "application/json"
    accept: str = "application/json"
    role: str = "admin"
    show: str = ""
    keep: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def load() -> tuple[Case, ...]:
    """The cases, in their order."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    for entry in entries:
        entry["role"] = entry.pop("as", "admin")
    return tuple(Case(**entry) for entry in entries)


def request(
    subject: subjects.Subject,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str],
) -> Answer:
    """Send one request and read the whole answer."""
    connection = connect(subject)
    try:
        connection.request(method, path, body, {"User-Agent": AGENT, **headers})
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read(_ANSWER_BYTES))
    finally:
        connection.close()


def connect(subject: subjects.Subject) -> http.client.HTTPSConnection:
    """A connection of its own to a server."""
    parts = urllib.parse.urlsplit(subject.url)
    context = _context(subject.ca_file)
    assert parts.hostname
    return http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=_SECONDS, context=context
    )


@functools.cache
def _context(ca_file: pathlib.Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def authorization(subject: subjects.Subject, role: str = "admin") -> dict[str, str]:
    """The header that says who asks: the administrator, a stranger, or nobody."""
    if role == "nobody":
        return {}
    token = subject.token if role == "admin" else _STRANGER
    return {"Authorization": f"Bearer {token}"}


def run(
    subject: subjects.Subject, cases: Sequence[Case], *, namespace: str
) -> dict[str, dict[str, Any]]:
    """Masked answers by case."""
    kept: dict[str, str] = {}
    answers: dict[str, dict[str, Any]] = {}
    for case in cases:
        method, _, path = _filled(_spelt(case.do, namespace), kept).partition(" ")
        headers = authorization(subject, case.role) | {"Accept": case.accept}
        data = _data(case, kept)
        if data is not None:
            headers["Content-Type"] = case.type
        answer = request(subject, method, path, data, headers=headers)
        answers[case.name] = _masked(answer, case, namespace)
        for name, place in case.keep.items():
            kept[name] = str(_at(json.loads(answer.body), place))
    return answers


def _spelt(do: str, namespace: str) -> str:
    for short, path in _PATHS.items():
        do = do.replace(short, path)
    return do.replace("$N", namespace)


def _data(case: Case, kept: Mapping[str, str]) -> bytes | None:
    if case.raw is not None:
        return case.raw.encode()
    return None if case.body is None else _filled(json.dumps(case.body), kept).encode()


def _filled(text: str, kept: Mapping[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _at(value: Any, place: str) -> Any:
    for name in place.split("."):
        value = value[name]
    return value


def _masked(answer: Answer, case: Case, namespace: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": answer.status,
        "type": answer.headers.get("Content-Type", "").partition(";")[0],
        "warning": answer.headers.get("Warning", ""),
    }
    text = answer.body.decode(errors="replace").replace(namespace, "$N")
    try:
        body = json.loads(text)
    except ValueError:
        return shown | {"body": masking.mask(text)}
    if case.show in {"items", "set"} and isinstance(body, dict) and "items" in body:
        names = [item["metadata"]["name"] for item in body["items"]]
        # Lists out of a real server's watch cache come in no order.
        names = sorted(names) if case.show == "set" else names
        has_more = bool(body["metadata"].get("continue"))
        left = body["metadata"].get("remainingItemCount")
        return shown | {"kind": body["kind"], "items": names, "has_more": has_more, "left": left}
    if case.show == "plain":
        body["metadata"].pop("managedFields", None)
    return shown | {"body": mask_value(body)}


def mask_value(value: Any, name: str = "") -> Any:
    """A decoded answer with placeholders for what no two runs share."""
    if isinstance(value, dict):
        masked = {key: mask_value(item, key) for key, item in value.items() if key != "selfLink"}
        # v1.20 writes an empty continue into lists of custom resources.
        return {key: masked[key] for key in sorted(masked) if masked[key] or key != "continue"}
    if isinstance(value, list):
        items = [mask_value(item, name) for item in value]
        if name == "causes":
            # v1.20 checks some fields several times, and says so several times.
            items = [item for at, item in enumerate(items) if item not in items[:at]]
        if name in {"managedFields", "causes"}:
            # Entries of one second are sorted by name, and causes of maps stand in any order.
            items.sort(key=lambda item: json.dumps({**item, "time": ""}, sort_keys=True))
        return items
    if not isinstance(value, str) or not value:
        return value
    if name in {"resourceVersion", "uid", "continue", "token"}:
        return f"<{name}>"
    if name in _TIMES:
        return "<time>"
    if masking.is_age(value):
        return "<age>"
    return masking.in_any_order(masking.mask(value))
