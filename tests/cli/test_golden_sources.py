"""Golden sessions of the commands about sources, at the real API server and the embedded one.

The fixture ``cluster`` comes before ``session``: a session shows the namespace of the shell that
it is made of. The last word of each command is where it is run: ``-n NAMESPACE``.
"""

import pathlib

import pytest

from tests.cli import session as sessions
from tests.cli import terminal

URL = "oci://example.com/org/app"
PROBLEM = "failed to pull artifact from 'oci://example.com/org/app': couldn't find tag \"nix\""


def some(cluster: terminal.Shell) -> None:
    """A source that is ready, one that fails, one that nobody has looked at."""
    stored = f"stored artifact for digest '{terminal.DIGEST}'"
    cluster.put("good", status=terminal.ready(stored), labels={"team": "a"})
    failed = ("Ready", "False", "OCIArtifactPullFailed", PROBLEM)
    cluster.put("poor", status=terminal.conditions(failed, ("FetchFailed", "True", "x", PROBLEM)))
    cluster.put("unseen", spec={"suspend": True})


def test_get_sources_oci(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Tables, selectors, data, watching, nothing found, wrong words."""
    here = ("-n", cluster.namespace)
    session("get", "sources", "oci", *here)
    some(cluster)
    get = ("get", "sources", "oci", *here)
    session(*get)
    session(*get, "good")
    session(*get, "--no-header")
    session(*get, "nix")
    session(*get, "-l", "team=a")
    session(*get, "--label-selector", "team=b")
    session(*get, "--status-selector", "ready=true")
    session(*get, "--status-selector", "Ready!=True")
    session(*get, "--status-selector", "ready=unknown")
    session(*get, "--status-selector", "ready")
    session(*get, "-l", "a=(")
    session(*get, "good", "-o", "yaml")
    session(*get, "-l", "team=a", "-o", "yaml")
    session(*get, "unseen", "--watch", lines=2)
    session(*get, "unseen", "-w", "--no-header", lines=1)
    session(*get, "good", "--watch", "-o", "yaml", lines=32)
    session(*get, "a", "b")
    session(*get, "-o", "table")
    session(*get, "--nix")
    session("get", "sources", "oci", "-A", "-l", "team=nobody")
    session("get", "sources", "oci", "-n", "A.b")
    session(*get, "--context", "nix")
    session(*get, "--timeout", "soon")
    session.compare("get-sources-oci")


def test_get_sources_all(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Each kind that is there, and nothing is no failure."""
    here = ("-n", cluster.namespace)
    session("get", "sources", "all", *here)
    cluster.put("app", status=terminal.ready("stored"))
    session("get", "sources", "all", *here)
    session("get", "sources", "all", *here, "--no-header")
    session("get", "sources", "all", *here, "-o", "yaml")
    session("get", "sources", "all", *here, "--watch")
    session.compare("get-sources-all")


@pytest.mark.usefixtures("impatient")
def test_create_source_oci(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Exported, created, updated, and all that is refused before anything is asked."""
    create = ("create", "source", "oci", "-n", cluster.namespace)
    here = (*create, "app", "--url", URL)
    session(*here, "--tag", "v1", "--export")
    session(
        *(*here, "--tag-semver", "6.x", "--digest", f"sha256:{'a' * 64}", "--tag", "v1"),
        *("--interval", "1h30m", "--fetch-timeout", "90s", "--provider", "aws"),
        *("--secret-ref", "a", "--cert-ref", "b", "--proxy-secret-ref", "c"),
        *("--service-account", "d", "--insecure", "--ignore-paths", "a,b", "--ignore-paths=c"),
        *("--layer-selector", "application/x:copy", "--label", "k=v,l=w", "--label=m=x"),
        *("--verify-provider", "notation", "--verify-secret-ref", "e", "--export"),
    )
    session(
        *(*here, "--tag", "v1", "--verify-provider", "cosign", "--verify-subject", "^x$"),
        "--export",
    )
    session(*here, "--tag", "v1")
    session(*here, "--tag", "v2")
    session(*create)
    session(*create, "A b")
    session(*create, "a", "b")
    session(*create, "app")
    session(*here)
    session(*here, "--tag", "v1", "--layer-selector", "x")
    session(*here, "--tag", "v1", "--layer-selector", "x:y")
    session(*here, "--tag", "v1", "--label", "x")
    session(*here, "--tag", "v1", "--label", "-=x")
    session(*here, "--tag", "v1", "--label", "x=-")
    session(*here, "--tag", "v1", "--verify-secret-ref", "x")
    session(*here, "--tag", "v1", "--verify-issuer", "x")
    session(*here, "--provider", "ibm")
    session(*here, "--verify-provider", "gpg")
    session(*here, "--tag", "v1", "--interval", "soon")
    session(*create, "app", "--url", "https://example.com/org/app", "--tag", "v1")
    session.compare("create-source-oci")


def test_delete_source_oci(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Asked, refused, agreed, silent, unknown."""
    cluster.put("a")
    cluster.put("b")
    delete = ("delete", "source", "oci", "-n", cluster.namespace)
    session(*delete, "a", stdin=b"no\n")
    session(*delete, "a", stdin=b"y\n")
    session(*delete, "b", "--silent")
    session(*delete, "b", "-s")
    session(*delete)
    session(*delete, "a", "b")
    session.compare("delete-source-oci")


def test_export_source_oci(cluster: terminal.Shell, session: sessions.Session) -> None:
    """One, all, with credentials, nothing, and a Secret that is missing."""
    here = ("-n", cluster.namespace)
    export = ("export", "source", "oci", *here)
    session(*export, "--all")
    session("create", "secret", "oci", "ghcr", "--url=ghcr.io", "-u", "me", "-p", "word", *here)
    cluster.put("a", spec={"secretRef": {"name": "ghcr"}}, status=terminal.ready())
    cluster.put("b", spec={"secretRef": {"name": "ghcr"}}, labels={"k": "v"})
    session(*export, "a")
    session(*export, "--all")
    session(*export, "--all", "--with-credentials")
    cluster.put("c", spec={"secretRef": {"name": "nix"}})
    session(*export, "c", "--with-credentials")
    session(*export, "nix")
    session(*export)
    session(*export, "a", "b")
    session.compare("export-source-oci")


@pytest.mark.usefixtures("impatient")
def test_suspend_and_resume(cluster: terminal.Shell, session: sessions.Session) -> None:
    """By name, all, twice the same, unknown ones, nothing, waiting in vain."""
    here = ("-n", cluster.namespace)
    suspend, resume = (("suspend", "source", "oci", *here), ("resume", "source", "oci", *here))
    session(*suspend, "--all")
    session(*resume, "--all")
    cluster.put("a", status=terminal.ready())
    cluster.put("b")
    session(*suspend, "a", "nix", "b", "a")
    session(*suspend, "--all")
    session(*resume, "a", "nix", "b")
    session(*resume, "--all")
    session(*resume, "a", "--wait=false")
    session(*resume, "b")
    session(*resume, "b", "a", "--wait")
    session(*suspend)
    session(*resume)
    session.compare("suspend-resume-source-oci")


@pytest.mark.usefixtures("impatient")
def test_reconcile_source_oci(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Suspended, unknown, unnamed, and with nobody who would do it."""
    reconcile = ("reconcile", "source", "oci", "-n", cluster.namespace)
    cluster.put("a", spec={"suspend": True})
    cluster.put("b")
    session(*reconcile, "a")
    session(*reconcile, "nix")
    session(*reconcile)
    session(*reconcile, "a", "b")
    session(*reconcile, "b")
    session.compare("reconcile-source-oci")


def test_apply_and_delete(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Files, folders, standard input, and what is no manifest."""
    manifest = (
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
        f"metadata: {{name: app, namespace: {cluster.namespace}}}\n"
        f'spec: {{url: "{URL}", interval: 1m}}\n'
    )
    pathlib.Path("folder").mkdir()
    pathlib.Path("folder/app.yaml").write_text(manifest)
    pathlib.Path("empty").mkdir()
    session("apply", "-f", "folder")
    session("apply", "-f", "-", stdin=manifest.encode())
    session("delete", "-f", "folder/app.yaml")
    session("delete", "-f", "folder")
    session("apply", "-f", "-", stdin=manifest.replace("oci:", "https:").encode())
    session("apply")
    session("apply", "-f", "nix.yaml")
    session("apply", "-f", "empty")
    session("apply", "-f", "-", stdin=b"kind: Pod")
    session("apply", "-f", "-", stdin=b"[")
    session("delete", "-f", "nix.yaml")
    session("delete", "--filename")
    session.compare("apply-delete")
