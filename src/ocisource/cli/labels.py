"""What the `create` commands have in common: names, namespaces, labels, lists with commas."""

import os
from collections.abc import Iterable, Sequence

from ocisource import errors
from ocisource.cli import choice, cluster
from ocisource.wire import names as wire_names


def checked_name(names: Sequence[str]) -> str:
    """The name of the object to create: a DNS label (one character will do); raises UsageError."""
    if not names or not names[0]:
        raise errors.UsageError("name is required")
    if not wire_names.is_dns_label(names[0]):
        raise errors.UsageError(
            f"name '{names[0]}' is invalid, it should adhere to standard defined in RFC 1123, the "
            "name can only contain alphanumeric characters or '-'"
        )
    return names[0]


def namespace(chosen: choice.Chosen) -> str:
    """The namespace for ``--export``, where no cluster is needed."""
    if chosen.namespace or not (chosen.kubeconfig or chosen.is_namespace_following):
        return cluster.named_namespace(chosen, os.environ)
    return cluster.locate(chosen).namespace


def comma_list(values: Iterable[str]) -> list[str]:
    """The items of options that take comma lists and may be repeated."""
    return [item for value in values for item in value.split(",") if item]


def parse(values: Iterable[str]) -> dict[str, str]:
    """Labels of ``k=v`` items; raises UsageError."""
    found: dict[str, str] = {}
    for item in comma_list(values):
        key, equals, value = item.partition("=")
        if not equals or "=" in value:
            raise errors.UsageError(f"invalid label format '{item}', must be key=value")
        if wrong := wire_names.qualified_name_errors(key):
            raise errors.UsageError(f"invalid label '{key}': [{' '.join(wrong)}]")
        if wrong := wire_names.label_value_errors(value):
            raise errors.UsageError(f"invalid label value '{value}': [{' '.join(wrong)}]")
        found[key] = value
    return found
