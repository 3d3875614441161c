"""Bodies of requests: bounded, decoded from JSON, YAML or protobuf, duplicate members noticed.

YAML comes in from ``kubectl apply --server-side``; it is bounded in size, depth and in what its
aliases unfold to, before anything is built from it.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import yaml

from ocisource import errors
from ocisource.apiserver.forms import protobuf
from ocisource.apiserver.wording import failures, fielderrors, gojson, gotext

MAX_BODY = 3 * 1024 * 1024  # bytes; kube-apiserver's MaxRequestBodyBytes
MAX_DEPTH = 128  # nested values; far above any schema, far below the interpreter's stack
MAX_YAML_NODES = 200_000  # after aliases are unfolded
MAX_COMPLAINTS = 100  # told of one body, as sigs.k8s.io/json keeps of strict errors

JSON = "application/json"
YAML = "application/yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
YAML_ERRORS = "yaml: unmarshal errors:"  # go-yaml's heading over one line for each of them
OBJECT_TYPES = (JSON, YAML, protobuf.MEDIA_TYPE)
# What kube-apiserver lists for custom resources; a strategic patch is taken here all the same.
CUSTOM_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

_OPERATION_MEMBERS = frozenset({"op", "path", "from", "value"})
_OPENERS = re.compile(rb"[\[{\]}\"\\]")
_TOO_LARGE = f"limit is {MAX_BODY}"


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded body.

    ``complaints`` is what a strict decoder finds in the text itself, in its words: members that
    stand twice in their object, and strangers in the operations of a JSON patch. ``patch`` is the
    strategic merge patch that led to the value, which refusals show instead of the value.
    """

    value: Any
    complaints: tuple[str, ...] = ()
    patch: Mapping[str, Any] | None = None


def too_large() -> errors.APIStatusError:
    """The refusal of a body above MAX_BODY."""
    return failures.too_large(_TOO_LARGE)


def media_type(header: str) -> str:
    """A Content-Type without its parameters."""
    return header.partition(";")[0].strip().lower()


def decode(data: bytes, *, content_type: str, is_strict: bool = False) -> Decoded:
    """Decode JSON, YAML or protobuf; raises InvalidInputError with what Go's decoders would say."""
    if content_type == protobuf.MEDIA_TYPE:
        return Decoded(protobuf.decode(data))
    if content_type in (YAML, APPLY_PATCH) and not _is_json(data):
        return Decoded(_yaml(data), _repeated_in_yaml(data) if is_strict else ())
    check_depth(data)
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInputError(_go_text(data, error)) from error
    return Decoded(value, _found(data, value, content_type) if is_strict else ())


def _found(data: bytes, value: Any, content_type: str) -> tuple[str, ...]:
    """What a strict decoder finds in JSON."""
    duplicates = _duplicates(data)
    if content_type == APPLY_PATCH:
        # An intent is read as YAML, whatever it looks like.
        return _repeated_in_yaml(data) if duplicates else ()
    is_patch = content_type == JSON_PATCH
    prefix = "json patch " if is_patch else ""
    strangers = _strangers(value) if is_patch else ()
    found = (
        *(f'{prefix}unknown field "{path}"' for path in strangers),
        *(f'{prefix}duplicate field "{path}"' for path in duplicates),
    )
    return found[:MAX_COMPLAINTS]


def _strangers(patch: Any) -> Iterator[str]:
    """Members of a JSON patch's operations that RFC 6902 does not know."""
    for at, operation in enumerate(patch if isinstance(patch, list) else ()):
        for key in operation if isinstance(operation, dict) else ():
            if key not in _OPERATION_MEMBERS:
                yield fielderrors.child(fielderrors.index("", at), key)


def _is_json(data: bytes) -> bool:
    """Whether YAML is JSON already, as kubectl sends it."""
    if not data.lstrip().startswith(b"{"):
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    except RecursionError:
        return True  # as far as it could be read; its depth is refused next
    return True


def check_depth(data: bytes) -> None:
    """Refuse JSON that nests deeper than MAX_DEPTH; raises InvalidInputError."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    is_text = False
    skip = -1
    for found in _OPENERS.finditer(data):
        char = found[0]
        if found.start() == skip:
            continue
        if char == b"\\":
            skip = found.end()
        elif char == b'"':
            is_text = not is_text
        elif not is_text:
            depth += 1 if char in b"[{" else -1
            if depth > MAX_DEPTH:
                raise errors.InvalidInputError("exceeded max depth")


def _duplicates(data: bytes) -> tuple[str, ...]:
    """Paths of members that stand twice in their object, in the order of the text."""
    repeated: dict[int, list[str]] = {}

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            repeated[id(built)] = _repeated(key for key, _ in pairs)
        return built

    root = json.loads(data, object_pairs_hook=build)
    return tuple(_paths(root, "", repeated)) if repeated else ()


def _paths(value: Any, path: str, repeated: dict[int, list[str]]) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (fielderrors.child(path, key) for key in repeated.get(id(value), ()))
        for key, item in value.items():
            yield from _paths(item, fielderrors.child(path, key), repeated)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _paths(item, fielderrors.index(path, at), repeated)


def _repeated(keys: Iterable[str]) -> list[str]:
    counted = collections.Counter(keys)
    return [key for key, count in counted.items() if count > 1]


def _go_text(data: bytes, error: Exception) -> str:
    return gojson.complaint(data) or f"invalid JSON: {error}"


class _Loader(yaml.CSafeLoader):
    """A YAML loader that reads what Kubernetes reads: YAML whose values are JSON's."""


# Times stay text (Kubernetes decodes YAML by way of JSON).
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _yaml(data: bytes) -> Any:
    try:
        _check_yaml(data)
        value = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader without times
        # By way of JSON: it refuses sets and binary, and unfolds what aliases share.
        return msgspec.json.decode(msgspec.json.encode(_string_keys(value)))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise errors.InvalidInputError(f"error converting YAML to JSON: yaml: {text}") from error


def _repeated_in_yaml(data: bytes) -> tuple[str, ...]:
    """What go-yaml says of keys that stand twice in their mapping: one text of several lines."""
    lines: list[str] = []
    # Of each open mapping its keys, and whether a key comes next; None for a sequence.
    open_nodes: list[_Keys | None] = []
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            continue
        inner = open_nodes[-1] if open_nodes else None
        if inner is not None and isinstance(event, yaml.NodeEvent):
            if inner.is_due and isinstance(event, yaml.ScalarEvent) and not inner.note(event.value):
                line = event.start_mark.line + 1 if event.start_mark else 0
                lines.append(f"\n  line {line}: key {gotext.quote(event.value)} already set in map")
            inner.is_due = not inner.is_due
        if isinstance(event, yaml.MappingStartEvent):
            open_nodes.append(_Keys())
        elif isinstance(event, yaml.SequenceStartEvent):
            open_nodes.append(None)
    if not lines:
        return ()
    return (YAML_ERRORS + "".join(lines[:MAX_COMPLAINTS]),)


class _Keys:
    """The keys of a mapping that is being read; ``is_due`` when the next node is a key."""

    def __init__(self) -> None:
        self.is_due = True
        self._seen: set[str] = set()

    def note(self, key: str) -> bool:
        """Take note of a key; returns whether it is new."""
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def _check_yaml(data: bytes) -> None:
    """Refuse nesting and alias bombs from the event stream alone; raises YAMLError."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > MAX_DEPTH:
                raise yaml.YAMLError("exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - start
        if total > MAX_YAML_NODES:
            raise yaml.YAMLError("document contains excessive aliasing")


def _string_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _string_keys(item) for key, item in value.items()}
    return [_string_keys(item) for item in value] if isinstance(value, list) else value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise TypeError(f"unsupported map key of type {type(key).__name__}")
