"""The command line's keychain: which file, which key, which helper."""

import asyncio
import base64
import json
import pathlib
from collections.abc import Callable, Mapping

import pytest

from ocisource import errors
from ocisource.oci.authentication import credentials, docker_config
from ocisource.oci.grammar.reference import Repository

APP = Repository.parse("ghcr.io/org/app")


def config(user: str, key: str = "ghcr.io") -> dict[str, object]:
    """A config with one entry."""
    return {"auths": {key: {"auth": base64.b64encode(f"{user}:p".encode()).decode()}}}


def write(path: pathlib.Path, content: Mapping[str, object]) -> None:
    """Write JSON, making the folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


async def user(home: pathlib.Path, environ: Mapping[str, str], repository: Repository = APP) -> str:
    """User that is found, "" for anonymous."""
    keychain = docker_config.DockerConfig.load(environ=environ, home=home)
    found = await keychain.credential(repository)
    return found.username if found else ""


async def test_files_are_tried_in_order(tmp_path: pathlib.Path) -> None:
    """DOCKER_CONFIG, home, REGISTRY_AUTH_FILE, Podman's file, nothing."""
    environ = {
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "registry.json"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    assert await user(tmp_path, environ) == ""
    write(tmp_path / "run" / "containers" / "auth.json", config("podman"))
    assert await user(tmp_path, environ) == "podman"
    write(tmp_path / "registry.json", config("registry"))
    assert await user(tmp_path, environ) == "registry"
    write(tmp_path / "docker" / "config.json", config("docker"))
    assert await user(tmp_path, environ) == "docker"
    write(tmp_path / ".docker" / "config.json", config("home"))
    assert await user(tmp_path, environ) == "docker"
    assert await user(tmp_path, {}) == "home"


async def test_docker_config_wins_even_where_it_has_no_file(tmp_path: pathlib.Path) -> None:
    """With DOCKER_CONFIG set the home file only ends the search."""
    write(tmp_path / ".docker" / "config.json", config("home"))
    environ = {
        "DOCKER_CONFIG": str(tmp_path / "elsewhere"),
        "REGISTRY_AUTH_FILE": str(tmp_path / ".docker" / "config.json"),
    }
    assert await user(tmp_path, environ) == ""


@pytest.mark.parametrize(
    ("keys", "name", "expected"),
    [
        (["ghcr.io", "ghcr.io/org/app"], "ghcr.io/org/app", "ghcr.io/org/app"),
        (["ghcr.io", "ghcr.io/org/app"], "ghcr.io/org/other", "ghcr.io"),
        (["https://ghcr.io/v2/"], "ghcr.io/org/app", "https://ghcr.io/v2/"),
        (["http://ghcr.io"], "ghcr.io/org/app", "http://ghcr.io"),
        (["ghcr.io:443"], "ghcr.io/org/app", ""),
        (["https://index.docker.io/v1/"], "nginx", "https://index.docker.io/v1/"),
        (["docker.io"], "nginx", ""),
        ([], "ghcr.io/org/app", ""),
    ],
)
async def test_full_names_come_before_hosts(keys: list[str], name: str, expected: str) -> None:
    """Keys as they are, then reduced to their host; Docker Hub has a key of its own."""
    auths = {key: {"username": key, "password": "p"} for key in keys}
    content = json.dumps({"auths": auths}).encode()
    keychain = docker_config.DockerConfig(content, environ={})
    found = await keychain.credential(Repository.parse(name))
    assert (found.username if found else "") == expected


async def test_the_environment_comes_first_and_needs_the_exact_key(tmp_path: pathlib.Path) -> None:
    """DOCKER_AUTH_CONFIG, as CI systems set it, also without any file."""
    environ = {"DOCKER_AUTH_CONFIG": json.dumps(config("ci"))}
    assert await user(tmp_path, environ) == "ci"
    write(tmp_path / ".docker" / "config.json", config("home"))
    assert await user(tmp_path, environ) == "ci"
    inexact = {"DOCKER_AUTH_CONFIG": json.dumps(config("ci", "https://ghcr.io"))}
    assert await user(tmp_path, inexact) == "home"


@pytest.fixture
def helper(tmp_path: pathlib.Path) -> Callable[[str, str], dict[str, str]]:
    """Write a credential helper as a shell script; gives the environment to run it in."""

    def write_helper(name: str, script: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return {"PATH": f"{folder}:/usr/bin:/bin"}

    return write_helper


Helper = Callable[[str, str], dict[str, str]]
STORE = b'{"credsStore": "store", "auths": {"ghcr.io": {"username": "file", "password": "p"}}}'


def keychain(environ: Mapping[str, str], content: bytes = STORE) -> docker_config.DockerConfig:
    """A keychain over a config."""
    return docker_config.DockerConfig(content, environ=environ, helper_timeout=30)


async def test_a_helper_is_asked_with_the_key_on_its_input_once(
    helper: Helper, tmp_path: pathlib.Path
) -> None:
    """The protocol of docker-credential-helpers; the same question is not asked twice."""
    environ = helper(
        "store",
        f'test "$1" = get || exit 1; key=$(cat); echo "$key" >> {tmp_path}/asked\n'
        'test "$key" = ghcr.io || { echo "credentials not found in native keychain"; exit 1; }\n'
        'echo \'{"ServerURL": "ghcr.io", "Username": "u", "Secret": "s"}\'',
    )
    chain = keychain(environ)
    both = await asyncio.gather(chain.credential(APP), chain.credential(APP))
    assert set(both) == {credentials.Credential("u", "s")}
    assert (tmp_path / "asked").read_text().split() == ["ghcr.io/org/app", "ghcr.io"]


async def test_a_helper_of_a_registry_comes_before_the_store(helper: Helper) -> None:
    """``credHelpers`` beats ``credsStore``; ``<token>`` means an identity token."""
    environ = helper("own", 'echo \'{"Username": "<token>", "Secret": "refresh"}\'')
    content = b'{"credsStore": "absent", "credHelpers": {"ghcr.io/org/app": "own"}}'
    found = await keychain(environ, content).credential(APP)
    assert found == credentials.Credential(identity_token="refresh")


async def test_a_helper_that_knows_nothing_means_anonymous(helper: Helper) -> None:
    """Entries of the file do not count where a helper is named."""
    environ = helper("store", 'echo "credentials not found in native keychain"; exit 1')
    assert await keychain(environ).credential(APP) is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo boom; exit 3", "failed for ghcr.io/org/app: boom"),
        ("exit 3", "it said nothing"),
        ("echo not json", "cannot read docker-credential-store: "),
    ],
)
async def test_a_helper_that_fails_is_an_error(helper: Helper, script: str, message: str) -> None:
    """Anything but a clear answer stops the command, rather than going on anonymously."""
    with pytest.raises(errors.CredentialError, match=message):
        await keychain(helper("store", script)).credential(APP)


async def test_a_helper_that_hangs_is_stopped(helper: Helper) -> None:
    """The time allowed runs out, and the process is gone."""
    chain = docker_config.DockerConfig(
        STORE, environ=helper("store", "exec sleep 1000"), helper_timeout=0.05
    )
    with pytest.raises(errors.CredentialError, match=r"no answer for ghcr.io/org/app in 0\.05 s"):
        await chain.credential(APP)


@pytest.mark.parametrize("name", ["absent", "../../bin/sh", "/bin/sh", "a\\u0000b"])
async def test_attack_a_config_names_helpers_not_paths(name: str) -> None:
    """What is not on PATH under its own name is not run."""
    content = f'{{"credsStore": "{name}"}}'.encode()
    with pytest.raises(errors.CredentialError, match="is not on PATH"):
        await keychain({"PATH": "/nowhere"}, content).credential(APP)


@pytest.mark.parametrize("content", ["{", '{"auths": 1}', "[]"])
def test_a_malformed_file_is_an_error_that_names_it(tmp_path: pathlib.Path, content: str) -> None:
    """Neither file nor environment is passed over in silence."""
    path = tmp_path / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(errors.CredentialError, match=f"^cannot read {path}: "):
        docker_config.DockerConfig.load(environ={}, home=tmp_path)
    with pytest.raises(errors.CredentialError, match=r"^cannot read DOCKER_AUTH_CONFIG: "):
        docker_config.DockerConfig(b"", environ={"DOCKER_AUTH_CONFIG": content})


def test_a_malformed_file_is_told_with_line_and_column(tmp_path: pathlib.Path) -> None:
    """Where an editor would find the mistake."""
    path = tmp_path / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_text('{"auths": {\n  "ghcr.io": {"auth": "c2VjcmV0",}\n}}\n')
    with pytest.raises(errors.CredentialError, match=r"\(line 2, column 34\)$") as caught:
        docker_config.DockerConfig.load(environ={}, home=tmp_path)
    assert "c2VjcmV0" not in str(caught.value)


async def test_an_entry_that_cannot_be_decoded_is_named(tmp_path: pathlib.Path) -> None:
    """The file, or the variable, and the registry whose login it is."""
    path = tmp_path / ".docker" / "config.json"
    path.parent.mkdir()
    content = '{"auths": {"ghcr.io": {"auth": "!secret!"}}}'
    path.write_text(content)
    cause = "entry 'ghcr.io': unable to decode auth field: illegal base64 data; log in to it again"
    chain = docker_config.DockerConfig.load(environ={}, home=tmp_path)
    with pytest.raises(errors.CredentialError, match=f"^{path}, {cause}$"):
        await chain.credential(APP)
    chain = docker_config.DockerConfig(b"", environ={"DOCKER_AUTH_CONFIG": content})
    with pytest.raises(errors.CredentialError, match=f"^DOCKER_AUTH_CONFIG, {cause}$"):
        await chain.credential(APP)


def test_a_file_that_is_no_text_is_an_error() -> None:
    """As one that is no JSON."""
    with pytest.raises(errors.CredentialError, match=r"^cannot read "):
        docker_config.DockerConfig(b'{"credsStore": "\xff"}', environ={})


def test_an_unreadable_file_is_an_error(tmp_path: pathlib.Path) -> None:
    """A file that is too big, and one that cannot be opened."""
    path = tmp_path / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(errors.CredentialError, match="bigger than 4194304 bytes"):
        docker_config.DockerConfig.load(environ={}, home=tmp_path)
    folder = tmp_path / "elsewhere"
    (folder / "config.json").mkdir(parents=True)
    with pytest.raises(errors.CredentialError, match="Is a directory"):
        docker_config.DockerConfig.load(environ={"DOCKER_CONFIG": str(folder)}, home=tmp_path)


def test_its_repr_shows_nothing_and_its_fingerprint_follows_the_content() -> None:
    """No credential in a log; another config is another identity."""
    one, two = keychain({}), keychain({}, b"{}")
    assert repr(one) == "DockerConfig(redacted)"
    assert one.fingerprint == keychain({}).fingerprint != two.fingerprint
