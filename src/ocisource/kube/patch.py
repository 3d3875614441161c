"""Patches: what is sent, and in which of the three languages the API understands for any kind.

Example::

    >>> merge({"status": {"url": None}}).content_type
    'application/merge-patch+json'
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import msgspec

from ocisource.wire import mergepatch

MERGE: typing.Final = "application/merge-patch+json"
JSON_PATCH: typing.Final = "application/json-patch+json"
STRATEGIC: typing.Final = "application/strategic-merge-patch+json"  # built-in kinds only
APPLY: typing.Final = "application/apply-patch+yaml"  # JSON is YAML

Document = Mapping[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Patch:
    """A patch's language and body."""

    content_type: str
    body: bytes = dataclasses.field(repr=False)

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice leaves what sending it once leaves."""
        return self.content_type != JSON_PATCH


def merge(document: Document) -> Patch:
    """A JSON merge patch (RFC 7386): nulls remove, lists are replaced."""
    return Patch(MERGE, msgspec.json.encode(document))


def strategic(document: Document) -> Patch:
    """A strategic merge patch, which only built-in kinds understand."""
    return Patch(STRATEGIC, msgspec.json.encode(document))


def json_patch(operations: Sequence[Document]) -> Patch:
    """A JSON patch (RFC 6902)."""
    return Patch(JSON_PATCH, msgspec.json.encode(operations))


def apply(document: Document | msgspec.Struct) -> Patch:
    """A server-side apply: the fields that this field manager wants to own."""
    return Patch(APPLY, msgspec.json.encode(document))


def diff(old: msgspec.Struct, new: msgspec.Struct) -> dict[str, typing.Any]:
    """The merge patch document that turns ``old`` into ``new``; empty when there is none.

    Both are compared in their wire form, so fields that their types do not know stay untouched.
    """
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    return mergepatch.diff(before, after)


def with_version(document: Document, resource_version: str) -> dict[str, typing.Any]:
    """The document, to be refused with 409 unless the object still has that resourceVersion."""
    metadata = dict(document.get("metadata") or {}) | {"resourceVersion": resource_version}
    return dict(document) | {"metadata": metadata}
