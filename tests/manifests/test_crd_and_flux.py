"""The shipped definition beside those of Flux: what is valid there is valid here."""

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from ocisource.manifests import load
from tests.manifests import flux

_BOUNDS = ("minimum", "minLength")


def _pairs(theirs: Any, ours: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    """Each of their fields with ours of the same place (None where there is none)."""
    for name, each in theirs.get("properties", {}).items():
        here = f"{at}.{name}".lstrip(".")
        own = (ours or {}).get("properties", {}).get(name)
        yield here, each, own
        yield from _pairs(each.get("items", each), (own or {}).get("items", own), here)


def _fields(release: str) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for version in flux.RELEASES[release]["spec"]["versions"]:
        theirs = version["schema"]["openAPIV3Schema"]
        found += _pairs(theirs, load.schema(version["name"]), "")
    return found


@pytest.mark.parametrize("release", flux.RELEASES)
def test_every_field_of_flux_is_known_with_its_type(release: str) -> None:
    """An object that Flux's definition takes loses nothing under ours."""
    fields = _fields(release)
    assert len(fields) > 40
    for path, theirs, ours in fields:
        assert ours is not None, path
        assert ours["type"] == theirs["type"], path
        assert ours.get("format") == theirs.get("format"), path
        if "additionalProperties" in theirs:
            assert ours["additionalProperties"]["type"] == "string", path


@pytest.mark.parametrize("release", flux.RELEASES)
def test_nothing_is_asked_for_that_flux_does_not_ask_for(release: str) -> None:
    """No key is required, no value refused, no text cut, that Flux lets pass; defaults agree."""
    for path, theirs, ours in _fields(release):
        theirs_at, ours_at = theirs.get("items", theirs), ours.get("items", ours)
        assert set(ours_at.get("required", ())) <= set(theirs_at.get("required", ())), path
        assert set(theirs.get("enum", ())) <= set(ours.get("enum", theirs.get("enum", ()))), path
        assert ours.get("default") == theirs.get("default"), path
        assert ours.get("maxLength", 1 << 30) >= theirs.get("maxLength", 0), path
        for bound in _BOUNDS:
            assert ours.get(bound, 0) <= theirs.get(bound, 0), path


@pytest.mark.parametrize("name", ["interval", "timeout"])
@hypothesis.settings(max_examples=25)  # texts of a pattern take long to make
@hypothesis.given(data=strategies.data())
def test_a_duration_that_flux_admits_is_admitted(name: str, data: strategies.DataObject) -> None:
    """Its pattern knows fewer units and no signs."""
    theirs = flux.schema(flux.V1_9, "v1")["properties"]["spec"]["properties"][name]["pattern"]
    ours = load.schema("v1")["properties"]["spec"]["properties"][name]["pattern"]
    text = data.draw(strategies.from_regex(re.compile(theirs, re.ASCII), fullmatch=True))
    assert re.search(ours, text)


def test_names_and_columns_are_those_of_flux() -> None:
    """`kubectl get` finds and shows the same, whichever definition is installed."""
    theirs, ours = flux.V1_9["spec"], load.crd()["spec"]
    assert ours["names"] == theirs["names"]
    assert (ours["group"], ours["scope"]) == (theirs["group"], theirs["scope"])
    for version in ours["versions"]:
        columns = version["additionalPrinterColumns"]
        assert columns == theirs["versions"][0]["additionalPrinterColumns"]
        assert version["subresources"] == {"status": {}}
