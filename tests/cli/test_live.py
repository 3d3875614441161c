"""Commands that wait, against an embedded API whose controller works."""

import json
import pathlib
import uuid

import pytest

from tests.cli import terminal
from tests.parts import registry

WHENCE = ("--source", "s", "--revision", "main@sha1:abc")


@pytest.fixture
def url(live: terminal.Shell, shared_registry: registry.Registry, tmp_path: pathlib.Path) -> str:
    """The address of an artifact with the tag v1."""
    found = f"oci://{shared_registry.host}/live/{uuid.uuid4().hex[:10]}"
    (tmp_path / "a.yaml").write_text("a: 1")
    assert live("push", "artifact", f"{found}:v1", "-f", "a.yaml", *WHENCE).code == 0
    return found


def name() -> str:
    """A name that nobody else has."""
    return f"app-{uuid.uuid4().hex[:8]}"


def test_from_push_to_reconcile(live: terminal.Shell, url: str) -> None:
    """Created, seen, pushed anew, reconciled, suspended, resumed, deleted."""
    app = name()
    created = live("create", "source", "oci", app, "--url", url, "--tag", "v1", "--interval", "1h")
    assert terminal.masked(created.err) == (
        "► applying OCIRepository\n✔ OCIRepository created\n"
        "◎ waiting for OCIRepository reconciliation\n"
        "✔ OCIRepository reconciliation completed\n✔ fetched revision: HEX\n"
    )
    assert created.code == 0
    (first,) = json.loads(live("list", "artifacts", url, "-o", "json").out)
    assert first["digest"].partition(":")[2] in created.err

    pathlib.Path("a.yaml").write_text("a: 2")
    live("push", "artifact", f"{url}:v1", "-f", "a.yaml", *WHENCE)
    (second,) = json.loads(live("list", "artifacts", url, "-o", "json").out)
    reconciled = live("reconcile", "source", "oci", app)
    assert reconciled.err == (
        f"► annotating OCIRepository {app} in default namespace\n✔ OCIRepository annotated\n"
        "◎ waiting for OCIRepository reconciliation\n"
        f"✔ fetched revision {second['digest'].partition(':')[2]}\n"
    )
    assert live("suspend", "source", "oci", app).code == 0
    resumed = live("resume", "source", "oci", app)
    assert terminal.masked(resumed.err) == (
        f"► resuming source oci {app} in default namespace\n✔ source oci resumed\n"
        "◎ waiting for OCIRepository reconciliation\n"
        f"✔ OCIRepository {app} reconciliation completed\n✔ fetched revision HEX\n"
    )
    seen = live("events", "--for", f"OCIRepository/{app}")
    assert "NewArtifact" in seen.out
    logs = live("logs", "--name", app)
    assert f" info OCIRepository/{app}.default - stored artifact" in logs.out
    assert live("delete", "source", "oci", app, "-s").code == 0


def test_a_failing_source_is_reported_at_once(live: terminal.Shell, url: str) -> None:
    """Neither create nor reconcile waits for the five minutes."""
    app = name()
    words = ("create", "source", "oci", app, "--url", url, "--tag", "nix")
    created = live(*words)
    assert created.code == 1
    assert created.err.splitlines()[-1].startswith(
        "✗ OCIRepository reconciliation failed: 'failed to pull artifact from "
    )
    reconciled = live("reconcile", "source", "oci", app)
    assert reconciled.code == 1
    assert "couldn't find tag" in reconciled.err
    both = live("resume", "source", "oci", app, "--wait")
    assert both.err.endswith("✗ reconciliation failed for 1 OCIRepository(s)\n")
    live("delete", "source", "oci", app, "-s")


def test_a_stalled_source_is_reported_at_once(live: terminal.Shell) -> None:
    """An address that is none stalls the object."""
    app = name()
    words = ("create", "source", "oci", app, "--url", "oci://Example.com/A", "--tag", "x")
    result = live(*words)
    assert result.code == 1
    assert "✗ OCIRepository reconciliation failed: '" in result.err
    live("delete", "source", "oci", app, "-s")


def test_the_embedded_server_is_found(
    live: terminal.Shell,
    machine: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Without a kubeconfig the running server of the same user is used, in its own namespace."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "ocisource").symlink_to(machine.parent)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.delenv("KUBECONFIG")
    result = live("get", "sources", "oci", "nix")
    assert result.err == "✗ OCIRepository object 'nix' not found in \"default\" namespace\n"
    assert live("get", "sources", "oci", "nix", "-n", "apps").err.endswith('"apps" namespace\n')
    words = ("create", "source", "oci", "app", "--url", "oci://a.b/cd", "--tag", "v1", "--export")
    assert "  namespace: default\n" in live(*words).out
    assert "  namespace: apps\n" in live("-n", "apps", *words).out
    assert live("logs").code == 0
