"""Credential plugins: real commands that print ExecCredentials, or fail to."""

import json
import pathlib
import stat

import pytest

from ocisource import errors
from ocisource.kube import execplugin
from ocisource.wire import timestamps
from tests.simulators import faketime

VERSION = execplugin.VERSIONS[0]


def plugin(
    tmp_path: pathlib.Path, script: str, **more: object
) -> tuple[execplugin.Plugin, pathlib.Path]:
    """A plugin that is a shell script, and the file in which it counts its runs."""
    runs = tmp_path / "runs"
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\necho run >> {runs}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    value = {"command": "./plugin", "apiVersion": VERSION, "interactiveMode": "Never"} | more
    made = execplugin.Plugin.parse(
        value, user="u", folder=tmp_path, cluster_info={"server": "https://c"}
    )
    return made, runs


def answer(**status: str) -> str:
    """A script that prints a status."""
    credential = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(credential)}\nEND"


def source(made: execplugin.Plugin, **more: object) -> execplugin.ExecLogin:
    """A login source that runs it."""
    return execplugin.ExecLogin(made, environ={"PATH": "/usr/bin:/bin"}, **more)  # type: ignore[arg-type]


def count(runs: pathlib.Path) -> int:
    """How often the plugin ran."""
    return len(runs.read_text().splitlines())


async def test_a_token_is_remembered_until_it_expires(tmp_path: pathlib.Path) -> None:
    """The plugin runs again shortly before the expiry, not at each request."""
    now = 1_700_000_000.0
    expiry = timestamps.format_seconds(now + 100)
    made, runs = plugin(tmp_path, answer(token="t", expirationTimestamp=expiry))
    times = [now]
    login = source(made, wall=lambda: times[0])
    for _ in range(3):
        assert (await login.login()).token == "t"
    assert count(runs) == 1
    times[0] += 91
    await login.login()
    assert count(runs) == 2


async def test_a_rejected_token_is_asked_for_again(tmp_path: pathlib.Path) -> None:
    """Without an expiry the server's 401 is the sign."""
    made, runs = plugin(tmp_path, answer(token="t"))
    login = source(made)
    first = await login.login()
    assert login.reject(first)
    await login.login()
    assert count(runs) == 2


async def test_client_certificates_come_too(tmp_path: pathlib.Path) -> None:
    """A certificate with its key instead of a token."""
    made, _ = plugin(tmp_path, answer(clientCertificateData="C", clientKeyData="K"))
    got = await source(made).login()
    assert (got.certificate_pem, got.key_pem, got.token) == (b"C", b"K", "")


async def test_the_plugin_is_told_what_it_asks_for(tmp_path: pathlib.Path) -> None:
    """Arguments, variables, KUBERNETES_EXEC_INFO with the cluster."""
    script = (
        f'echo "$1 $EXTRA" > {tmp_path}/told\n'
        f'echo "$KUBERNETES_EXEC_INFO" >> {tmp_path}/told\n' + answer(token="t")
    )
    made, _ = plugin(
        tmp_path,
        script,
        args=["get-token"],
        env=[{"name": "EXTRA", "value": "v"}],
        provideClusterInfo=True,
    )
    await source(made).login()
    first, info = (tmp_path / "told").read_text().splitlines()
    assert first == "get-token v"
    assert json.loads(info) == {
        "apiVersion": VERSION,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "https://c"}},
    }


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that was killed and not yet collected does not."""
    try:
        return " Z " not in pathlib.Path("/proc", pid, "stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 3", "failed with exit code 3"),
        ("echo s3cret", "printed no ExecCredential"),
        (r"""printf '{"kind": "\377"}'""", "printed no ExecCredential"),
        (answer(), "neither a token nor a certificate"),
        (answer(clientCertificateData="s3cret"), "without its key"),
        (answer(token="s3cret", expirationTimestamp="soon"), "that is no time"),
        ('echo \'{"apiVersion":"client.authentication.k8s.io/v1beta1"}\'', "another one"),
        ("head -c 3000000 /dev/zero", "printed more than"),
    ],
)
async def test_failures_are_told_without_what_was_printed(
    tmp_path: pathlib.Path, script: str, text: str
) -> None:
    """What a plugin prints may be a token, whatever else is wrong with it."""
    made, _ = plugin(tmp_path, script)
    with pytest.raises(errors.CredentialError, match=text) as caught:
        await source(made).login()
    assert "s3cret" not in str(caught.value)


async def test_a_plugin_that_hangs_is_ended_with_its_children(tmp_path: pathlib.Path) -> None:
    """The deadline ends the whole process group."""
    script = f"sleep 1000 & echo $! > {tmp_path}/child\nwait"
    made, _ = plugin(tmp_path, script)
    with pytest.raises(errors.CredentialError, match=r"did not answer within 0\.5s"):
        await source(made, timeout=0.5).login()
    child = (tmp_path / "child").read_text().strip()
    await faketime.until(lambda: not is_alive(child))


async def test_a_missing_plugin_shows_the_hint(tmp_path: pathlib.Path) -> None:
    """The kubeconfig says how to install it."""
    value = {"command": "no-such-plugin", "apiVersion": VERSION, "installHint": "see example.com"}
    made = execplugin.Plugin.parse(value, user="u", folder=tmp_path, cluster_info={})
    with pytest.raises(errors.CredentialError, match=r"failed to start: .*; see example\.com"):
        await source(made).login()


def test_a_plugin_that_needs_a_terminal_is_refused_without_one(tmp_path: pathlib.Path) -> None:
    """A service cannot press a button."""
    with pytest.raises(errors.UsageError, match="wants a terminal"):
        plugin(tmp_path, "", interactiveMode="Always")


def test_an_unknown_mode_is_refused(tmp_path: pathlib.Path) -> None:
    """A typing error must not decide whether a plugin may ask."""
    with pytest.raises(errors.UsageError, match='interactiveMode "Newer" is none of Never, IfAv'):
        plugin(tmp_path, answer(token="t"), interactiveMode="Newer")
