"""The tolerated differences, each with its reason, and the verdict on one case.

``differences.toml`` says for a case what the embedded server answers instead and why. A case that
is listed must differ exactly so: a difference that went away, or became another one, is as wrong
as one that nobody listed.
"""

import dataclasses
import json
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

_FILE = pathlib.Path(__file__).with_name("differences.toml")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One tolerated difference: the fields in which the embedded server's answer is another."""

    case: str
    reason: str
    embedded: Mapping[str, Any]


def load(section: str, *, client: int = 0) -> dict[str, Difference]:
    """The differences of a section of the file, by case; ``client`` is kubectl's minor version."""
    document = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    found: dict[str, Difference] = {}
    for entry in document.get(section, []):
        if not entry.get("since", 0) <= client <= entry.get("until", client):
            continue
        reason = document["reasons"][entry["reason"]]
        for case in entry.get("cases", [entry.get("case")]):
            assert case not in found, f"{case} is listed twice"
            found[case] = Difference(case, reason, _decoded(entry.get("embedded", {})))
    return found


def _decoded(embedded: Mapping[str, Any]) -> dict[str, Any]:
    """What is expected; bodies are written as JSON texts."""
    return {
        name: json.loads(value) if name == "body" else value for name, value in embedded.items()
    }


def verdict(
    case: str,
    embedded: Mapping[str, Any],
    real: Mapping[str, Any],
    tolerated: Mapping[str, Difference],
) -> str:
    """What is wrong with a pair of masked answers; empty when nothing is."""
    difference = tolerated.get(case)
    if difference is None:
        return "" if embedded == real else _shown(case, embedded, real)
    if embedded == real:
        return f"{case}: listed as a difference, but there is none any more"
    wrong = {
        name: (embedded.get(name), wanted)
        for name, wanted in difference.embedded.items()
        if embedded.get(name) != wanted
    }
    unlisted = {
        name: (embedded[name], real[name])
        for name in embedded
        if name not in difference.embedded and embedded[name] != real[name]
    }
    if not wrong and not unlisted:
        return ""
    lines = [f"{case}: differs otherwise than listed ({difference.reason})"]
    lines += [
        f"  {name}\n    got:    {got!r}\n    listed: {want!r}"
        for name, (got, want) in wrong.items()
    ]
    lines += [
        f"  {name}\n    embedded: {got!r}\n    real:     {want!r}"
        for name, (got, want) in unlisted.items()
    ]
    return "\n".join(lines)


def _shown(case: str, embedded: Mapping[str, Any], real: Mapping[str, Any]) -> str:
    lines = [case]
    for name in embedded:
        if embedded[name] != real[name]:
            lines += [
                f"  {name}",
                f"    embedded: {embedded[name]!r}",
                f"    real:     {real[name]!r}",
            ]
    return "\n".join(lines)
