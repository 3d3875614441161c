"""A controller's log line: one JSON object, read, judged, and written for people.

Example::

    >>> found = parse('{"ts": "2022-08-02T12:55:34.419Z", "level": "info", "msg": "stored",'
    ...               ' "controllerKind": "OCIRepository", "name": "podinfo", "namespace": "apps"}')
    >>> text(found)
    '2022-08-02T12:55:34.419Z info OCIRepository/podinfo.apps - stored '
"""

import dataclasses
import json

from ocisource.net import redact

_KINDS = ("controllerKind", "reconciler kind")  # as today's and older controllers write it


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What a line says."""

    ts: str
    level: str
    kind: str
    name: str
    namespace: str
    message: str
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines are wanted; empty values want all."""

    level: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""

    def has(self, line: Line) -> bool:
        """Whether the line is wanted: its level exactly, kind and names in any case."""
        pairs = (
            (self.kind, line.kind),
            (self.name, line.name),
            (self.namespace, line.namespace),
        )
        return self.level in {"", line.level} and all(
            not wanted or wanted.lower() == found.lower() for wanted, found in pairs
        )


def parse(text: str) -> Line | None:
    """The line; None for what is no JSON object."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None

    def field(*keys: str) -> str:
        return next((redact.foreign(str(found[key])) for key in keys if found.get(key)), "")

    return Line(
        ts=field("ts"),
        level=field("level"),
        kind=field(*_KINDS),
        name=field("name"),
        namespace=field("namespace"),
        message=field("msg"),
        error=field("error"),
    )


def text(line: Line) -> str:
    """The line for people; the object is left out where there is none."""
    subject = f"{line.kind}/{line.name}.{line.namespace}" if line.name else line.kind
    return f"{line.ts} {line.level} {subject} - {line.message} {line.error}"
