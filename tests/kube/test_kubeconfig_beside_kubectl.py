"""Kubeconfigs as stock kubectl reads them: same cluster, same user, same plugin, same files."""

import base64
import json
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import Any

import pytest

from ocisource import errors
from ocisource.kube import client, config, resources
from tests.parts import commands, kubernetes, programs
from tests.simulators import faketime

Document = dict[str, Any]

_PLUGIN = """#!/bin/sh
printf '%s' "$KUBERNETES_EXEC_INFO" > "$INFO"
printf '{"apiVersion": "@VERSION@", "kind": "ExecCredential", "status": {"token": "@TOKEN@"}}'
"""


def kubeconfig(
    *,
    clusters: Mapping[str, Document] | None = None,
    users: Mapping[str, Document] | None = None,
    contexts: Mapping[str, Document] | None = None,
    current: str = "",
) -> Document:
    """A kubeconfig's document from its parts by name."""
    parts = (("cluster", clusters), ("user", users), ("context", contexts))
    found: Document = {"apiVersion": "v1", "kind": "Config", "current-context": current}
    for kind, named in parts:
        found[f"{kind}s"] = [{"name": name, kind: each} for name, each in (named or {}).items()]
    return found


_CONTEXT = {"cluster": "c", "user": "u", "namespace": "apps"}
_CASES: dict[str, list[Document]] = {
    "each file has a part": [
        kubeconfig(current="one"),
        kubeconfig(clusters={"c": {"server": "https://one:6443"}}),
        kubeconfig(users={"u": {"token": "t"}}, contexts={"one": _CONTEXT}),
    ],
    "the first file's entry wins as a whole": [
        kubeconfig(
            clusters={"c": {"server": "https://first", "tls-server-name": "name"}},
            users={"u": {"token": "first"}},
            contexts={"one": {"cluster": "c", "user": "u"}},
        ),
        kubeconfig(
            clusters={"c": {"server": "https://second", "proxy-url": "http://proxy"}},
            users={"u": {"username": "a", "password": "b"}},
            contexts={"one": _CONTEXT},
            current="one",
        ),
    ],
    "the first current context wins": [
        kubeconfig(clusters={"c": {"server": "https://one"}}, contexts={"one": _CONTEXT}),
        kubeconfig(users={"u": {"token": "t"}}, contexts={"two": _CONTEXT}, current="two"),
        kubeconfig(current="one"),
    ],
    "paths are relative to their own file": [
        kubeconfig(
            clusters={"c": {"server": "https://one", "certificate-authority": "mine"}},
            contexts={"one": _CONTEXT},
            current="one",
        ),
        kubeconfig(users={"u": {"client-certificate": "mine", "client-key": "../1/mine"}}),
    ],
    "data is base64, and an address keeps its path": [
        kubeconfig(
            clusters={
                "c": {
                    "server": "https://one/prefix/",
                    "certificate-authority-data": base64.b64encode(b"data").decode(),
                }
            },
            users={"u": {"token": "t"}},
            contexts={"one": _CONTEXT},
            current="one",
        ),
    ],
    "nothing is verified": [
        kubeconfig(
            clusters={"c": {"server": "https://one", "insecure-skip-tls-verify": True}},
            users={"u": {"username": "a", "password": "b"}},
            contexts={"one": {"cluster": "c", "user": "u"}},
            current="one",
        ),
    ],
}


def written(folder: pathlib.Path, documents: list[Document]) -> str:
    """The files, each in a folder of its own that holds a file ``mine``; as KUBECONFIG."""
    paths = []
    for number, document in enumerate(documents):
        at = folder / str(number)
        at.mkdir()
        (at / "mine").write_text(f"content of {number}")
        (at / "kept").write_text(json.dumps(document))
        (at / "config").symlink_to("kept")
        paths += [at / "config", at / "missing"]
    return os.pathsep.join(map(str, paths))


def as_kubectl_sees_it(listed: str, home: pathlib.Path) -> Document:
    """Cluster, user and context of the current context, with the files' contents as data."""
    program = programs.find("kubectl", package="kubernetes-client")
    words = ("config", "view", "--minify", "--flatten", "--raw", "--output=json")
    environ = commands.clean_environ(home, KUBECONFIG=listed)
    done = json.loads(commands.run([program, *words], environ=environ).stdout)
    return {kind: done[f"{kind}s"][0][kind] for kind in ("cluster", "user", "context")}


async def as_we_see_it(listed: str) -> Document:
    """The same of ours, in a kubeconfig's words."""
    loaded = config.load(environ={"KUBECONFIG": listed})
    login = await loaded.login_source.login()
    cluster = {
        "server": loaded.server,
        "certificate-authority-data": _data(loaded.certificate_authority.read()),
        "tls-server-name": loaded.tls_server_name,
        "insecure-skip-tls-verify": loaded.is_insecure,
        "proxy-url": loaded.proxy_url,
    }
    user = {
        "token": login.token,
        "username": login.username,
        "password": login.password,
        "client-certificate-data": _data(login.certificate_pem),
        "client-key-data": _data(login.key_pem),
    }
    return {"cluster": cluster, "user": user, "context": {"namespace": loaded.namespace}}


def _data(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("documents", _CASES.values(), ids=_CASES.keys())
async def test_several_files_are_merged_alike(
    tmp_path: pathlib.Path, documents: list[Document]
) -> None:
    """What `kubectl config view` shows of the current context is what we connect with."""
    listed = written(tmp_path, documents)
    theirs = as_kubectl_sees_it(listed, tmp_path / "home")
    theirs["cluster"]["server"] = theirs["cluster"]["server"].rstrip("/")
    ours = await as_we_see_it(listed)
    for kind, values in ours.items():
        for key, value in values.items():
            assert value == theirs[kind].get(key, type(value)()), (kind, key)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_plugin_is_told_the_same_and_logs_in(
    source_api: kubernetes.ControlPlane, tmp_path: pathlib.Path, version: str
) -> None:
    """KUBERNETES_EXEC_INFO is what kubectl hands to the plugin, whose token a real server takes."""
    api_version = f"client.authentication.k8s.io/{version}"
    plugin = tmp_path / "plugin"
    text = _PLUGIN.replace("@VERSION@", api_version).replace("@TOKEN@", kubernetes.ADMIN_TOKEN)
    plugin.write_text(text)
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    command = {
        "apiVersion": api_version,
        "command": "./plugin",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
        "env": [{"name": "INFO", "value": str(tmp_path / "info")}],
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    cluster = {
        "server": source_api.url,
        "certificate-authority": str(source_api.ca_file),
        "extensions": [extension],
    }
    path = tmp_path / "config"
    document = kubeconfig(
        clusters={"c": cluster},
        users={"u": {"exec": command}},
        contexts={"one": _CONTEXT},
        current="one",
    )
    path.write_text(json.dumps(document))
    environ = commands.clean_environ(tmp_path / "home", KUBECONFIG=str(path))
    async with client.Client(config.load(environ=environ)) as api:
        await api.list(resources.SECRETS)
    ours = json.loads((tmp_path / "info").read_text())

    program = programs.find("kubectl", package="kubernetes-client")
    done = commands.run([program, "get", "secrets"], environ=environ, is_checked=False)
    if "no kind" in done.stderr or "invalid apiVersion" in done.stderr:
        pytest.skip(f"this kubectl has no {api_version} yet")
    assert done.code == 0, done.stderr
    theirs = json.loads((tmp_path / "info").read_text())
    if "interactive" not in theirs["spec"]:  # before 1.22
        del ours["spec"]["interactive"]
    assert ours == theirs


async def test_a_client_certificate_logs_in_to_a_real_server(
    source_api: kubernetes.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """The server knows the user by the certificate's name, and by the next one after a renewal."""
    source_api.client_authority.client("jane").write(tmp_path)
    user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    cluster = {"server": source_api.url, "certificate-authority": str(source_api.ca_file)}
    document = kubeconfig(
        clusters={"c": cluster}, users={"u": user}, contexts={"one": _CONTEXT}, current="one"
    )
    path = tmp_path / "config"
    path.write_text(json.dumps(document))
    time = faketime.FakeTime()
    loaded = config.load(path, environ={}, clock=time.clock)
    async with client.Client(loaded, environ={}) as api:
        with pytest.raises(errors.APIStatusError, match='User "jane" cannot list'):
            await api.list(resources.SECRETS)
        source_api.client_authority.client("john").write(tmp_path)
        time.now += 60
        with pytest.raises(errors.APIStatusError, match='User "john" cannot list'):
            await api.list(resources.SECRETS)
