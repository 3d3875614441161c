"""Golden sessions of the artifact commands, at the real docker-registry."""

import pathlib
import uuid

import pytest

from tests.cli import session as sessions
from tests.cli import terminal
from tests.parts import registry

WHENCE = ("--source", "https://example.com/app", "--revision", "main@sha1:abc")
LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@pytest.fixture
def url(shared_registry: registry.Registry, session: sessions.Session) -> str:
    """A repository of the test's own, which a session shows as org/app."""
    path = f"test/{uuid.uuid4().hex[:10]}"
    session.hide(path, "org/app")
    return f"oci://{shared_registry.host}/{path}"


@pytest.fixture
def tree(shell: terminal.Shell) -> str:
    """A folder with two files, one below another folder."""
    del shell  # it stands in a folder of its own
    folder = pathlib.Path("tree")
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1\nb: 2\n")
    (folder / "sub" / "n.yaml").write_text("n: 1\n")
    return str(folder)


def test_push_artifact(session: sessions.Session, url: str, tree: str) -> None:
    """Text, data, an empty artifact, standard input; and each thing that is refused."""
    push = ("push", "artifact", f"{url}:v1")
    whole = (*push, "-f", tree, *WHENCE)
    session(*whole)
    session(*whole, "--reproducible", "-o", "json")
    session(*whole, "--reproducible", "-o", "yaml")
    session(*push, "-f", "-", *WHENCE, "--reproducible", stdin=b"a: 1\n")
    session(*whole, "--reproducible", "--creds", "me:word")
    session(*whole, "--reproducible", "--ignore-paths", "*")
    session("push", "artifact")
    session(*push)
    session(*push, "--source", "s")
    session(*push, *WHENCE)
    session(*push, *WHENCE, "-f", "nix")
    session(*whole, "more")
    session("push", "artifact", "example.com/app:v1", "-f", tree, *WHENCE)
    session("push", "artifact", "oci://example.com/App:v1", "-f", tree, *WHENCE)
    session("push", "artifact", f"{url}@sha256:{'a' * 64}", "-f", tree, *WHENCE)
    session(*whole, "-a", "x")
    session(*whole, "-a", "org.opencontainers.image.created=today")
    session(*whole, "-o", "toml")
    session(*whole, "--provider", "ibm")
    session("push", "artifact", "oci://127.0.0.1:1/org/app:v1", "-f", tree, *WHENCE)
    pathlib.Path(tree, "dangling.yaml").symlink_to("nix.yaml")
    session(*whole, "--resolve-symlinks")
    session.compare("push-artifact")


def test_list_and_tag(session: sessions.Session, url: str, tree: str) -> None:
    """Versions first; filters; tags of what is there and of what is not."""
    push = ("push", "artifact", f"{url}:v0.9.0", "-f", tree, *WHENCE, "--reproducible")
    session(*push)
    tag = ("tag", "artifact", f"{url}:v0.9.0")
    session(*tag, "--tag", "v0.10.0,main", "--tag", "latest")
    session("tag", "artifact", f"{url}:nix", "--tag", "x")
    session(*tag, "--tag", "a b")
    session(*tag)
    session("tag", "artifact")
    list_ = ("list", "artifacts", url)
    session(*list_)
    session(*list_, "--filter-semver", ">=0.10")
    session(*list_, "--filter-regex", "^(main|latest)$", "-o", "yaml")
    session(*list_, "--filter-semver", "0.9.x", "-o", "json")
    session(*list_, "--filter-semver", ">9")
    session(*list_, "--filter-semver", "%")
    session(*list_, "--filter-regex", "(")
    session("list", "artifacts")
    session("list", "artifacts", f"{url}:v0.9.0")
    session("list", "artifacts", f"{url}/nix")
    session("list", "artifacts", "oci://127.0.0.1:1/org/app")
    session.compare("list-tag-artifacts")


def test_pull_artifact(session: sessions.Session, url: str, tree: str) -> None:
    """Unpacked, copied; unknown tags and layers, folders that are none."""
    session("push", "artifact", f"{url}:v1", "-f", tree, *WHENCE, "--reproducible")
    pathlib.Path("out").mkdir()
    pull = ("pull", "artifact", f"{url}:v1")
    session(*pull, "-o", "out")
    session(*pull, "-o", "out", "--layer-selector", LAYER)
    session(*pull, "-o", "out", "--layer-selector", f"{LAYER}:copy")
    session(*pull, "-o", "out", "--layer-selector", CHART)
    session(*pull, "-o", "out", "--layer-selector", f"{LAYER}:burn")
    session(*pull, "-o", "out", "--max-entries", "1")
    session("pull", "artifact")
    session(*pull)
    session(*pull, "-o", "nix")
    session(*pull, "-o", "tree/a.yaml")
    session("pull", "artifact", f"{url}:nix", "-o", "out")
    session("pull", "artifact", f"{url}@sha256:{'a' * 64}", "-o", "out")
    session("pull", "artifact", "oci://127.0.0.1:1/org/app", "-o", "out")
    session.compare("pull-artifact")


def test_diff_artifact(session: sessions.Session, url: str, tree: str) -> None:
    """Equal, different in names, text and data; what cannot be compared."""
    session("push", "artifact", f"{url}:v1", "-f", tree, *WHENCE, "--reproducible")
    diff = ("diff", "artifact", f"{url}:v1")
    session(*diff, "--path", tree)
    session(*diff, "--path", tree, "-o", "yaml")
    pathlib.Path(tree, "a.yaml").write_text("a: 1\nb: 3")
    pathlib.Path(tree, "new.bin").write_bytes(b"\0")
    pathlib.Path(tree, "sub", "n.yaml").unlink()
    session(*diff, "--path", tree)
    session(*diff, "--path", tree, "--text")
    session(*diff, "-p", tree, "-o", "json")
    session("diff", "artifact")
    session(*diff)
    session(*diff, "--path", "nix")
    session("diff", "artifact", f"{url}:nix", "--path", tree)
    session("diff", "artifact", "127.0.0.1:1/org/app", "--path", tree)
    session.compare("diff-artifact")


def test_build_artifact(session: sessions.Session, tree: str) -> None:
    """A folder, a file, standard input; places that are not there."""
    session("build", "artifact", "-p", tree)
    session("build", "artifact", "--path", "tree/a.yaml", "--output", "a.tgz")
    session("build", "artifact", "-p", "-", "-o", "stdin.tgz", stdin=b"a: 1\n")
    session("build", "artifact", "-p", tree, "--ignore-paths", "*", "-o", "empty.tgz")
    session("build", "artifact", "-p", tree, "-o", "nix/app.tgz")
    session("build", "artifact", "-p", tree, "-o", tree)
    session("build", "artifact")
    session("build", "artifact", "-p", "nix")
    pathlib.Path(tree, "dangling.yaml").symlink_to("nix.yaml")
    session("build", "artifact", "-p", tree, "--resolve-symlinks")
    session.compare("build-artifact")
