"""What is built holds what it needs: wheel and source archive, with the pinned requirements."""

import pathlib
import re
import tarfile
import tomllib
import zipfile

import pytest
from hatchling.builders import sdist, wheel

import ocisource
from ocisource import version

_ROOT = pathlib.Path(__file__).parents[1]
_EXAMPLE = ("deployment.yaml", "hpa.yaml", "kustomization.yaml", "service.yaml")


def _data_files() -> set[str]:
    source = _ROOT / "src"
    return {
        str(path.relative_to(source))
        for path in (source / "ocisource" / "manifests").rglob("*.*")
        if path.suffix in {".yaml", ".json"}
    } | {f"ocisource/demo/podinfo/kustomize/{name}" for name in _EXAMPLE}


def test_the_wheel_holds_manifests_and_example(tmp_path: pathlib.Path) -> None:
    """An installation from the package index can install and show itself."""
    (path,) = wheel.WheelBuilder(str(_ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert len(_data_files()) > 12
    assert _data_files() <= set(names)
    assert len(names) == len(set(names))


def test_the_source_archive_holds_the_same(tmp_path: pathlib.Path) -> None:
    """A wheel built from it lacks nothing."""
    (path,) = sdist.SdistBuilder(str(_ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(path) as archive:
        names = {name.partition("/src/")[2] for name in archive.getnames()}
    assert _data_files() <= names


@pytest.mark.parametrize("name", ["run", "image"])
def test_requirements_are_pinned_as_the_tests_have_them(name: str) -> None:
    """What is shipped is what was tested: the same versions, each with its hashes."""
    tested = _pins("dev")
    for package, pinned in _pins(name).items():
        assert tested[package] == pinned
    text = (_ROOT / "requirements" / f"{name}.txt").read_text()
    assert text.count("==") == len(_pins(name))
    assert "://" not in text


def _pins(name: str) -> dict[str, str]:
    text = (_ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\\n    --hash=sha256:", text, re.MULTILINE))


def test_one_version_everywhere() -> None:
    """The package's data, the ground floor and the library's face name the same release."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == version.VERSION == ocisource.__version__
