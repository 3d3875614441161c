"""Golden sessions of Secrets, reports, and of the program itself."""

import base64
import datetime
import json
import pathlib

from ocisource import logs as product_logs
from tests.cli import session as sessions
from tests.cli import terminal, test_reports
from tests.parts import certificates


def test_create_secret(cluster: terminal.Shell, session: sessions.Session) -> None:
    """A login and a proxy: exported, created, written again; and all that is refused."""
    here = ("-n", cluster.namespace)
    oci, proxy = (("create", "secret", kind, *here) for kind in ("oci", "proxy"))
    login = (*oci, "ghcr", "--url", "ghcr.io/org/app", "-u", "me", "-p", "word")
    session(*login, "--label", "k=v", "--export")
    session(*login)
    session(*login)
    office = (*proxy, "office", "--address", "http://proxy.example.com:3128")
    session(*office, "--username", "me", "--password", "word", "--export")
    session(*office)
    session(*oci)
    session(*oci, "A")
    session(*oci, "a", "b")
    session(*oci, "a")
    session(*oci, "a", "--url", "ghcr.io")
    session(*oci, "a", "--url", "ghcr.io", "-u", "me")
    session(*oci, "a", "--url", "ghcr.io/A", "-u", "me", "-p", "word")
    session(*proxy, "a")
    session(*proxy, "a", "--address", "ftp://me:word@example.com")
    session(*office, "--label", "x")
    session.compare("create-secret")


def test_create_secret_tls(
    cluster: terminal.Shell, session: sessions.Session, authority: certificates.Authority
) -> None:
    """A pair, a CA, halves, strangers, and files that are not there."""
    pair = authority.client().write(pathlib.Path())
    other = authority.client().write(pathlib.Path("other"))
    ca = authority.write(pathlib.Path())
    tls = ("create", "secret", "tls", "certs", "-n", cluster.namespace)
    certificate, key = (("--tls-crt-file", pair.certificate), ("--tls-key-file", pair.key))
    session(*tls, *map(str, (*certificate, *key, "--ca-crt-file", ca)))
    session(*tls, "--ca-crt-file", str(ca))
    session(*tls)
    session(*tls, *map(str, certificate))
    session(*tls, *map(str, key))
    session(*tls, *map(str, (*certificate, "--tls-key-file", other.key)))
    session(*tls, "--ca-crt-file", "nix")
    session(*tls, "--tls-crt-file", "nix")
    session(*tls, "--tls-key-file", "nix")
    session(*tls, "--ca-crt-file", str(pair.key))
    session.compare("create-secret-tls")


def test_events(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Oldest first, by subject and type, as data; none; wrong words."""
    events = ("events", "-n", cluster.namespace)
    session(*events)
    days = [datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=n) for n in (9, 12)]
    last, first = (day.strftime("%Y-%m-%dT%H:%M:%SZ") for day in days)
    times = {"firstTimestamp": first, "lastTimestamp": last}
    test_reports.event(cluster, "app", count=3, **times)
    problem = {"type": "Warning", "reason": "OCIArtifactPullFailed", "message": "no route"}
    test_reports.event(cluster, "poor", firstTimestamp=first, lastTimestamp=first, **problem)
    test_reports.event(cluster, "pod", kind="Pod")
    session(*events)
    session(*events, "--for", "ocirepository/poor")
    session(*events, "--types", "normal")
    session(*events, "--for", "OCIRepository", "--types", "Warning", "-o", "yaml")
    session(*events, "--for", "OCIRepository/nix")
    session(*events, "--for", "OCIRepository/poor", "--watch", lines=2)
    session(*events, "--for", "Pod/x")
    session(*events, "--types", "Odd")
    session(*events, "app")
    session.compare("events")


def test_stats(cluster: terminal.Shell, session: sessions.Session) -> None:
    """Counted, as a table and as data."""
    cluster.put("a", status=terminal.ready())
    cluster.put("b", spec={"suspend": True})
    cluster.put("c", status=terminal.conditions(("Ready", "False", "Failed", "x")))
    session("stats", "-n", cluster.namespace)
    session("stats", "-n", cluster.namespace, "-o", "yaml")
    session("stats", "more")
    session("stats", "--token", "wrong")
    session.compare("stats")


def test_trace(cluster: terminal.Shell, session: sessions.Session) -> None:
    """What nobody manages, what is not there, and too few words."""
    cluster.put("a")
    trace = ("trace", "-n", cluster.namespace)
    session(*trace, "ocirepository", "a")
    session(*trace, "ocirepo/a", "thing/x")
    session(*trace, "ocirepository", "nix")
    session(*trace)
    session(*trace, "ocirepository")
    session(*trace, "a", "--kind", "OCIRepository")
    session.compare("trace-failures")


def test_logs(shell: terminal.Shell, session: sessions.Session) -> None:
    """Of a machine: all, and by level, kind, name, namespace, number, time; as data."""
    folder = pathlib.Path("data")
    product_logs.setup(level="debug", encoding="json", stream=None, folder=folder / "logs")
    log = product_logs.get("ocirepository", controllerKind="OCIRepository")
    log.bind(name="a", namespace="apps").info("stored artifact")
    log.bind(name="b", namespace="other").error("fetch failed", error="no route")
    product_logs.get("serve").info("started")
    product_logs.setup(level="info", encoding="json", stream=None)
    logs = ("logs", "--data-dir", "data")
    session(*logs)
    session(*logs, "--level", "error")
    session(*logs, "--kind", "ocirepository", "--name", "A")
    session(*logs, "-n", "other")
    session(*logs, "-n", "other", "-A")
    session(*logs, "--tail", "1")
    session(*logs, "--since", "1h", "--tail", "1")
    session(*logs, "--since-time", "2999-01-01T00:00:00Z")
    session(*logs, "--level", "error", "-o", "json")
    session(*logs, "--follow", lines=3)
    session(*logs, "more")
    session(*logs, "--level", "odd")
    session(*logs, "--since-time", "today")
    session(*logs, "--since-time", "2022-06-14T11:23:36Z", "--since", "1m")
    session("logs", "--data-dir", "nix")
    shell.use(pathlib.Path("nix"), namespace="default")
    session("logs")
    session.compare("logs")


def test_the_program_itself(session: sessions.Session) -> None:
    """Versions, completion, help, wrong words, and no cluster anywhere."""
    session("version")
    session("--version")
    session("version", "-o", "json")
    session("version", "-o", "yaml")
    session("version", "-o", "toml")
    session("get")
    session("create", "secret", "--help")
    session("tag", "artifact", "--help")
    session("gt")
    session("get", "source", "oc")
    session("get", "sources", "git")
    session("push", "artefact")
    session("tag", "artifact", "--insecure-registri")
    session("completion", "bash")
    session("completion", "tcsh")
    session("get", "sources", "oci")
    session("check")
    session("check", "--server", "https://127.0.0.1:1")
    session("events", "--server", "https://127.0.0.1:1")
    session("get", "sources", "oci", "--kubeconfig", "nix")
    session("get", "sources", "oci", "--as-group", "x")
    session("get", "sources", "oci", "--as", "jane", "--as-user-extra", "scopes")
    session("controller", "--kubeconfig", "nix")
    session("install", "--kubeconfig", "nix")
    session("apiserver", "--api-addr", "nowhere")
    session("up", "--once", "-f", "nix.yaml")
    session("up", "--api-addr", "127.0.0.1")
    session("up", "--timeout", "soon")
    session("up", "extra")
    session.compare("program")


def test_an_unreadable_kubeconfig(session: sessions.Session) -> None:
    """In YAML, in shape, and what the context leads to."""
    for text in ("{", "- 1", "contexts: 1", "users: {}", "current-context: a"):
        pathlib.Path("config").write_text(text)
        session("get", "sources", "oci", "--kubeconfig", "config")
    session.compare("kubeconfig")


def test_certificates_that_cannot_be_used(
    session: sessions.Session, authority: certificates.Authority
) -> None:
    """File or entry, and what is wrong with it, whoever reads it."""
    authority.client().write(pathlib.Path("one"))
    authority.client().write(pathlib.Path("other"))
    pathlib.Path("note").write_text("ask the platform team")
    session.hide(str(pathlib.Path.cwd()), "/home/me", is_padded=False)
    data = base64.b64encode(pathlib.Path("one/tls.key").read_bytes()).decode()
    session.hide(data, "PRIVATE-KEY-IN-BASE64", is_padded=False)
    pair = {"client-certificate": "one/tls.crt", "client-key": "other/tls.key"}
    for cluster, user in (
        ({"certificate-authority": "nix"}, {}),
        ({"certificate-authority": "note"}, {}),
        ({"certificate-authority-data": data}, {}),
        ({"insecure-skip-tls-verify": True}, pair),
    ):
        config = {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        pathlib.Path("config").write_text(json.dumps(config))
        session("get", "sources", "oci", "--kubeconfig", "config")
    ca = ("create", "secret", "tls", "a", "--ca-crt-file", "note")
    session(*ca, "--tls-crt-file", "one/tls.crt", "--tls-key-file", "one/tls.key", "--export")
    session.compare("certificates")


def test_no_permission(cluster: terminal.Shell, session: sessions.Session) -> None:
    """A login that is not known is told by every command, with what to do."""
    cluster.put("a", status=terminal.ready())
    wrong = ("-n", cluster.namespace, "--token", "wrong")
    for words in (
        ("get", "sources", "oci"),
        ("get", "sources", "all"),
        ("export", "source", "oci", "--all"),
        ("suspend", "source", "oci", "a"),
        ("resume", "source", "oci", "--all"),
        ("reconcile", "source", "oci", "a"),
        ("delete", "source", "oci", "a", "-s"),
        ("create", "source", "oci", "a", "--url", "oci://example.com/a/b", "--tag", "v1"),
        ("create", "secret", "proxy", "a", "--address", "http://proxy:3128"),
        ("events",),
        ("trace", "ocirepository", "a"),
        ("check",),
    ):
        session(*words, *wrong)
    session.compare("unauthorized")
