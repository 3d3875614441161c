"""Which fields of a status an installed definition keeps."""

import copy
import dataclasses
import typing
from collections.abc import Mapping

import msgspec
import pytest

from ocisource import errors
from ocisource.api import artifact, meta, ocirepository
from ocisource.kube import resources
from ocisource.manifests import load
from ocisource.reconciler import kept
from tests.manifests import flux

_PATH = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
    "ocirepositories.source.toolkit.fluxcd.io"
)
_OPENAPI = "/openapi/v3/apis/source.toolkit.fluxcd.io/v1"
_RESOURCE = resources.Resource(
    ocirepository.GROUP,
    "v1",
    ocirepository.PLURAL,
    ocirepository.KIND,
    ocirepository.OCIRepository,
)
_STATUS = ocirepository.Status(
    observed_generation=1,
    artifact=artifact.Artifact(path="p", checksum="c", digest="sha256:d", metadata={"a": "b"}),
    observed_ignore="*.md",
)


class Documents:
    """An API server with a few documents; what is not there may not be read."""

    def __init__(self, documents: Mapping[str, Mapping[str, typing.Any]], code: int = 403) -> None:
        self._documents = documents
        self._code = code

    async def document(self, path: str) -> Mapping[str, typing.Any]:
        """The document."""
        if path not in self._documents:
            raise errors.APIStatusError("no", code=self._code)
        return self._documents[path]


def definition(*lacking: str) -> dict[str, typing.Any]:
    """The shipped definition without some fields of its status, ``artifact.checksum`` say."""
    made = copy.deepcopy(load.crd())
    for version in made["spec"]["versions"]:
        for name in lacking:
            at = version["schema"]["openAPIV3Schema"]["properties"]["status"]
            *parents, last = name.split(".")
            for parent in parents:
                at = at["properties"][parent]
            del at["properties"][last]
    return made


async def test_the_shipped_definition_keeps_everything() -> None:
    """Nothing is copied or compared in vain: the status is handed back as it is."""
    found = await kept.read(Documents({_PATH: load.crd()}), _RESOURCE)
    assert found.dropped == ()
    assert found.status(_STATUS) is _STATUS


async def test_what_is_not_kept_is_neither_compared_nor_sent() -> None:
    """And everything else stays."""
    documents = {_PATH: definition("artifact.checksum", "contentConfigChecksum")}
    found = await kept.read(Documents(documents), _RESOURCE)
    assert found.dropped == ("artifact.checksum", "contentConfigChecksum")
    assert found.has_observed_config
    assert _STATUS.artifact is not None
    wanted = msgspec.structs.replace(
        _STATUS, artifact=msgspec.structs.replace(_STATUS.artifact, checksum="")
    )
    assert found.status(_STATUS) == wanted


@pytest.mark.parametrize(
    ("release", "version", "dropped"),
    [
        (
            *("v0.29", "v1beta2"),
            (
                *("artifact.digest", "contentConfigChecksum"),
                *("observedIgnore", "observedLayerSelector"),
            ),
        ),
        ("v1.5", "v1beta2", ("artifact.checksum",)),
        ("v1.6", "v1beta2", ("artifact.checksum",)),
        ("v1.6", "v1", ("artifact.checksum", "contentConfigChecksum")),
        ("v1.9", "v1", ("artifact.checksum", "contentConfigChecksum")),
    ],
)
async def test_each_definition_of_flux_keeps_its_own(
    release: str, version: str, dropped: tuple[str, ...]
) -> None:
    """From the first with the fields we need to today's."""
    resource = dataclasses.replace(_RESOURCE, version=version)
    found = await kept.read(Documents({_PATH: flux.RELEASES[release]}), resource)
    assert found.dropped == dropped
    assert found.has_observed_config == ("observedIgnore" not in dropped)


async def test_without_observed_rules_a_new_generation_may_have_changed_them() -> None:
    """Otherwise every run would find them changed, and every recovery be news."""
    found = await kept.read(Documents({_PATH: definition("observedIgnore")}), _RESOURCE)
    obj = ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(name="a", namespace="b", generation=1),
        spec=ocirepository.Spec(ignore="*.md"),
        status=found.status(_STATUS),
    )
    assert obj.status.observed_ignore is None
    assert not found.is_content_config_changed(obj)
    assert found.comparable(obj.status, _STATUS).observed_ignore == "*.md"
    newer = msgspec.structs.replace(obj, metadata=meta.ObjectMeta(generation=2))
    assert found.is_content_config_changed(newer)
    assert kept.EVERYTHING.is_content_config_changed(obj)


async def test_where_the_definition_may_not_be_read_the_openapi_document_tells() -> None:
    """Everybody may read that, on servers that have it."""
    schema = definition("artifact.checksum")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    kind = {"group": ocirepository.GROUP, "version": "v1", "kind": ocirepository.KIND}
    schemas = {"other": {}, "it": schema | {"x-kubernetes-group-version-kind": [kind]}}
    documents = Documents({_OPENAPI: {"components": {"schemas": schemas}}})
    assert (await kept.read(documents, _RESOURCE)).dropped == ("artifact.checksum",)


@pytest.mark.parametrize("code", [403, 404])
async def test_without_any_document_everything_is_taken_for_kept(code: int) -> None:
    """A write too many does less harm than one too few."""
    assert await kept.read(Documents({}, code), _RESOURCE) is kept.EVERYTHING


async def test_a_server_in_trouble_is_no_answer() -> None:
    """The controller does not start on a guess."""
    with pytest.raises(errors.APIStatusError):
        await kept.read(Documents({}, 500), _RESOURCE)


async def test_a_schema_that_preserves_unknown_fields_keeps_them() -> None:
    """As a definition without a schema of its own does."""
    made = load.crd()
    for version in made["spec"]["versions"]:
        properties = version["schema"]["openAPIV3Schema"]["properties"]
        properties["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert (await kept.read(Documents({_PATH: made}), _RESOURCE)).dropped == ()
