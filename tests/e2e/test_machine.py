"""The seed's kubectl commands, verbatim, on one machine with the real registry."""

import asyncio
import json
import os
import pathlib
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from ocisource import digest as digests
from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from tests.e2e import machine
from tests.parts import certificates, commands, kubectl, processes
from tests.parts import registry as registries
from tests.reconciler import world

FILES = {"kustomize/deployment.yaml": b"kind: Deployment\n"}
Kubectls = Callable[[pathlib.Path], kubectl.Kubectl]


def _push(host: str, tag: str, files: dict[str, bytes]) -> digests.Digest:
    return asyncio.run(world.push(host, "podinfo", tag, files))


def _manifest(host: str, *, tag: str = "latest") -> str:
    return f"""\
---
apiVersion: source.toolkit.fluxcd.io/v1beta2
kind: OCIRepository
metadata:
  name: podinfo
  namespace: default
spec:
  interval: 5m0s
  url: oci://{host}/podinfo
  ref:
    tag: {tag}
"""


def _events(run: kubectl.Kubectl) -> str:
    selector = "involvedObject.kind=OCIRepository,involvedObject.name=podinfo"
    return run.run("get", "events", "--field-selector", selector).stdout


@pytest.mark.parametrize("find", [kubectl.find, kubectl.find_old], ids=["kubectl", "kubectl-1.20"])
def test_the_documented_kubectl_commands_work_on_one_machine(
    tmp_path: pathlib.Path,
    shared_registry: registries.Registry,
    find: Callable[..., kubectl.Kubectl],
) -> None:
    """Verbatim: apply, get, describe, wait, annotate, patch, events, delete."""
    digest = _push(shared_registry.host, "latest", FILES)
    (tmp_path / "ocirepository.yaml").write_text(_manifest(shared_registry.host))
    stored = f"stored artifact for digest '{digest.hex}'"
    with machine.up(tmp_path / "machine") as here:
        run = find(here.kubeconfig, home=tmp_path / "home")
        applied = run.run("apply", "-f", str(tmp_path / "ocirepository.yaml"))
        assert applied.stdout == "ocirepository.source.toolkit.fluxcd.io/podinfo created\n"

        words = ("wait", "ocirepository/podinfo", "--for=condition=ready", "--timeout=1m")
        waited = run.run(*words)
        assert waited.stdout == "ocirepository.source.toolkit.fluxcd.io/podinfo condition met\n"

        header, row = run.run("get", "ocirepository").stdout.splitlines()
        assert header.split() == ["NAME", "URL", "READY", "STATUS", "AGE"]
        assert row.startswith("podinfo ")
        assert f"oci://{shared_registry.host}/podinfo" in row
        assert stored in row

        described = run.run("describe", "ocirepository", "podinfo").stdout
        for text in (
            f"Revision:  {digest.hex}",
            "Type:                  ArtifactInStorage",
            f"Message:               {stored}",
            "Normal  NewArtifact",
            "source-controller  stored artifact with digest",
        ):
            assert " ".join(text.split()) in " ".join(described.split())

        token = "1660000000"
        run.run(
            "annotate",
            "--field-manager=flux-client-side-apply",
            "--overwrite",
            "ocirepository/podinfo",
            f"reconcile.fluxcd.io/requestedAt={token}",
        )
        path = "jsonpath={.status.lastHandledReconcileAt}"
        processes.poll(
            lambda: run.run("get", "ocirepository", "podinfo", "-o", path).stdout == token,
            what="the reconcile request to be handled",
        )
        processes.poll(
            lambda: f"artifact up-to-date with remote digest: '{digest.hex}'" in _events(run),
            what="the event ArtifactUpToDate",
        )
        for value in ("true", "false"):
            patch = f'{{"spec": {{"suspend" : {value} }}}}'
            manager = "--field-manager=flux-client-side-apply"
            patched = run.run("patch", "ocirepository", "podinfo", manager, "-p", patch)
            assert patched.stdout == "ocirepository.source.toolkit.fluxcd.io/podinfo patched\n"
        run.run(*words)

        url = run.run("get", "ocirepository", "podinfo", "-o", "jsonpath={.status.url}").stdout
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own loopback address
            body = answer.read()
        checksum = "jsonpath={.status.artifact.checksum}"
        expected = run.run("get", "ocirepository", "podinfo", "-o", checksum).stdout
        assert digests.Digest.of(body).hex == expected

        deleted = run.run("delete", "ocirepository", "podinfo")
        assert deleted.stdout == 'ocirepository.source.toolkit.fluxcd.io "podinfo" deleted\n'
        store = here.folder / "data" / "artifacts" / "ocirepository"
        assert not list(store.rglob("*.tar.gz"))


def test_secrets_made_by_kubectl_open_a_registry_with_users_and_tls(
    tmp_path: pathlib.Path,
    start_registry: Callable[..., registries.Registry],
    authority: certificates.Authority,
    new_kubectl: Kubectls,
) -> None:
    """The two documented commands: create secret docker-registry, create secret generic."""
    served = start_registry(users={"flux": "open-sesame"}, tls=authority.server("127.0.0.1"))
    access = registry.Access(
        keychain=credentials.StaticKeychain(
            credentials.Credential(username="flux", password="open-sesame")
        ),
        tls=tls.TLSIdentity(ca_pem=authority.certificate_pem),
    )
    asyncio.run(world.push(served.host, "podinfo", "latest", FILES, access=access))
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    manifest = _manifest(served.host) + (
        "  secretRef:\n    name: regcred\n  certSecretRef:\n    name: tls-certs\n"
    )
    with machine.up(tmp_path / "machine") as here:
        run = new_kubectl(here.kubeconfig)
        run.run("apply", "-f", "-", stdin=manifest)
        run.run(
            "create",
            "secret",
            "docker-registry",
            "regcred",
            f"--docker-server={served.host}",
            "--docker-username=flux",
            "--docker-password=open-sesame",
        )
        file = f"--from-file=caFile={tmp_path / 'ca.crt'}"
        run.run("create", "secret", "generic", "tls-certs", file)
        run.run("wait", "ocirepository/podinfo", "--for=condition=ready", "--timeout=1m")
        logs = (here.folder / "data" / "logs" / "ocisource.log").read_text()
        assert "open-sesame" not in logs


def test_a_manifest_that_fails_the_schema_is_refused_naming_the_field(
    tmp_path: pathlib.Path, new_kubectl: Kubectls
) -> None:
    """The Status of the API reaches the user through kubectl."""
    wrong = _manifest("ghcr.io").replace("interval: 5m0s", "interval: soon")
    with machine.up(tmp_path / "machine") as here:
        run = new_kubectl(here.kubeconfig)
        refused = run.run("apply", "-f", "-", stdin=wrong, is_checked=False)
    assert refused.code == 1
    assert "spec.interval: Invalid value" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_state_survives_a_restart_and_even_a_kill(
    tmp_path: pathlib.Path, shared_registry: registries.Registry, new_kubectl: Kubectls
) -> None:
    """Objects, Secrets, artifacts and the kubeconfig are there again."""
    digest = _push(shared_registry.host, "latest", FILES)
    folder = tmp_path / "machine"
    with machine.up(folder) as here:
        run = new_kubectl(here.kubeconfig)
        run.run("apply", "-f", "-", stdin=_manifest(shared_registry.host))
        run.run("wait", "ocirepository/podinfo", "--for=condition=ready", "--timeout=1m")
        mode = stat.S_IMODE(here.kubeconfig.stat().st_mode)
        assert mode == 0o600
        here.process.kill()
    with machine.up(folder) as here:
        run = new_kubectl(here.kubeconfig)
        found = json.loads(run.run("get", "ocirepository", "podinfo", "-o", "json").stdout)
        assert found["status"]["artifact"]["revision"] == digest.hex
        processes.poll(lambda: bool(here.lines()), what="the first line of the table")
        assert here.lines()[0] == (
            f"podinfo oci://{shared_registry.host}/podinfo True "
            f"stored artifact for digest '{digest.hex}'"
        )
        places = here.places()
        assert all(
            "127.0.0.1" in places[name] for name in ("API", "artifacts", "metrics", "health")
        )
        with urllib.request.urlopen(places["metrics"]) as answer:  # noqa: S310 - our own loopback address
            exposition = answer.read()
        assert b"controller_runtime_reconcile_total" in exposition
        assert b'rest_client_requests_total{code="200"' in exposition


def test_once_exits_0_when_everything_is_ready(tmp_path: pathlib.Path) -> None:
    """With the demo: no network, no cluster, one Ready object."""
    done = machine.once(tmp_path / "machine", "--demo", "--timeout", "30s")
    assert done.code == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("podinfo oci://127.0.0.1:")
    assert " True stored artifact for digest '" in last
    assert done.stderr == ""
    # The next one does not look for the first one's registry, which had another port.
    again = machine.once(tmp_path / "machine", "--demo", "--timeout", "30s")
    assert (again.code, again.stderr) == (0, "")
    assert "failed" not in again.stdout


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("podinfo:v1", "URL validation failed for 'oci://"),
        ("absent", 'couldn\'t find tag "latest"'),
    ],
)
def test_once_exits_1_with_the_failing_message(
    tmp_path: pathlib.Path, shared_registry: registries.Registry, change: str, text: str
) -> None:
    """A stalled object ends it at once, one that is not Ready at the timeout."""
    file = tmp_path / "source.yaml"
    url = f"{shared_registry.host}/podinfo"
    file.write_text(
        _manifest(shared_registry.host).replace(url, f"{shared_registry.host}/{change}")
    )
    done = machine.once(tmp_path / "machine", "-f", str(file), "--timeout", "3s")
    assert done.code == 1
    assert done.stderr.startswith("✗ podinfo: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_once_judges_what_an_earlier_run_left_anew(
    tmp_path: pathlib.Path, start_registry: Callable[..., registries.Registry]
) -> None:
    """A tag that moved is fetched, and a registry that is gone is no success."""
    served = start_registry()
    _push(served.host, "latest", FILES)
    file = tmp_path / "source.yaml"
    file.write_text(_manifest(served.host))
    words = (tmp_path / "machine", "-f", str(file))
    assert machine.once(*words, "--timeout", "30s").code == 0
    moved = _push(served.host, "latest", {"other.yaml": b"a: 1\n"})
    again = machine.once(*words, "--timeout", "30s")
    assert (again.code, again.stderr) == (0, "")
    assert again.stdout.splitlines()[-1].endswith(f"True stored artifact for digest '{moved.hex}'")
    served.stop()
    gone = machine.once(*words, "--timeout", "2s")
    assert gone.code == 1
    assert gone.stderr.startswith(
        # The latter on a machine that is too busy to look in time.
        ("✗ podinfo: failed to determine artifact digest: ", "✗ podinfo: not looked at again")
    )


def test_a_file_that_is_no_manifest_is_one_clear_line(tmp_path: pathlib.Path) -> None:
    """What and where, exit code 2; nothing is started."""
    file = tmp_path / "broken.yaml"
    file.write_text("a: [\n")
    done = machine.once(tmp_path / "machine", "-f", str(file))
    assert done.code == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(file) in done.stderr


def test_an_interrupt_ends_it_cleanly(tmp_path: pathlib.Path) -> None:
    """Ctrl-C: exit code 0, no traceback."""
    with machine.up(tmp_path / "machine") as here:
        os.kill(here.process.pid, signal.SIGINT)
        assert here.process.wait(seconds=20) == 0
        assert "Traceback" not in here.process.log_text()


def test_a_verdict_survives_the_end_of_its_reader(tmp_path: pathlib.Path) -> None:
    """A failing --once whose output is cut off by head still exits 1."""
    file = tmp_path / "source.yaml"
    file.write_text(_manifest("127.0.0.1:1"))
    words = machine.argv(tmp_path, "--once", "-f", str(file), "--timeout", "2s")
    command = f"{shlex.join(words)} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=commands.clean_environ(tmp_path / "home"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stdout


def test_install_is_refused_where_there_are_no_pods(tmp_path: pathlib.Path) -> None:
    """Nothing is written to the machine's own API."""
    with machine.up(tmp_path / "machine") as here:
        done = commands.run(
            [sys.executable, "-m", "ocisource", "install", f"--kubeconfig={here.kubeconfig}"],
            environ=commands.clean_environ(tmp_path / "home"),
            is_checked=False,
        )
    assert done.code == 2
    assert "runs no Pods" in done.stderr
    assert done.stdout == ""


def test_what_the_user_declares_is_owned_by_the_user(
    tmp_path: pathlib.Path, new_kubectl: Kubectls
) -> None:
    """Applied specs have a field manager of their own, not the controller's."""
    with machine.up(tmp_path / "machine", "--demo") as here:
        run = new_kubectl(here.kubeconfig)
        words = ("get", "ocirepository", "podinfo", "-o", "json", "--show-managed-fields")
        found = json.loads(run.run(*words).stdout)
    applied = [e for e in found["metadata"]["managedFields"] if e["operation"] == "Apply"]
    assert [entry["manager"] for entry in applied] == ["ocisource"]
