"""Stored objects and their changes, as values.

A body is the object's JSON without ``apiVersion`` and ``kind``; :func:`Record.document` puts them
in front for the version that was asked for, without decoding anything.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ocisource import errors
from ocisource.apiserver.history import database

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"
EVENT_NAMES = {database.ADDED: ADDED, database.MODIFIED: MODIFIED, database.DELETED: DELETED}

Object = dict[str, Any]
_TYPE_META = ("apiVersion", "kind")
_NO_LABELS: Mapping[str, str] = {}


class Key(NamedTuple):
    """Where an object is filed; ``namespace`` is empty for those of the whole cluster."""

    resource: str
    namespace: str
    name: str


class _OnlyLabels(msgspec.Struct):
    labels: dict[str, str] | None = None


class _OnlyMetadata(msgspec.Struct):
    metadata: _OnlyLabels


_labels_decoder = msgspec.json.Decoder(_OnlyMetadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One object at one revision."""

    key: Key
    revision: int
    body: bytes
    labels: Mapping[str, str]

    @classmethod
    def from_row(cls, row: database.Row) -> "Record":
        """Read a row of the data file; raises StorageError for one that holds no object."""
        key = Key(row.resource, row.namespace, row.name)
        try:
            return cls(key, row.revision, row.body, labels_of(row.body))
        except (msgspec.MsgspecError, TypeError, RecursionError, UnicodeDecodeError) as error:
            # SQLite has no checksums: a bad sector can leave a page that looks well.
            raise errors.StorageError(
                f"the data file is damaged at {' '.join(filter(None, map(str, key)))}: "
                f"{database.REMEDY}"
            ) from error

    def decode(self) -> Object:
        """The object without ``apiVersion`` and ``kind``; a fresh one each time."""
        obj: Object = msgspec.json.decode(self.body)
        return obj

    def document(self, api_version: str, kind: str) -> bytes:
        """The whole object as JSON."""
        return prefix(api_version, kind) + self.body[1:]


@dataclasses.dataclass(slots=True)
class Change:
    """What happened to one object; ``before`` is absent when it was created.

    ``encoded`` keeps what was sent to one watcher for the next one.
    """

    event: str
    record: Record
    before: Record | None
    encoded: dict[object, bytes] = dataclasses.field(default_factory=dict)

    @property
    def revision(self) -> int:
        """When it happened."""
        return self.record.revision


def encode(obj: Mapping[str, Any]) -> bytes:
    """The body of an object: ``apiVersion`` and ``kind`` are left out."""
    return msgspec.json.encode({key: obj[key] for key in obj if key not in _TYPE_META})


def encode_all(obj: Mapping[str, Any]) -> bytes:
    """A whole object as JSON, ``apiVersion`` and ``kind`` with it."""
    return msgspec.json.encode(obj)


def labels_of(body: bytes) -> Mapping[str, str]:
    """The labels in a body; one shared empty mapping when there are none."""
    return _labels_decoder.decode(body).metadata.labels or _NO_LABELS


@functools.lru_cache(maxsize=1024)
def prefix(api_version: str, kind: str) -> bytes:
    """The opening of a document, up to the first member of its body."""
    opening = msgspec.json.encode({"kind": kind, "apiVersion": api_version})
    return opening[:-1] + b","
