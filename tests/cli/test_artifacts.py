"""push, list, tag, diff, pull, build on a real registry, and what other tools make of it."""

import asyncio
import gzip
import io
import json
import os
import pathlib
import tarfile
import types
import uuid
from collections.abc import Callable

import pytest

from ocisource import digest
from ocisource.cli.artifacts import push
from tests.cli import terminal
from tests.parts import registry, skopeo
from tests.simulators import faults
from tests.simulators import registry as simulators

WHENCE = ("--source", "https://example.com/app", "--revision", "main@sha1:abc")


@pytest.fixture
def repository(shared_registry: registry.Registry) -> str:
    """A repository of the test's own."""
    return f"{shared_registry.host}/test/{uuid.uuid4().hex[:10]}"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with a file, a folder, something that is ignored, and a link."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "sub" / "n.yaml").write_text("n: 1\n")
    (folder / "a.yaml").write_text("a: 1\nb: 2\n")
    (folder / ".git" / "config").write_text("secret")
    (folder / "logo.png").write_bytes(b"png")
    (folder / "link.yaml").symlink_to("a.yaml")
    for path in (folder, folder / "sub"):
        path.chmod(0o755)
    for path in (folder / "a.yaml", folder / "sub" / "n.yaml"):
        path.chmod(0o644)
    return folder


def names_in(packed: io.BytesIO) -> list[str]:
    """Names of an archive's entries."""
    with tarfile.open(fileobj=packed) as archive:
        return archive.getnames()


def test_round_trip(
    shell: terminal.Shell, repository: str, tree: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """What is pushed is listed, tagged, equal, pulled, and different once it is changed."""
    url = f"oci://{repository}"
    pushed = shell("push", "artifact", f"{url}:1.0.0", "-f", str(tree), *WHENCE)
    assert terminal.masked(pushed.err) == terminal.masked(
        f"► pushing artifact to {repository}:1.0.0\n"
        f"✔ artifact successfully pushed to {repository}@sha256:{'0' * 64}\n"
    )
    assert (pushed.code, pushed.out) == (0, "")
    digest_ = pushed.err.strip().rpartition("@")[2]

    tagged = shell("tag", "artifact", f"{url}:1.0.0", "--tag", "latest,stable")
    assert tagged.err == (
        f"► tagging artifact\n✔ artifact tagged as {repository}:latest\n"
        f"✔ artifact tagged as {repository}:stable\n"
    )
    listed = shell("list", "artifacts", url)
    rows = [[cell.strip() for cell in line.split("\t")] for line in listed.out.splitlines()]
    assert rows[0] == ["ARTIFACT", "DIGEST", "SOURCE", "REVISION"]
    assert rows[1] == [f"{repository}:1.0.0", digest_, WHENCE[1], WHENCE[3], ""]
    assert [row[0].rpartition(":")[2] for row in rows[1:]] == ["1.0.0", "stable", "latest"]

    same = shell("diff", "artifact", url, "--path", str(tree))
    assert (same.code, same.err, same.out) == (0, "✔ no changes detected\n", "")

    goal = tmp_path / "goal"
    goal.mkdir()
    pulled = shell("pull", "artifact", f"{url}@{digest_}", "-o", str(goal))
    assert pulled.err == (
        f"► pulling artifact from {repository}@{digest_}\n"
        f"✔ source {WHENCE[1]}\n✔ revision {WHENCE[3]}\n✔ digest {repository}@{digest_}\n"
        f"✔ artifact content extracted to {goal}\n"
    )
    found = {str(path.relative_to(goal)) for path in goal.rglob("*")}
    assert found == {"a.yaml", "sub", "sub/n.yaml"}

    (goal / "a.yaml").write_text("a: 1\nb: 3\n")
    (goal / "sub" / "n.yaml").unlink()
    (goal / "new.bin").write_bytes(b"\0")
    differs = shell("diff", "artifact", url, "--path", str(goal), "--text")
    assert differs.out == (
        "--- a/a.yaml\n+++ b/a.yaml\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        "Binary files a/new.bin and b/new.bin differ\n"
        "--- a/sub/n.yaml\n+++ /dev/null\n@@ -1 +0,0 @@\n-n: 1\n"
    )
    assert differs.err == "✗ the remote artifact contents differs from the local one\n"
    names = shell("diff", "artifact", url, "--path", str(goal))
    assert (names.code, names.out) == (1, "~ a.yaml\n+ new.bin\n- sub/n.yaml\n")
    data = json.loads(shell("diff", "artifact", url, "-p", str(goal), "-o", "json").out)
    assert data == {
        "equal": False,
        "added": ["new.bin"],
        "removed": ["sub/n.yaml"],
        "changed": ["a.yaml"],
    }


def test_manifest_and_layer_have_flux_shape(
    shell: terminal.Shell,
    repository: str,
    tree: pathlib.Path,
    skopeo_client: skopeo.Skopeo,
    tmp_path: pathlib.Path,
) -> None:
    """Skopeo reads it byte for byte and copies it; media types, order and tar are Flux's."""
    words = ("push", "artifact", f"oci://{repository}:v1", "-f", str(tree), *WHENCE)
    result = shell(*words, "--reproducible", "-a", "team=x=y", "-o", "json")
    data = json.loads(result.out)
    assert list(data) == ["url", "repository", "tag", "digest"]
    assert data["url"] == f"oci://{repository}@{data['digest']}"
    assert result.err == ""
    raw = skopeo_client.run(
        "inspect", "--raw", "--tls-verify=false", f"docker://{repository}:v1"
    ).stdout
    assert str(digest.Digest.of(raw.encode())) == data["digest"]
    manifest = json.loads(raw)
    assert list(manifest) == ["schemaVersion", "mediaType", "config", "layers", "annotations"]
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"] == {
        "mediaType": "application/vnd.cncf.flux.config.v1+json",
        "size": 115,
        "digest": "sha256:5b943e2b943f6c81dbbd4e2eca5121f4fcc39139e3d1219d6d89bd925b77d9fe",
    }
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.cncf.flux.content.v1.tar+gzip"
    assert manifest["annotations"] == {
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.revision": WHENCE[3],
        "org.opencontainers.image.source": WHENCE[1],
        "team": "x=y",
    }
    copy = tmp_path / "copy"
    skopeo_client.run(
        "copy", "--src-tls-verify=false", f"docker://{repository}:v1", f"oci:{copy}:v1"
    )
    blob = (copy / "blobs" / "sha256" / layer["digest"].partition(":")[2]).read_bytes()
    assert blob[:10] == bytes.fromhex("1f8b08000000000000ff")
    unpacked = gzip.decompress(blob)
    assert len(unpacked) == 512 * (4 + 2 + 2)
    assert names_in(io.BytesIO(blob)) == [".", "a.yaml", "sub", "sub/n.yaml"]
    again = json.loads(shell(*words, "--reproducible", "-a", "team=x=y", "-o", "json").out)
    assert again["digest"] == data["digest"]


def test_artifacts_of_others_are_pulled(
    shell: terminal.Shell,
    repository: str,
    tree: pathlib.Path,
    skopeo_client: skopeo.Skopeo,
    tmp_path: pathlib.Path,
) -> None:
    """An artifact that skopeo carried elsewhere is equal to what it was."""
    shell("push", "artifact", f"oci://{repository}:v1", "-f", str(tree), *WHENCE)
    skopeo_client.run(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        f"docker://{repository}:v1",
        f"docker://{repository}/copy:v2",
    )
    assert shell("diff", "artifact", f"oci://{repository}/copy:v2", "-p", str(tree)).code == 0


def test_layers_are_chosen_and_copied(
    shell: terminal.Shell, repository: str, tree: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """--layer-selector takes a media type; copy writes the layer as it is."""
    shell("push", "artifact", f"oci://{repository}:v1", "-f", str(tree), *WHENCE)
    kind = "application/vnd.cncf.flux.content.v1.tar+gzip"
    words = ("pull", "artifact", f"oci://{repository}:v1", "-o", ".", "--layer-selector")
    assert shell(*words, f"{kind}:copy").code == 0
    (copied,) = [path for path in pathlib.Path().iterdir() if path.is_file()]
    assert digest.Digest.of(copied.read_bytes()).hex == copied.name
    missing = shell(*words, "application/x")
    assert missing.code == 1
    assert missing.err.splitlines()[-1].startswith("✗ pulling artifact failed: ")
    wrong = shell(*words, f"{kind}:burn")
    assert wrong.code == 2


def test_standard_input_and_single_files(
    shell: terminal.Shell, repository: str, tmp_path: pathlib.Path
) -> None:
    """Standard input is a file of a fixed name, so that its artifact is reproducible."""
    words = ("push", "artifact", f"oci://{repository}:v1", *WHENCE, "--reproducible", "-o", "json")
    first = json.loads(shell(*words, "-f", "-", stdin=b"a: 1\n\n").out)
    second = json.loads(shell(*words, "-f", "-", stdin=b"a: 1").out)
    assert first == second
    pathlib.Path("one.yaml").write_text("a: 1")
    assert shell(*words, "-f", "one.yaml").code == 0
    pathlib.Path("out").mkdir()
    shell("pull", "artifact", f"oci://{repository}:v1", "-o", "out")
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["one.yaml"]


def test_build_writes_what_push_would_push(shell: terminal.Shell, tree: pathlib.Path) -> None:
    """Mode 0640, replaced in one step; links are followed on request."""
    result = shell("build", "artifact", "-p", str(tree), "-o", "app.tgz")
    assert result.err == f"► building artifact from {tree}\n✔ artifact created at app.tgz\n"
    built = pathlib.Path("app.tgz")
    assert built.stat().st_mode & 0o777 == 0o640
    assert names_in(io.BytesIO(built.read_bytes())) == [".", "a.yaml", "sub", "sub/n.yaml"]
    words = ("build", "artifact", "-p", str(tree), "-o", "app.tgz", "--resolve-symlinks")
    shell(*words, "--ignore-paths", "sub/", "--add-ignore-paths", "*.png,.git/")
    assert names_in(io.BytesIO(built.read_bytes())) == [".", "a.yaml", "link.yaml"]
    assert not list(pathlib.Path().glob(".app.tgz*"))


def test_the_tar_of_a_single_file_is_flux_own(shell: terminal.Shell) -> None:
    """Byte facts: a root of mode 0700, USTAR without padding to records, no owner, no time."""
    pathlib.Path("x").write_bytes(b"1")
    pathlib.Path("x").chmod(0o644)
    shell("build", "artifact", "-p", "x", "-o", "x.tgz")
    tar = gzip.decompress(pathlib.Path("x.tgz").read_bytes())
    assert len(tar) == 2560
    assert tar[:2] == b".\0"
    assert tar[100:108] == b"0000700\0"
    assert tar[512:514] == b"x\0"
    assert tar[612:620] == b"0000644\0"
    for start in (0, 512):
        assert tar[start + 108 : start + 124] == b"0000000\0" * 2
        assert tar[start + 136 : start + 148] == b"00000000000\0"
        assert tar[start + 257 : start + 265] == b"ustar\x0000"
        assert tar[start + 265 : start + 329] == bytes(64)
        assert tar[start + 329 : start + 345] == b"0000000\0" * 2
    assert tar[-1024:] == bytes(1024)


def test_an_empty_artifact_is_told(shell: terminal.Shell, repository: str) -> None:
    """A file that the patterns leave out is pushed as nothing, but not in silence."""
    pathlib.Path("logo.png").write_bytes(b"png")
    text = "⚠️  the artifact is empty: all there is is left out (see --ignore-paths)\n"
    pushed = shell("push", "artifact", f"oci://{repository}:v1", "-f", "logo.png", *WHENCE)
    assert pushed.code == 0
    assert text in pushed.err
    assert text in shell("build", "artifact", "-p", "logo.png").err


def test_versions_are_listed_newest_first(
    shell: terminal.Shell, repository: str, tree: pathlib.Path
) -> None:
    """0.10 is newer than 0.9; filters are joined; signatures are hidden."""
    url = f"oci://{repository}"
    shell("push", "artifact", f"{url}:v0.9.0", "-f", str(tree), *WHENCE)
    tags = "v0.10.0,v1.0.0-rc.1,main,staging-1,sha256-abc.sig"
    shell("tag", "artifact", f"{url}:v0.9.0", "--tag", tags)

    def listed(*words: str) -> list[str]:
        found = json.loads(shell("list", "artifact", url, "-o", "json", *words).out)
        assert all(isinstance(each["sizeBytes"], int) for each in found)
        return [each["tag"] for each in found]

    assert listed() == ["v1.0.0-rc.1", "v0.10.0", "v0.9.0", "staging-1", "main"]
    assert listed("--filter-semver", "<1") == ["v0.10.0", "v0.9.0"]
    assert listed("--filter-regex", "^staging.*$") == ["staging-1"]
    assert listed("--filter-semver", "*", "--filter-regex", "10") == ["v0.10.0"]
    empty = shell("list", "artifacts", url, "--filter-semver", ">9")
    assert (empty.code, empty.out) == (0, "ARTIFACT\tDIGEST\tSOURCE\tREVISION\n")


def test_logins(
    shell: terminal.Shell,
    start_registry: Callable[..., registry.Registry],
    tree: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--creds, the Docker config, and neither; no text holds the password."""
    part = start_registry(users={"alice": "pass:word"})
    url = f"oci://{part.host}/app"
    push = ("push", "artifact", url, "-f", str(tree), *WHENCE)
    good = shell(*push, "--creds", "alice:pass:word")
    assert good.err.splitlines()[0] == "► logging in to registry with credentials"
    assert good.code == 0
    bad = shell(*push, "--creds", "alice:wrong-word")
    assert bad.code == 1
    assert "✗ pushing artifact failed: " in bad.err
    assert "wrong-word" not in bad.err
    assert shell("list", "artifacts", url).code == 1
    folder = pathlib.Path("docker")
    folder.mkdir()
    entry = {"username": "alice", "password": "pass:word"}
    (folder / "config.json").write_text(json.dumps({"auths": {part.host: entry}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    assert shell("list", "artifacts", url).code == 0
    assert shell("tag", "artifact", url, "--tag", "x").code == 0


def test_credential_helpers(
    shell: terminal.Shell,
    start_registry: Callable[..., registry.Registry],
    tree: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program that the Docker config names is asked, and what it says is told when it fails."""
    part = start_registry(users={"alice": "pass:word"})
    url = f"oci://{part.host}/app"
    programs = pathlib.Path("programs")
    programs.mkdir()
    helper = programs / "docker-credential-probe"
    answer = json.dumps({"ServerURL": part.host, "Username": "alice", "Secret": "pass:word"})
    helper.write_text(f"#!/bin/sh\ncat > asked; echo '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs.absolute()}:{os.environ['PATH']}")
    pathlib.Path("config.json").write_text(json.dumps({"credsStore": "probe"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(pathlib.Path().absolute()))
    assert shell("push", "artifact", url, "-f", str(tree), *WHENCE).code == 0
    assert pathlib.Path("asked").read_text().strip().startswith(part.host)
    helper.write_text("#!/bin/sh\necho the keychain is locked; exit 1\n")
    locked = shell("list", "artifacts", url)
    assert locked.code == 1
    assert "docker-credential-probe" in locked.err
    assert "the keychain is locked" in locked.err
    pathlib.Path("config.json").write_text(json.dumps({"credsStore": "nix"}))
    missing = shell("list", "artifacts", url)
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "docker-credential-nix" in missing.err


def test_a_push_says_that_it_tries_again(
    shell: terminal.Shell, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person sees why nothing happens for a while, and the registry's own word at the end."""

    async def at_once(_: float) -> None:
        """Wait for nothing."""

    monkeypatch.setattr(push, "asyncio", types.SimpleNamespace(sleep=at_once))

    async def pushed() -> terminal.Result:
        async with simulators.Simulator() as simulator:
            simulator.on("PUT", "/manifests/", faults.status(503))
            url = f"oci://{simulator.host}/app:v1"
            words = ("push", "artifact", url, "-f", str(tree), *WHENCE, "--timeout", "15s")
            return await asyncio.to_thread(shell, *words)

    result = asyncio.run(pushed())
    assert result.code == 1
    lines = result.err.splitlines()
    pauses = [line for line in lines if line.startswith("◎ the registry failed for now, trying ")]
    # The third one is 9 s long, a tenth more or less.
    assert [line.rpartition(" in ")[2] for line in pauses[:2]] == ["1s", "3s"]
    assert len(pauses) == 3
    assert lines[-1].startswith("✗ pushing artifact failed: PUT http://")
    assert "503" in lines[-1]


SOME = ("--source", "s", "--revision", "r")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["push", "artifact"], "artifact URL is required"),
        (["push", "artifact", "oci://a.b/cd"], "--source is required"),
        (["push", "artifact", "oci://a.b/cd", "--source", "s"], "--revision is required"),
        (["push", "artifact", "oci://a.b/cd", *SOME], 'invalid path ""'),
        (["push", "artifact", "a.b/cd", "-f", ".", *SOME], "URL must be in format 'oci://<domain>"),
        (["push", "artifact", "oci://a.b/CD", "-f", ".", *SOME], "'oci://a.b/CD' invalid URL: "),
        (
            ["push", "artifact", "oci://a.b/cd", "-f", "nix", *SOME],
            "invalid path 'nix', must point to an existing directory or file",
        ),
        (
            ["push", "artifact", "oci://a.b/cd", "-f", ".", *SOME, "-a", "x"],
            "invalid annotation x, must be in the format key=value",
        ),
        (
            [
                *("push", "artifact", "oci://a.b/cd", "-f", ".", *SOME, "-a"),
                "org.opencontainers.image.created=now",
            ],
            'invalid created timestamp "now": ',
        ),
        (
            ["push", "artifact", f"oci://a.b/cd@sha256:{'a' * 64}", "-f", ".", *SOME],
            f"'oci://a.b/cd@sha256:{'a' * 64}' names a digest",
        ),
        (["pull", "artifact"], "artifact URL is required"),
        (["pull", "artifact", "oci://a.b/cd"], "output path cannot be empty"),
        (
            ["pull", "artifact", "oci://a.b/cd", "-o", "nix"],
            'invalid output path "nix": no such directory; make it first',
        ),
        (["list", "artifacts"], "artifact repository URL is required"),
        (["list", "artifacts", "oci://a.b/cd:v1"], "listing tags failed: "),
        (
            ["list", "artifacts", "oci://a.b/cd", "--filter-semver", "%"],
            "semver '%' parse error: ",
        ),
        (["list", "artifacts", "oci://a.b/cd", "--filter-regex", "("], "regex '(' parse error: "),
        (["tag", "artifact"], "artifact name is required"),
        (["tag", "artifact", "oci://a.b/cd"], "--tag is required"),
        (["tag", "artifact", "oci://a.b/cd", "--tag", "a b"], "could not parse reference: "),
        (["diff", "artifact"], "artifact URL is required"),
        (["diff", "artifact", "oci://a.b/cd"], 'invalid path ""'),
        (["build", "artifact"], 'invalid path ""'),
        (["build", "artifact", "-p", "nix"], "invalid path 'nix', must point to an existing"),
    ],
)
def test_wrong_usage(shell: terminal.Shell, words: list[str], text: str) -> None:
    """One line, exit code 2, before anything was asked."""
    result = shell(*words)
    lines = [line for line in result.err.splitlines() if not line.startswith("►")]
    assert result.code == 2, result.err
    assert len(lines) == 1
    assert lines[0].startswith(f"✗ {text}")


def test_unreachable_and_unknown(shell: terminal.Shell, repository: str) -> None:
    """Exit code 1, one line that names what was asked."""
    pathlib.Path("out").mkdir()
    result = shell("pull", "artifact", f"oci://{repository}:nix", "-o", "out")
    assert result.code == 1
    assert result.err.splitlines()[1].startswith("✗ pulling artifact failed: GET http://")
    assert "MANIFEST_UNKNOWN" in result.err or "NAME_UNKNOWN" in result.err
    clouds = shell("list", "artifacts", f"oci://{repository}", "--provider", "aws")
    assert clouds.code == 1
