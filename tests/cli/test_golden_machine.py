"""Golden sessions of one machine: `up`, `apiserver`, and what waits for a controller."""

import dataclasses
import functools
import pathlib
import signal
import subprocess
import sys
import uuid
from concurrent import futures

import pytest

from ocisource.cli import grammar, main
from ocisource.cli.replicas import replica
from ocisource.manifests import render
from tests.cli import session as sessions
from tests.cli import terminal
from tests.parts import commands, kubernetes, registry

TOOL = [sys.executable, "-c", "from ocisource.cli.main import main; main()"]
WHENCE = ("--source", "s", "--revision", "main@sha1:abc")
MANIFEST = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {{name: {name}, namespace: apps}}
spec: {{url: "{url}", ref: {{tag: {tag}}}, interval: 1h}}
"""
_DEFINITION = "kind: CustomResourceDefinition"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n---\n"


@pytest.fixture
def url(shared_registry: registry.Registry, session: sessions.Session) -> str:
    """A repository of the test's own, which a session shows as org/app."""
    path = f"test/{uuid.uuid4().hex[:10]}"
    session.hide(path, "org/app")
    return f"oci://{shared_registry.host}/{path}"


def test_from_push_to_delete(live: terminal.Shell, session: sessions.Session, url: str) -> None:
    """A source's whole life on the command line."""
    app = f"app-{uuid.uuid4().hex[:8]}"
    session.hide(app, "app")
    pathlib.Path("a.yaml").write_text("a: 1")
    push = ("push", "artifact", f"{url}:v1", "-f", "a.yaml", *WHENCE, "--reproducible")
    session(*push)
    create = ("create", "source", "oci", app, "--url", url, "--interval", "1h")
    session(*create, "--tag", "v1")
    session("get", "sources", "oci", app)
    pathlib.Path("a.yaml").write_text("a: 2")
    session(*push)
    session("reconcile", "source", "oci", app)
    session("suspend", "source", "oci", app)
    session("resume", "source", "oci", app)
    session("resume", "source", "oci", app, "--wait")
    session(*create, "--tag", "v2")
    session("reconcile", "source", "oci", app)
    session("resume", "source", "oci", app)
    session("get", "sources", "oci", app)
    session("check", "--pre")
    session("check")
    session("delete", "source", "oci", app, "--silent")
    # Another name: the first one may still be on its way out.
    other = f"app-{uuid.uuid4().hex[:8]}"
    session.hide(other, "other")
    session("create", "source", "oci", other, "--url", "oci://Example.com/A", "--tag", "v1")
    session("delete", "source", "oci", other, "--silent")
    assert live.kubeconfig is not None
    session.compare("life")


def up(session: sessions.Session, *words: str) -> terminal.Result:
    """Run `up --once` in a process of its own."""
    addresses = [f"--{name}-addr=127.0.0.1:0" for name in ("api", "storage", "metrics", "health")]
    done = commands.run(
        [*TOOL, "up", "--once", *words, *addresses],
        environ=terminal.plain_environ(pathlib.Path("home")),
        is_checked=False,
    )
    result = terminal.Result(done.code, done.stdout, done.stderr)
    session.note(("up", "--once", *words), result)
    return result


def test_up_once(
    shell: terminal.Shell, session: sessions.Session, url: str, tmp_path: pathlib.Path
) -> None:
    """Ready: 0. Stalled, refused: 1, and why. One line for each change."""
    session.hide(str(tmp_path), "/tmp", is_padded=False)
    pathlib.Path("a.yaml").write_text("a: 1")
    push = ("push", "artifact", f"{url}:v1", "-f", "a.yaml", *WHENCE, "--reproducible")
    assert shell(*push).code == 0
    good = MANIFEST.format(name="good", url=url, tag="v1")
    pathlib.Path("good.yaml").write_text(NAMESPACE + good)
    up(session, "-f", "good.yaml", "--data-dir", str(tmp_path / "data"))
    # Stalled, which is told before any timeout.
    bad = MANIFEST.format(name="bad", url="oci://example.com/Team/app", tag="v1")
    pathlib.Path("bad.yaml").write_text(NAMESPACE + bad)
    up(session, "-f", "bad.yaml", "--data-dir", str(tmp_path / "other"))
    pathlib.Path("worse.yaml").write_text(bad.replace("tag:", "tagg:"))
    up(session, "-f", "worse.yaml", "--data-dir", str(tmp_path / "third"))
    session.compare("up")


def interrupted(
    session: sessions.Session, *words: str, home: pathlib.Path, stream: int, last: str
) -> None:
    """Run a command line in a process of its own until a stream says that ``last``; end it."""
    with subprocess.Popen(
        [*TOOL, *words],
        env=terminal.plain_environ(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        watched = (process.stdout, process.stderr)[stream - 1]
        seen = ""
        while last not in seen and (line := watched.readline()):
            seen += line
        process.send_signal(signal.SIGINT)
        shown = [each.read() for each in (process.stdout, process.stderr)]
    shown[stream - 1] = seen + shown[stream - 1]
    session.note(words, terminal.Result(process.returncode, *shown))


def test_apiserver(session: sessions.Session, tmp_path: pathlib.Path) -> None:
    """Two lines, and a good end when it is interrupted."""
    session.hide(str(tmp_path), "/tmp", is_padded=False)
    words = ("apiserver", "--data-dir", str(tmp_path / "data"), "--api-addr", "127.0.0.1:0")
    interrupted(session, *words, home=tmp_path / "home", stream=1, last="kubeconfig")
    session.compare("apiserver")


def test_controller(
    shell: terminal.Shell,
    session: sessions.Session,
    embedded_api: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """A start and a stop, alone and as one of several; what it refuses to start with."""
    session.hide(str(tmp_path), "/tmp", is_padded=False)
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "kubeconfig").write_bytes(embedded_api.read_bytes())
    free = [f"--{name}-addr=127.0.0.1:0" for name in ("storage", "metrics", "health")]
    words = ("controller", f"--kubeconfig={tmp_path}/kubeconfig", *free)
    at = ("--storage-path", str(store))
    started = functools.partial(
        interrupted, session, home=tmp_path, stream=2, last="starting manager"
    )
    started(*words, *at)
    selector = f"shard={uuid.uuid4().hex[:8]}"
    session.hide(selector, "shard=one")
    session.hide(replica.lease_name(selector).rpartition("-")[2], "SELECTOR")
    more = ("--enable-leader-election", f"--watch-label-selector={selector}")
    console = ("--log-encoding", "console")
    started(*words, *at, *more, *console)
    session(*words, "--storage-path", "nix")
    session(*words, *at, "--max-entries", "0")
    session(*words, *at, "--watch-all-namespaces=false")
    session("controller", "--enable-leader-elections")
    session.compare("controller")
    assert shell.kubeconfig is None


def test_install(
    shell: terminal.Shell,
    session: sessions.Session,
    source_api: kubernetes.ControlPlane,
    embedded_api: pathlib.Path,
) -> None:
    """Printed, applied, upgraded; where it cannot go."""
    kubeconfig = source_api.kubeconfig()
    session.hide(str(kubeconfig), "kubeconfig", is_padded=False)
    session.hide(str(embedded_api), "embedded", is_padded=False)
    namespace = f"install-{uuid.uuid4().hex[:8]}"
    session.hide(namespace, "NAMESPACE")
    install = ("install", "-n", namespace)
    at = ("--kubeconfig", str(kubeconfig), "--registry", "registry.example.com", "--version", "v9")

    def applied(*words: str, generation: int) -> None:
        with futures.ThreadPoolExecutor(1) as cluster:
            name = render.DEPLOYMENT_NAME
            ready = functools.partial(source_api.report_available, generation=generation)
            reported = cluster.submit(ready, namespace, name)
            session(*install, *at, *words)
            reported.result()

    # The definition is shared by all tests: it is made this version's before.
    before = f"before-{namespace}"
    with futures.ThreadPoolExecutor(1) as cluster:
        cluster.submit(source_api.report_available, before, render.DEPLOYMENT_NAME)
        assert shell("install", "-n", before, *at, "--force").code == 0
    exported = shell(*install, *at, "--export")
    parts = [each for each in exported.out.split("---\n") if _DEFINITION not in each]
    # The definition is long, and tests/manifests look at it.
    shown = dataclasses.replace(exported, out="---\n".join(parts))
    session.note((*install, *at, "--export"), shown)
    applied(generation=1)
    applied(generation=1)
    applied("--network-policy=false", "--log-level", "debug", generation=2)
    session(*install, "--kubeconfig", str(embedded_api))
    session(*install, "--kubeconfig", str(embedded_api), "--registry", "https://example.com")
    session(*install, "--with-everything")
    session.compare("install")


def test_every_command_has_a_golden_session() -> None:
    """One that ends well, and one that does not."""
    ended: dict[tuple[str, ...], set[bool]] = {}
    for path in sessions.FOLDER.glob("*.txt"):
        for scene in path.read_text(encoding="utf-8").split("\n\n"):
            typed, _, rest = scene.partition("ocisource ")
            if typed.endswith(("$ ", "| ")) and (words := _command(rest.split())):
                code = rest.rstrip("\n").rpartition("[")[2]
                ended.setdefault(words, set()).add(code == "0]")
    for words in _leaves((), main.COMMANDS):
        assert ended.get(words, set()) == {True, False}, words


def _leaves(before: tuple[str, ...], entries: object) -> list[tuple[str, ...]]:
    assert isinstance(entries, dict)
    found = []
    for name, entry in entries.items():
        if isinstance(entry, grammar.Leaf):
            found.append((*before, name))
            continue
        found += [(*before, name)] if entry.own else []
        found += _leaves((*before, name), entry.children)
    return found


def _command(words: list[str]) -> tuple[str, ...]:
    """The words that name a command."""
    entries: object = main.COMMANDS
    found: list[str] = []
    for word in words:
        assert isinstance(entries, dict)
        entry = entries.get("sources" if found == ["get"] and word == "source" else word)
        if entry is None:
            return tuple(found)
        found.append("sources" if found == ["get"] and word == "source" else word)
        if isinstance(entry, grammar.Leaf):
            return tuple(found)
        entries = entry.children
    return tuple(found)
