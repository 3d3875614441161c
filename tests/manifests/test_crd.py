"""The OCIRepository CRD: what it says, and that the code reads and writes just that."""

import pathlib
import re
from collections.abc import Iterator

import hypothesis
import msgspec
import pytest
import yaml
from hypothesis import strategies

from ocisource import errors
from ocisource.api import artifact, conditions, meta, ocirepository
from ocisource.cli.sources import createsource
from ocisource.manifests import load
from ocisource.oci.providers import logins
from ocisource.wire import durations

_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")


def test_the_file_of_the_definition_is_where_messages_say() -> None:
    """For `kubectl apply -f`."""
    assert yaml.safe_load(pathlib.Path(load.crd_path()).read_text()) == load.crd()


def test_both_versions_carry_one_schema() -> None:
    """An object reads the same through either version, so no conversion is needed."""
    served = load.crd()["spec"]["versions"]
    assert [(each["name"], each["served"], each["storage"]) for each in served] == [
        ("v1", True, True),
        ("v1beta2", True, False),
    ]
    first, second = ({**each, "name": "", "storage": None} for each in served)
    assert first == second


def test_names_are_those_of_the_code() -> None:
    """Group, kind, plural and versions are the constants the code asks for."""
    spec = load.crd()["spec"]
    assert spec["group"] == ocirepository.GROUP
    assert spec["names"]["kind"] == ocirepository.KIND
    assert spec["names"]["plural"] == ocirepository.PLURAL
    assert {each["name"] for each in spec["versions"]} == set(ocirepository.VERSIONS)
    assert load.crd()["metadata"]["name"] == f"{ocirepository.PLURAL}.{ocirepository.GROUP}"


def test_columns_are_url_ready_status_age() -> None:
    """NAME is kubectl's own; the others stand in this order, also in the live table."""
    columns = load.crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [(each["name"], each["type"]) for each in columns] == [
        ("URL", "string"),
        ("Ready", "string"),
        ("Status", "string"),
        ("Age", "date"),
    ]


@pytest.mark.parametrize(
    ("path", "struct", "only_in_schema"),
    [
        ("spec", ocirepository.Spec, set()),
        ("spec.ref", ocirepository.Ref, set()),
        ("spec.layerSelector", ocirepository.LayerSelector, set()),
        ("spec.secretRef", meta.LocalObjectReference, set()),
        ("status", ocirepository.Status, set()),
        ("status.conditions", conditions.Condition, set()),
        ("status.artifact", artifact.Artifact, set()),
        ("status.observedLayerSelector", ocirepository.LayerSelector, set()),
    ],
)
def test_schema_and_code_know_the_same_fields(
    path: str, struct: type[msgspec.Struct], only_in_schema: set[str]
) -> None:
    """No field is declared that the code does not read, and none is written that gets pruned."""
    at = load.schema("v1")
    for name in path.split("."):
        at = at["properties"][name]
    at = at.get("items", at)
    in_code = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert set(at["properties"]) - only_in_schema == in_code


def test_every_field_is_described() -> None:
    """`kubectl explain` has something to say on every field."""
    missing = [path for path, each in _fields(load.schema("v1"), "") if "description" not in each]
    assert missing == ["metadata"]


def test_defaults_are_those_of_the_code() -> None:
    """What the server fills in is what the code assumes of an absent field."""
    schema = load.schema("v1")["properties"]
    assert schema["spec"]["properties"]["timeout"]["default"] == ocirepository.DEFAULT_TIMEOUT
    assert schema["spec"]["properties"]["provider"]["default"] == ocirepository.GENERIC_PROVIDER
    assert schema["status"]["default"] == {"observedGeneration": -1}
    message = schema["status"]["properties"]["conditions"]["items"]["properties"]["message"]
    assert message["maxLength"] == conditions.MAX_MESSAGE_BYTES


def test_words_are_those_of_the_code() -> None:
    """The schema admits exactly the providers and operations that the code knows."""
    spec = load.schema("v1")["properties"]["spec"]["properties"]
    assert spec["provider"]["enum"] == [ocirepository.GENERIC_PROVIDER, *logins.NAMES]
    operations = [ocirepository.EXTRACT, ocirepository.COPY]
    assert spec["layerSelector"]["properties"]["operation"]["enum"] == operations
    status = load.schema("v1")["properties"]["status"]["properties"]
    assert status["observedLayerSelector"]["properties"]["operation"]["enum"] == operations
    assert spec["verify"]["properties"]["provider"]["enum"] == list(createsource.VERIFIERS)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(load.schema("v1")["properties"]["spec"]["properties"][name]["pattern"])


@pytest.mark.parametrize("name", ["interval", "timeout"])
@hypothesis.given(
    text=strategies.text(alphabet="0159.+-nuµμmsh d", max_size=12)
    | strategies.lists(
        strategies.tuples(
            strategies.decimals(min_value=0, max_value=10**5, places=2).map(str),
            strategies.sampled_from(_UNITS),
        ).map("".join),
        min_size=1,
        max_size=4,
    ).map("".join)
)
def test_durations_are_those_of_the_code(name: str, text: str) -> None:
    """The schema admits exactly the durations that the code can read."""
    try:
        durations.parse(text)
    except errors.InvalidInputError:
        is_read = False
    else:
        is_read = True
    assert (_pattern(name).search(text) is not None) == is_read


def _fields(schema: load.Document, path: str) -> Iterator[tuple[str, load.Document]]:
    for name, each in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here, each
        yield from _fields(each.get("items", each), here)
