"""`create secret oci|tls|proxy`."""

import base64
import json
import pathlib
import typing

import pytest
import yaml

from ocisource.kube import client, resources
from tests.cli import terminal
from tests.parts import certificates


def held(shell: terminal.Shell, name: str) -> dict[str, typing.Any]:
    """A Secret as it now is."""

    async def work(api: client.Client) -> dict[str, typing.Any]:
        secrets = resources.SECRETS.read_as(dict)
        return await api.get(secrets, name, namespace=shell.namespace)

    return typing.cast("dict[str, typing.Any]", shell.api(work))


def test_a_registry_login(shell: terminal.Shell) -> None:
    """The exported Secret holds a Docker config with the address as it was given."""
    result = shell(
        *("create", "secret", "oci", "ghcr", "--url", "ghcr.io/org/app", "-u", "me"),
        *("-p", "word", "-n", "apps", "--label", "a=b", "--export"),
    )
    assert result.out.endswith("\n\n")
    secret = yaml.safe_load(result.out)
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert secret["metadata"] == {"name": "ghcr", "namespace": "apps", "labels": {"a": "b"}}
    content = secret["stringData"][".dockerconfigjson"]
    entry = {
        "username": "me",
        "password": "word",
        "auth": base64.b64encode(b"me:word").decode(),
    }
    assert json.loads(content) == {"auths": {"ghcr.io/org/app": entry}}
    assert content == json.dumps(json.loads(content), indent=2)


def test_an_update_writes_keys_and_merges_labels(cluster: terminal.Shell) -> None:
    """The type stays, other keys stay."""
    ns = cluster.namespace
    words = ("create", "secret", "proxy", "office", "--address", "http://proxy:3128")
    created = cluster.here(*words, "-u", "me", "-p", "word", "--label", "a=1")
    assert created.err == f"✔ proxy secret 'office' created in '{ns}' namespace\n"
    words = ("create", "secret", "proxy", "office", "--address", "http://other:3128")
    assert cluster.here(*words, "--label", "b=2").code == 0
    secret = held(cluster, "office")
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert data == {"address": b"http://other:3128", "username": b"me", "password": b"word"}
    assert secret["metadata"]["labels"] == {"a": "1", "b": "2"}


def test_certificates(
    shell: terminal.Shell, authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """A pair makes a TLS Secret, a CA alone an opaque one."""
    pair = authority.client().write(tmp_path)
    ca = authority.write(tmp_path)
    words = ("create", "secret", "tls", "certs", "--export")
    both = yaml.safe_load(
        shell(
            *(*words, "--tls-crt-file", str(pair.certificate), "--tls-key-file", str(pair.key)),
            *("--ca-crt-file", str(ca)),
        ).out
    )
    assert both["type"] == "kubernetes.io/tls"
    assert set(both["stringData"]) == {"tls.crt", "tls.key", "ca.crt"}
    assert both["stringData"]["tls.key"] == pair.key.read_text()
    alone = yaml.safe_load(shell(*words, "--ca-crt-file", str(ca)).out)
    assert alone["type"] == "Opaque"
    other = authority.client().write(tmp_path / "other")
    wrong = shell(
        *(*words, "--tls-crt-file", str(pair.certificate), "--tls-key-file", str(other.key))
    )
    assert wrong.code == 2
    assert wrong.err.startswith("✗ invalid TLS certificate and key pair: ")
    half = shell(*words, "--tls-crt-file", str(pair.certificate))
    assert half.err == "✗ found certificate but missing private key\n"
    half = shell(*words, "--tls-key-file", str(pair.key))
    assert half.err == "✗ found private key but missing certificate\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["oci", "a"], "--url is required"),
        (["oci", "a", "--url", "ghcr.io"], "--username is required"),
        (["oci", "a", "--url", "ghcr.io", "-u", "x"], "--password is required"),
        (["oci", "a", "--url", "ghcr.io/A", "-u", "x", "-p", "y"], "error parsing url: '"),
        (["tls", "a"], "no CA certificate or client certificate pair found"),
        (["tls", "a", "--ca-crt-file", "nix"], "unable to read TLS CA file: nix: No such file"),
        (["tls", "a", "--tls-crt-file", "nix"], "failed to read cert file: nix: No such file"),
        (["tls", "a", "--tls-key-file", "nix"], "failed to read key file: nix: No such file"),
        (["proxy", "a"], "address is required"),
        (["proxy", "a", "--address", "ftp://u:secret@x"], "proxy URL must use one of the"),
    ],
)
def test_what_is_refused(shell: terminal.Shell, words: list[str], text: str) -> None:
    """One line, exit code 2, no credential."""
    result = shell("create", "secret", *words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"✗ {text}")
    assert "secret@" not in result.err
