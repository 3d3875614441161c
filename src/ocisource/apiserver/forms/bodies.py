"""Bodies of requests: bounded, decoded from JSON, YAML or protobuf, duplicate members noticed.

YAML comes in from ``kubectl apply --server-side``; it is bounded in size, depth and in what its
aliases unfold to, before anything is built from it.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import yaml

from ocisource import errors
from ocisource.apiserver.forms import protobuf
from ocisource.apiserver.wording import failures, fielderrors, gojson

MAX_BODY = 3 * 1024 * 1024  # bytes; kube-apiserver's MaxRequestBodyBytes
MAX_DEPTH = 128  # nested values; far above any schema, far below the interpreter's stack
MAX_YAML_NODES = 200_000  # after aliases are unfolded

JSON = "application/json"
YAML = "application/yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
OBJECT_TYPES = (JSON, YAML, protobuf.MEDIA_TYPE)
# What kube-apiserver lists for custom resources; a strategic patch is taken here all the same.
CUSTOM_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

_OPENERS = re.compile(rb"[\[{\]}\"\\]")
_TOO_LARGE = f"limit is {MAX_BODY}"


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded body; ``duplicates`` are members that stood twice in their object."""

    value: Any
    duplicates: tuple[str, ...] = ()


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
        return Decoded(_yaml(data))
    check_depth(data)
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInputError(_go_text(data, error)) from error
    return Decoded(value, _duplicates(data) if is_strict else ())


def _is_json(data: bytes) -> bool:
    """Whether YAML is JSON already, as kubectl sends it."""
    if not data.lstrip().startswith(b"{"):
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
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
