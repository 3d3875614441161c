"""create, delete, export, suspend, resume, reconcile without a controller."""

import base64
import pathlib

import pytest
import yaml

from tests.cli import terminal

URL = "oci://example.com/org/app"


def test_export_of_create_is_a_manifest(shell: terminal.Shell) -> None:
    """Keys are sorted, the defaults are there, and no cluster is needed."""
    result = shell(
        *("create", "source", "oci", "app", "--url", URL, "--tag-semver", "6.x"),
        *("--interval", "10m", "--fetch-timeout", "90s", "--secret-ref", "ghcr"),
        *("--cert-ref=certs", "--proxy-secret-ref", "office", "--service-account", "sa"),
        *("--ignore-paths", "a,b", "--ignore-paths", "c", "--insecure", "--label", "k=v,l=w"),
        *("--verify-provider", "cosign", "--verify-issuer", "i", "--provider", "aws"),
        *("--layer-selector", "application/x:copy", "--export"),
    )
    assert (result.code, result.err) == (0, "")
    assert result.out == (pathlib.Path(__file__).parent / "golden/create-source.yaml").read_text()


@pytest.mark.usefixtures("impatient")
def test_created_objects_hold_the_defaults(cluster: terminal.Shell) -> None:
    """Without a controller the wait ends with the timeout, and says what was waited for."""
    result = cluster.here(*("create", "source", "oci", "a", "--url", URL, "--tag", "v1"))
    assert result.err == (
        "► applying OCIRepository\n"
        "✔ OCIRepository created\n"
        "◎ waiting for OCIRepository reconciliation\n"
        "✗ timed out after 5m0s waiting for a: no controller has taken notice of it\n"
    )
    assert result.code == 1
    spec = cluster.get("a")["spec"]
    assert (spec["interval"], spec["provider"], spec["ref"]) == ("1m0s", "generic", {"tag": "v1"})


@pytest.mark.usefixtures("impatient")
def test_an_update_replaces_spec_and_labels(cluster: terminal.Shell) -> None:
    """Annotations stay; the outcome is judged at once when nothing has changed."""
    cluster.put("app", spec={"ignore": "x"}, labels={"old": "1"}, annotations={"kept": "1"})
    words = ("create", "source", "oci", "app", "--url", URL, "--digest", f"sha256:{'a' * 64}")
    result = cluster.here(*words, "--label", "new=2")
    assert "✔ OCIRepository updated\n" in result.err
    obj = cluster.get("app")
    assert obj["metadata"]["labels"] == {"new": "2"}
    assert obj["metadata"]["annotations"] == {"kept": "1"}
    assert "ignore" not in obj["spec"]


def test_export_names_the_namespace_that_is_meant(
    shell: terminal.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without --export; an ambient kubeconfig of no use does not stand in the way."""
    words = ("create", "source", "oci", "app", "--url", URL, "--tag", "v1", "--export")
    pathlib.Path("config").write_text(
        "current-context: ocisource\n"
        "contexts: [{name: ocisource, context: {cluster: a, namespace: mine}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", "config")
    assert "  namespace: mine\n" in shell(*words).out  # of an `up`, by the context's name
    gone = shell("get", "sources", "oci")
    assert gone.err.endswith("refused; 'ocisource up' with the same --data-dir starts it\n")
    assert "  namespace: other\n" in shell(*words, "-n", "other").out
    monkeypatch.setenv("KUBECONFIG", "nix")
    assert "  namespace: flux-system\n" in shell(*words).out
    monkeypatch.setenv("FLUX_SYSTEM_NAMESPACE", "flux")
    assert "  namespace: flux\n" in shell(*words).out
    wrong = shell(*words, "--kubeconfig", "nix")
    assert (wrong.code, wrong.out, wrong.err) == (2, "", '✗ kubeconfig "nix": no such file\n')


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "name is required"),
        (["A b"], "name 'A b' is invalid, it should adhere to standard defined in RFC 1123, the"),
        (["app"], "url is required"),
        (["app", "--url", URL], "--tag, --tag-semver or --digest is required"),
        (
            ["app", "--url", URL, "--tag", "v", "--layer-selector", "x"],
            'invalid --layer-selector "x',
        ),
        (
            ["app", "--url", URL, "--tag", "v", "--layer-selector", "x:y"],
            "invalid --layer-selector",
        ),
        (["app", "--url", URL, "--tag", "v", "--label", "x"], "invalid label format 'x', must be"),
        (["app", "--url", URL, "--tag", "v", "--label", "-=x"], "invalid label '-': ["),
        (["app", "--url", URL, "--tag", "v", "--label", "x=-"], "invalid label value '-': ["),
        (
            ["app", "--url", URL, "--tag", "v", "--verify-secret-ref", "x"],
            "a verification provider must be specified when a secret is specified",
        ),
        (
            ["app", "--url", URL, "--tag", "v", "--verify-subject", "x"],
            "a verification provider must be specified when OIDC issuer/subject is specified",
        ),
        (
            ["app", "--provider", "ibm"],
            "Invalid value for '--provider': source OCI provider 'ibm' is not supported, must be",
        ),
    ],
)
def test_what_create_source_refuses(shell: terminal.Shell, words: list[str], text: str) -> None:
    """One line, exit code 2, and no cluster was asked."""
    result = shell("create", "source", "oci", *words)
    assert result.code == 2
    assert result.err.startswith(f"✗ {text}")
    assert result.err.count("\n") == 1
    assert result.out == ""


def test_export_prints_what_was_declared(cluster: terminal.Shell) -> None:
    """No status, no bookkeeping; with --with-credentials each Secret once, all objects."""
    assert (
        cluster.here(
            *("create", "secret", "oci", "ghcr", "--url", "ghcr.io", "-u", "me", "-p", "word")
        ).err
        == f"✔ oci secret 'ghcr' created in '{cluster.namespace}' namespace\n"
    )
    for name in ("a", "b"):
        cluster.put(name, spec={"secretRef": {"name": "ghcr"}}, status=terminal.ready())
    result = cluster.here("export", "source", "oci", "--all", "--with-credentials")
    documents = list(yaml.safe_load_all(result.out))
    assert [each["kind"] for each in documents] == ["OCIRepository", "Secret", "OCIRepository"]
    assert set(documents[0]) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(documents[0]["metadata"]) == {"name", "namespace"}
    held = base64.b64decode(documents[1]["data"][".dockerconfigjson"]).decode()
    assert base64.b64encode(b"me:word").decode() in held
    assert cluster.here("export", "source", "oci").err == "✗ name is required\n"


def test_export_of_nothing(cluster: terminal.Shell) -> None:
    """Exit code 1, whether a name is missing or everything."""
    everything = cluster.here("export", "source", "oci", "--all")
    assert everything.err == f"✗ no objects found in {cluster.namespace} namespace\n"
    one = cluster.here("export", "source", "oci", "nix")
    assert one.err == '✗ ocirepositories.source.toolkit.fluxcd.io "nix" not found\n'
    assert (everything.code, one.code) == (1, 1)


def test_suspend_and_resume(cluster: terminal.Shell) -> None:
    """The field is set and cleared; an unknown name is reported, the others are done."""
    ns = cluster.namespace
    cluster.put("a")
    cluster.put("b")
    result = cluster.here("suspend", "source", "oci", "a", "nix", "b", "a")
    assert result.err == (
        f"► suspending source oci a in {ns} namespace\n"
        "✔ source oci suspended\n"
        f"✗ OCIRepository nix not found in {ns} namespace\n"
        f"► suspending source oci b in {ns} namespace\n"
        "✔ source oci suspended\n"
    )
    assert result.code == 1
    assert cluster.get("a")["spec"]["suspend"] is True
    resumed = cluster.here("resume", "source", "oci", "--all")
    assert resumed.err == (
        f"► resuming source oci a in {ns} namespace\n✔ source oci resumed\n"
        f"► resuming source oci b in {ns} namespace\n✔ source oci resumed\n"
    )
    assert resumed.code == 0
    assert "suspend" not in cluster.get("b")["spec"]


@pytest.mark.usefixtures("impatient")
def test_a_single_name_is_waited_for_unless_told_otherwise(cluster: terminal.Shell) -> None:
    """--wait=false is understood as flux does."""
    cluster.put("a", spec={"suspend": True})
    assert cluster.here("resume", "source", "oci", "a", "--wait=false").code == 0
    waited = cluster.here("resume", "source", "oci", "a")
    assert waited.code == 1
    assert "✗ OCIRepository a reconciliation failed: timed out after 5m0s" in waited.err
    assert waited.err.endswith("✗ reconciliation failed for 1 OCIRepository(s)\n")


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_nothing_to_suspend_or_resume(cluster: terminal.Shell, verb: str) -> None:
    """An empty namespace exits with 1, no name at all with 2."""
    empty = cluster.here(verb, "source", "oci", "--all")
    text = f"✗ no OCIRepository objects found in {cluster.namespace} namespace\n"
    assert (empty.code, empty.err) == (1, text)
    nameless = cluster.here(verb, "source", "oci")
    assert (nameless.code, nameless.err) == (2, "✗ source oci name is required\n")


def test_delete_asks_first(cluster: terminal.Shell) -> None:
    """Anything but y aborts; --silent does not ask."""
    ns = cluster.namespace
    cluster.put("a")
    refused = cluster.here("delete", "source", "oci", "a", stdin=b"no\n")
    assert (refused.code, refused.err.splitlines()[-1]) == (1, "✗ aborting")
    agreed = cluster.here("delete", "source", "oci", "a", stdin=b"y\n")
    assert agreed.code == 0
    assert agreed.err.endswith(f"► deleting source oci a in {ns} namespace\n✔ source oci deleted\n")
    gone = cluster.here("delete", "source", "oci", "a", "--silent")
    text = '✗ ocirepositories.source.toolkit.fluxcd.io "a" not found\n'
    assert (gone.code, gone.err) == (1, text)


def test_reconcile_of_a_suspended_object(cluster: terminal.Shell) -> None:
    """Nothing is annotated, and the text says how to go on."""
    cluster.put("a", spec={"suspend": True})
    result = cluster.here("reconcile", "source", "oci", "a")
    assert result.code == 1
    assert result.err.startswith("✗ resource is suspended: ")
    assert "annotations" not in cluster.get("a")["metadata"]
    nameless = cluster.here("reconcile", "source", "oci")
    assert (nameless.code, nameless.err) == (2, "✗ OCIRepository name is required\n")


def test_apply_and_delete_of_manifests(cluster: terminal.Shell) -> None:
    """What create exports can be applied, twice, and deleted, twice."""
    words = ("create", "source", "oci", "app", "--url", URL, "--tag", "v1", "--export")
    pathlib.Path("app.yaml").write_text(cluster.here(*words).out)
    name = "ocirepository.source.toolkit.fluxcd.io/app"
    for _ in range(2):
        applied = cluster("apply", "-f", "app.yaml")
        assert (applied.code, applied.out, applied.err) == (0, f"{name} applied\n", "")
    assert cluster("delete", "-f", "app.yaml").out == f"{name} deleted\n"
    assert cluster("delete", "-f", "app.yaml").out == f"{name} not found\n"
    missing = cluster("apply", "-f", "nix.yaml")
    assert (missing.code, missing.err) == (2, "✗ nix.yaml: No such file or directory\n")


def test_manifests_from_standard_input(cluster: terminal.Shell) -> None:
    """What create exports can be piped into apply; what is no manifest is told in one line."""
    words = ("create", "source", "oci", "app", "--url", URL, "--tag", "v1", "--export")
    exported = cluster.here(*words).out.encode()
    name = "ocirepository.source.toolkit.fluxcd.io/app"
    assert cluster("apply", "-f", "-", stdin=exported).out == f"{name} applied\n"
    assert cluster("delete", "-f", "-", stdin=exported).out == f"{name} deleted\n"
    for content in (b"[" * 100_000, b"a: 2022-99-99", b"\xff", b"{", b"- 1", b"kind: Pod"):
        result = cluster("apply", "-f", "-", stdin=content)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.startswith("✗ -: ")
