"""What the `create` commands have in common: names, namespaces, labels, lists with commas."""

import os
from collections.abc import Iterable, Sequence

from ocisource import errors
from ocisource.cli import choice, cluster, output
from ocisource.wire import names as wire_names


def checked_name(names: Sequence[str]) -> str:
    """The name of the object to create: a DNS label (one character will do); raises UsageError."""
    name = output.one_name(names, missing="name is required")
    if not wire_names.is_dns_label(name):
        raise errors.UsageError(
            f"name '{name}' is invalid, it should adhere to standard defined in RFC 1123, the "
            "name can only contain alphanumeric characters or '-'"
        )
    return name


def namespace(chosen: choice.Chosen) -> str:
    """The namespace for ``--export``: the one that would be meant without it.

    No cluster is needed: where there is none, or an ambient kubeconfig is of no use, it is the
    namespace that options and environment name.
    """
    is_explicit = chosen.kubeconfig is not None or chosen.context or chosen.is_namespace_following
    try:
        return cluster.locate(chosen).namespace
    except errors.OcisourceError:
        if is_explicit and not chosen.namespace:
            raise
        return cluster.named_namespace(chosen, os.environ)


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
