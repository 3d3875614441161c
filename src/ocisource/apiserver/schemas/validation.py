"""Values against an OpenAPI v3 schema, worded as kube-openapi's validator words it.

The rules are run in that validator's order: type, combinations (allOf, anyOf, oneOf, not), string,
format, number, list, enum, object. A wrong type does not stop the others.
Patterns are RE2's, as everywhere in Kubernetes.
"""

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import re2

from ocisource.apiserver.schemas import formats
from ocisource.apiserver.wording import fielderrors, gotext

FieldError = fielderrors.FieldError
Schema = Mapping[str, Any]

_MAX_PATTERN_CACHE = 1024  # compiled patterns kept
_MIN_INT64 = -(2**63)
_MAX_INT64 = 2**63 - 1
_COMBINATIONS = frozenset({"allOf", "anyOf", "oneOf", "not"})


def check(schema: Schema, value: Any, path: str) -> list[FieldError]:
    """What is wrong with ``value``, which stands at ``path``; an empty list when all is right."""
    found = list(_check_type(schema, value, path))
    if value is None:
        found.extend(_check_enum(schema, value, path))
        return found
    if not _COMBINATIONS.isdisjoint(schema):
        found.extend(_check_combinations(schema, value, path))
    if isinstance(value, str):
        found.extend(_check_string(schema, value, path))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found.extend(_check_number(schema, value, path))
    elif isinstance(value, list):
        found.extend(_check_list(schema, value, path))
    if "enum" in schema:
        found.extend(_check_enum(schema, value, path))
    if isinstance(value, Mapping):
        found.extend(_check_object(schema, value, path))
    return found


def type_name(value: Any) -> str:
    """The JSON type of a value, with ``integer`` told apart from ``number``."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer" if _MIN_INT64 <= value <= _MAX_INT64 else "number"
        case float():
            return "integer" if _is_whole(value) else "number"
        case list():
            return "array"
        case _:
            return "object"


def _is_whole(value: float) -> bool:
    return math.isfinite(value) and value.is_integer() and _MIN_INT64 <= value <= _MAX_INT64


def _check_type(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        allowed: tuple[str, ...] = ("integer", "string")
    elif wanted:
        allowed = (wanted,)
    else:
        return
    actual = type_name(value)
    if actual in allowed or (actual == "integer" and "number" in allowed):
        return
    if value is None and schema.get("nullable"):
        return
    yield fielderrors.invalid(
        path,
        actual,
        f"{path} in body must be of type {','.join(allowed)}: {gotext.quote(actual)}",
    )


def _check_enum(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    allowed = schema.get("enum")
    if not allowed or (value is None and schema.get("nullable")):
        return
    if not any(_is_same(value, choice) for choice in allowed):
        shown = [choice if isinstance(choice, str) else _json(choice) for choice in allowed]
        yield fielderrors.not_supported(path, value, shown)


def _is_same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _check_string(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        text = f"{path} in body should be at most {longest} chars long"
        yield fielderrors.invalid(path, value, text)
    if shortest is not None and len(value) < shortest:
        text = f"{path} in body should be at least {shortest} chars long"
        yield fielderrors.invalid(path, value, text)
    pattern = schema.get("pattern")
    if pattern and not _is_match(pattern, value):
        yield fielderrors.invalid(path, value, f"{path} in body should match '{pattern}'")
    name = schema.get("format")
    if name and not formats.is_valid(name, value):
        text = f"{path} in body must be of type {name}: {gotext.quote(value)}"
        yield fielderrors.invalid(path, value, text)


def is_pattern(text: str) -> bool:
    """Say whether RE2 can compile the expression."""
    return _compiled(text) is not None


def _is_match(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled(value)


@functools.lru_cache(maxsize=_MAX_PATTERN_CACHE)
def _compiled(pattern: str) -> Callable[[str], bool] | None:
    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(pattern, options)
    except re2.error:
        return None
    return lambda value: expression.search(value) is not None


def _check_number(schema: Schema, value: float, path: str) -> Iterator[FieldError]:
    if not _MIN_INT64 <= value <= _MAX_INT64:
        value = float(value)
    factor = schema.get("multipleOf")
    if factor and not _is_multiple(value, factor):
        text = f"{path} in body should be a multiple of {gotext.number(float(factor))}"
        yield fielderrors.invalid(path, value, text)
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None:
        is_exclusive = bool(schema.get("exclusiveMaximum"))
        if value > most or (is_exclusive and value == most):
            how = "less than" if is_exclusive else "less than or equal to"
            text = f"{path} in body should be {how} {gotext.number(float(most))}"
            yield fielderrors.invalid(path, value, text)
    if least is not None:
        is_exclusive = bool(schema.get("exclusiveMinimum"))
        if value < least or (is_exclusive and value == least):
            how = "greater than" if is_exclusive else "greater than or equal to"
            text = f"{path} in body should be {how} {gotext.number(float(least))}"
            yield fielderrors.invalid(path, value, text)


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    quotient = value / factor
    return math.isfinite(quotient) and _is_whole(quotient)


def _check_list(schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
    items = schema.get("items")
    if isinstance(items, Mapping):
        for at, item in enumerate(value):
            yield from check(items, item, fielderrors.index(path, at))
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        text = f"{path} in body should have at least {least} items"
        yield fielderrors.invalid(path, len(value), text)
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} items"
        yield fielderrors.invalid(path, len(value), text)
    if schema.get("uniqueItems") and _has_twins(value):
        yield fielderrors.invalid(path, "", f"{path} in body shouldn't contain duplicates")


def _has_twins(value: list[Any]) -> bool:
    texts = [_json(item) for item in value]
    return len(set(texts)) != len(texts)


def _check_object(schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        text = f"{path} in body should have at least {least} properties"
        yield fielderrors.invalid(path, least, text)
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} properties"
        yield fielderrors.invalid(path, most, text)
    properties: Schema = schema.get("properties") or {}
    for name in schema.get("required") or ():
        if name not in value:
            yield fielderrors.required(fielderrors.child(path, name))
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        for key in value:
            if key not in properties:
                yield from check(additional, value[key], fielderrors.child(path, key))
    for name, child in properties.items():
        if name in value:
            yield from check(child, value[name], fielderrors.child(path, name))


def _check_combinations(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    """AnyOf, oneOf, allOf and not, in the validator's order."""
    if any_of := schema.get("anyOf"):
        results = [check(choice, value, path) for choice in any_of]
        if all(results):
            text = "must validate at least one schema (anyOf)"
            yield fielderrors.invalid(path, "", f"{gotext.quote(path)} {text}")
            yield from _nearest(results)
    if one_of := schema.get("oneOf"):
        results = [check(choice, value, path) for choice in one_of]
        valid = sum(not result for result in results)
        if valid != 1:
            how = f"Found {valid} valid alternatives" if valid else "Found none valid"
            text = f"must validate one and only one schema (oneOf). {how}"
            yield fielderrors.invalid(path, "", f"{gotext.quote(path)} {text}")
        if not valid:
            yield from _nearest(results)
    if all_of := schema.get("allOf"):
        results = [check(choice, value, path) for choice in all_of]
        for result in results:
            yield from result
        failed = sum(bool(result) for result in results)
        if failed:
            how = " None validated" if failed == len(results) else ""
            text = f"must validate all the schemas (allOf).{how}" if how else _ALL_OF
            yield fielderrors.invalid(path, "", f"{gotext.quote(path)} {text}")
    forbidden = schema.get("not")
    if forbidden is not None and not check(forbidden, value, path):
        yield fielderrors.invalid(
            path, "", f"{gotext.quote(path)} must not validate the schema (not)"
        )


_ALL_OF = "must validate all the schemas (allOf)"


def _nearest(results: Sequence[list[FieldError]]) -> list[FieldError]:
    """The errors of the first alternative with the fewest of them."""
    return min(results, key=len)
