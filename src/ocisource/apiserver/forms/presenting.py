"""Writing objects, lists and watch events in the form the client asked for.

Plain JSON is put together from stored bodies without decoding them; Tables, metadata alone and
YAML are made from decoded objects.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from ocisource.apiserver import kinds
from ocisource.apiserver.forms import negotiation, table
from ocisource.apiserver.history import records

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
BOOKMARK = "BOOKMARK"
PART = 250  # objects of a list that are decoded without a pause
ERROR = "ERROR"

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Presenter:
    """One kind in one form; ``include_object`` is what the rows of a Table carry."""

    kind: kinds.Kind
    form: negotiation.Form
    include_object: str = "Metadata"

    @property
    def is_plain(self) -> bool:
        """Whether stored bodies can be sent as they are."""
        return not self.form.shape and self.kind.is_stored_form

    def record(self, record: records.Record, *, now: float) -> bytes:
        """One stored object."""
        if self.is_plain and self.form == negotiation.PLAIN:
            return self._document(record)
        return self.obj(self.kind.read(record.decode()), now=now)

    def obj(self, obj: Object, *, now: float) -> bytes:
        """One object at hand."""
        return write(self._shaped(obj, now=now), self.form)

    async def many(
        self, found: Sequence[records.Record], metadata: Mapping[str, Any], *, now: float
    ) -> bytes:
        """A list; ``metadata`` is the list's own."""
        if self.is_plain and self.form == negotiation.PLAIN:
            opening = records.prefix(self.kind.api_version, self.kind.resource.list_name)
            head = b'"metadata":' + msgspec.json.encode(metadata) + b',"items":['
            # Items of built-in lists carry no kind: Go's typed lists do not write it.
            item = self._document if self.kind.resource.is_custom else _body
            return b"".join((opening, head, b",".join(map(item, found)), b"]}"))
        parts: list[Object] = []
        for start in range(0, max(len(found), 1), PART):
            parts.append(self._part(found[start : start + PART], metadata, now=now))
            # Others get a turn: thousands of rows take their time.
            await asyncio.sleep(0)
        return write(self._whole(parts, metadata), self.form)

    def event(
        self, event: str, record: records.Record, *, now: float, has_headers: bool = False
    ) -> bytes:
        """One line of a watch."""
        if self.is_plain:
            return _line(event, self._document(record))
        obj = self.kind.read(record.decode())
        return _line(event, encode(self._shaped(obj, now=now, has_headers=has_headers)))

    def bookmark(self, revision: int, *, is_initial_end: bool, now: float) -> bytes:
        """The line that tells how far the watch has come."""
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if is_initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj = {"kind": self.kind.name, "apiVersion": self.kind.api_version, "metadata": metadata}
        if self.form.is_table:
            shown = self._table([obj], {"resourceVersion": str(revision)}, now=now, headers=False)
            return _line(BOOKMARK, encode(shown))
        return _line(BOOKMARK, encode(self._shaped(obj, now=now)))

    def key(self, event: str) -> object:
        """Under what a plain watch line may be kept for the next watcher of the same version."""
        return event, self.kind.api_version

    def _document(self, record: records.Record) -> bytes:
        return record.document(self.kind.api_version, self.kind.name)

    def _shaped(self, obj: Object, *, now: float, has_headers: bool = True) -> Object:
        if self.form.is_table:
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self._table([obj], metadata, now=now, headers=has_headers)
        if self.form.is_partial:
            return table.partial(obj, api_version=self._meta_version)
        return obj

    def _whole(self, parts: Sequence[Object], metadata: Mapping[str, Any]) -> Object:
        """A list put together from its parts."""
        if self.form.is_table:
            rows = [row for part in parts for row in part["rows"]]
            return {**parts[0], "rows": rows}
        shown: Object = {
            "kind": self.kind.resource.list_name,
            "apiVersion": self.kind.api_version,
            "metadata": dict(metadata),
        }
        if self.form.is_partial:
            shown |= {"kind": negotiation.PARTIAL_LIST, "apiVersion": self._meta_version}
        shown["items"] = [item for part in parts for item in part["items"]]
        return shown

    def _part(
        self, found: Sequence[records.Record], metadata: Mapping[str, Any], *, now: float
    ) -> Object:
        objects = [self.kind.read(record.decode()) for record in found]
        if self.form.is_table:
            return self._table(objects, metadata, now=now, headers=True)
        return {"items": [self._shaped(obj, now=now) for obj in objects]}

    def _table(
        self,
        objects: Sequence[Object],
        metadata: Mapping[str, Any],
        *,
        now: float,
        headers: bool,
    ) -> Object:
        return table.render(
            self.kind.version.columns,
            objects,
            now=now,
            include_object=self.include_object,
            metadata=metadata,
            has_headers=headers,
            api_version=self._meta_version,
        )

    @property
    def _meta_version(self) -> str:
        return f"{self.form.group}/{self.form.version}"


def _body(record: records.Record) -> bytes:
    return record.body


def encode(value: Any) -> bytes:
    """Compact JSON."""
    return msgspec.json.encode(value)


def write(value: Any, form: negotiation.Form) -> bytes:
    """A value as JSON or YAML, as the client accepts."""
    if form.media_type == negotiation.YAML:
        text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True)
        return text.encode()
    data = encode(value)
    return msgspec.json.format(data, indent=2) + b"\n" if form.is_pretty else data


def error_event(status: Mapping[str, Any]) -> bytes:
    """The line that ends a watch with a Status."""
    return _line(ERROR, encode(status))


def _line(event: str, document: bytes) -> bytes:
    return b'{"type":"' + event.encode() + b'","object":' + document + b"}\n"
