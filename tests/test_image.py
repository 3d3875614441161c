"""The container image, as far as it can be judged without an engine that builds it.

What the Dockerfile says is held against the tree, the ignore file, the requirements and the
Deployment; the package is built from just the files that the build would see.
"""

import json
import pathlib
import re
import shutil
import tomllib
import zipfile
from typing import Any

import pytest
from hatchling.builders import wheel

from ocisource import settings
from ocisource.manifests import load

_ROOT = pathlib.Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each on one line, without comments."""
    text = re.sub(r"^#.*\n", "", (_ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def of(word: str) -> list[str]:
    """What follows each instruction of a kind."""
    return [rest for each, rest in instructions() if each == word]


def copied() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY from the build's context."""
    lines = [each.split() for each in of("COPY") if not each.startswith("--from")]
    return [(words[:-1], words[-1]) for words in lines]


def variables() -> dict[str, str]:
    """The environment of the final stage."""
    return dict(pair.split("=", 1) for pair in of("ENV")[-1].split())


def pod() -> dict[str, Any]:
    """The Pod of the shipped Deployment."""
    (deployment,) = load.documents("deployment.yaml")
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def container() -> dict[str, Any]:
    """Its one container."""
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


def test_every_stage_begins_with_one_pinned_base() -> None:
    """Both stages have the same Python, which is the one the tests run on at least."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    (version,) = (each.removeprefix("PYTHON=") for each in of("ARG"))
    assert f">={version}" == project["requires-python"]
    bases = {each.partition(" ")[0] for each in of("FROM")}
    assert bases == {"python:${PYTHON}-slim-bookworm"}
    assert len(of("FROM")) == 2


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """Every COPY source exists and is let through by .dockerignore; nothing else is."""
    ignore = (_ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"  # everything, until it is let through
    allowed = {line.removeprefix("!") for line in rules if line.startswith("!")}
    names = {name for sources, _ in copied() for name in sources}
    assert names == allowed
    for name in names:
        assert (_ROOT / name).exists()
    assert [each for each in of("COPY") if each.startswith("--from")] == [
        "--from=build /opt/ocisource /opt/ocisource"
    ]


def test_the_package_is_built_from_what_is_copied(tmp_path: pathlib.Path) -> None:
    """The build's context lacks nothing that the wheel holds."""
    context = tmp_path / "context"
    for sources, target in copied():
        for name in sources:
            source, at = _ROOT / name, context / target
            if source.is_dir():  # its content, into the target
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, at, symlinks=True, ignore=ignored)
            else:
                at.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, at / source.name)
    assert built(context, tmp_path / "a") == built(_ROOT, tmp_path / "b")


def built(root: pathlib.Path, folder: pathlib.Path) -> set[str]:
    """The names in the wheel that is built from a folder."""
    (path,) = wheel.WheelBuilder(str(root)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_nothing_is_installed_without_its_hash() -> None:
    """Pinned wheels from the shipped list, then the package itself and nothing it asks for."""
    installs = [each for line in of("RUN") for each in re.findall(r"pip install ([^&]*)", line)]
    assert [each.strip() for each in installs] == [
        "--require-hashes --only-binary :all: -r requirements/image.txt",
        "--no-deps --no-build-isolation .",
    ]
    assert not of("ADD")
    hashes = {name: hashes_of(name) for name in ("image", "dev")}
    for package, found in hashes["image"].items():
        assert found
        assert found == hashes["dev"][package], package


def hashes_of(name: str) -> dict[str, frozenset[str]]:
    """The hashes of each requirement."""
    text = (_ROOT / "requirements" / f"{name}.txt").read_text()
    found = re.findall(r"^(\S+)==\S+ \\\n((?:    --hash=.*\n)+)", text, re.MULTILINE)
    return {package: frozenset(re.findall(r"sha256:\w+", lines)) for package, lines in found}


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    """Kubernetes' runAsNonRoot can be judged only by a number; the Deployment names no other."""
    (user,) = of("USER")
    uid, _, gid = user.partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    (data,) = (line for line in of("RUN") if line.startswith("install -d"))
    assert f"-o {uid} -g {gid} " in data
    security = [pod()["securityContext"], container()["securityContext"]]
    for each in security:
        assert each["runAsNonRoot"] is True
        assert each.get("runAsUser", int(uid)) == int(uid)


def test_the_image_ends_with_the_command() -> None:
    """The Deployment's arguments follow the command itself, which the package installs."""
    (entry,) = of("ENTRYPOINT")
    (command,) = json.loads(entry)
    scripts = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert command in scripts
    assert variables()["PATH"].startswith("/opt/ocisource/bin:")
    assert container()["args"][0] == "controller"
    assert "command" not in container()


def test_folders_and_ports_are_those_of_the_deployment() -> None:
    """What is written goes to a volume; what is listened on is declared."""
    mounts = {each["mountPath"] for each in container()["volumeMounts"]}
    assert mounts == {"/data", "/tmp"}
    assert settings.Settings().storage_path.as_posix() in mounts
    assert variables()["HOME"] in mounts
    assert of("WORKDIR")[-1] in mounts
    assert variables()["PYTHONDONTWRITEBYTECODE"] == "1"  # the root is read-only
    (exposed,) = of("EXPOSE")
    ports = {str(each["containerPort"]) for each in container()["ports"]}
    assert set(exposed.split()) == ports


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", 8 << 20), ("MALLOC_TRIM_THRESHOLD_", 16 << 20)],
)
def test_reads_of_a_registry_stay_in_the_heap(name: str, value: int) -> None:
    """As measured: glibc's defaults double the cost of a request over plain HTTP."""
    assert int(variables()[name]) == value
