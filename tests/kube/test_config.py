"""Kubeconfig files and the Pod: which cluster, who we are, what must be refused."""

import asyncio
import base64
import errno
import json
import os
import pathlib
from typing import Any, NoReturn

import pytest

from ocisource import errors
from ocisource.kube import config, execplugin, kubeconfig, logins
from tests.simulators import faketime


def b64(text: str) -> str:
    """Base64 as kubeconfig has it."""
    return base64.b64encode(text.encode()).decode()


def document(**changes: Any) -> dict[str, Any]:
    """A kubeconfig with two contexts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [
            {"name": "c1", "cluster": {"server": "https://one:6443/"}},
            {"name": "c2", "cluster": {"server": "https://two"}},
        ],
        "users": [
            {"name": "u1", "user": {"token": "t1"}},
            {"name": "u2", "user": {"username": "name", "password": "word"}},
        ],
        "contexts": [
            {"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "apps"}},
            {"name": "two", "context": {"cluster": "c2", "user": "u2"}},
        ],
    } | changes


def write(path: pathlib.Path, content: dict[str, Any]) -> pathlib.Path:
    """Write a kubeconfig (JSON is YAML)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


async def test_the_current_context_is_taken(tmp_path: pathlib.Path) -> None:
    """Server without its last slash, the user's token, the context's namespace."""
    loaded = config.load(write(tmp_path / "config", document()), environ={})
    assert loaded.server == "https://one:6443"
    assert loaded.namespace == "apps"
    assert (await loaded.login_source.login()).authorization == "Bearer t1"


async def test_another_context_can_be_named(tmp_path: pathlib.Path) -> None:
    """--context wins over current-context; a password makes Basic authorization."""
    loaded = config.load(write(tmp_path / "config", document()), "two", environ={})
    assert loaded.server == "https://two"
    assert loaded.namespace == ""
    assert (await loaded.login_source.login()).authorization == f"Basic {b64('name:word')}"


@pytest.mark.parametrize(
    ("changes", "context", "text"),
    [
        ({}, "three", 'context "three" does not exist in the kubeconfig'),
        ({"clusters": []}, None, 'cluster "c1" does not exist in the kubeconfig'),
        ({"users": []}, None, 'user "u1" does not exist in the kubeconfig'),
        ({"current-context": ""}, None, "no current context: choose one with --context"),
        ({"clusters": [{"name": "c1"}]}, None, 'no server for context "one"'),
        ({"clusters": {"c1": {}}}, None, "clusters is not a list"),
        ({"users": ["u1"]}, None, "an entry of users is no mapping"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: pathlib.Path, changes: dict[str, Any], context: str | None, text: str
) -> None:
    """Each contradiction is named in one line."""
    path = write(tmp_path / "config", document(**changes))
    with pytest.raises(errors.UsageError, match=text):
        config.load(path, context, environ={})


def cluster(**fields: Any) -> dict[str, Any]:
    """A kubeconfig whose cluster has these fields."""
    return document(clusters=[{"name": "c1", "cluster": {"server": "https://one"} | fields}])


def user(**fields: Any) -> dict[str, Any]:
    """A kubeconfig whose user has these fields."""
    return document(users=[{"name": "u1", "user": fields}])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (cluster(server="ftp://one"), "is not the address of an API server"),
        (cluster(server="https://u:p@one"), "must not hold a password"),
        (cluster(**{"certificate-authority-data": "%%%"}), "certificate-authority-data is not bas"),
        (
            cluster(**{"certificate-authority-data": b64("x"), "insecure-skip-tls-verify": True}),
            "exclude each other",
        ),
        (user(**{"auth-provider": {"name": "gcp"}}), "use an exec plugin instead"),
        (user(**{"client-certificate-data": b64("c")}), "belong together"),
        (user(exec={"command": "x", "apiVersion": "v9"}), 'exec apiVersion "v9" is none of'),
        (user(exec={"apiVersion": execplugin.VERSIONS[0]}), "exec names no command"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: pathlib.Path, content: dict[str, Any], text: str
) -> None:
    """Before the first request, in one line."""
    with pytest.raises(errors.UsageError, match=text):
        config.load(write(tmp_path / "config", content), environ={})


def test_no_error_quotes_the_file(tmp_path: pathlib.Path) -> None:
    """A kubeconfig that is no YAML may hold a token in the very line that is wrong."""
    path = tmp_path / "config"
    path.write_text('users:\n- user: {token: "s3cret\n')
    with pytest.raises(errors.UsageError, match="is not YAML in line") as caught:
        config.load(path, environ={})
    assert "s3cret" not in str(caught.value)


def test_a_tab_in_a_kubeconfig_is_told(tmp_path: pathlib.Path) -> None:
    """The usual reason why a file that looks right is none."""
    path = tmp_path / "config"
    path.write_text("users:\n\t- user: {token: s3cret}\n")
    with pytest.raises(errors.UsageError, match="in line 2: a tab in the indentation") as caught:
        config.load(path, environ={})
    assert "s3cret" not in str(caught.value)


def test_a_kubeconfig_that_nobody_lets_us_look_for_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is named; a home that is somebody else's has none for us."""

    def closed(self: pathlib.Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "stat", closed)
    monkeypatch.setattr(pathlib.Path, "open", closed)
    path = tmp_path / "config"
    for named, environ in ((path, {}), (None, {"KUBECONFIG": str(path)})):
        with pytest.raises(errors.UsageError) as caught:
            config.load(named, environ=environ)
        assert str(caught.value) == f'kubeconfig "{path}": Permission denied'
    with pytest.raises(errors.UsageError, match="no Kubernetes configuration found"):
        config.load(environ={"HOME": str(tmp_path)})


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    """An explicit file, and a KUBECONFIG of which nothing exists."""
    with pytest.raises(errors.UsageError, match="no such file"):
        config.load(tmp_path / "none", environ={})
    with pytest.raises(errors.UsageError, match="KUBECONFIG names no file that exists"):
        config.load(environ={"KUBECONFIG": str(tmp_path / "none")})
    with pytest.raises(errors.UsageError, match="no Kubernetes configuration found"):
        config.load(environ={"HOME": str(tmp_path)})


async def test_of_a_list_the_first_file_that_says_it_wins(tmp_path: pathlib.Path) -> None:
    """KUBECONFIG merges: entries and the current context of the earlier file win."""
    first = write(
        tmp_path / "a" / "config",
        {"users": [{"name": "u1", "user": {"tokenFile": "token"}}]},
    )
    (tmp_path / "a" / "token").write_text("from a file beside it\n")
    second = write(tmp_path / "b" / "config", document())
    missing = tmp_path / "missing"
    loaded = config.load(environ={"KUBECONFIG": f"{missing}:{first}:{second}"})
    assert loaded.server == "https://one:6443"
    login = await loaded.login_source.login()
    assert login.authorization == "Bearer from a file beside it"
    assert config.contexts(environ={"KUBECONFIG": f"{first}:{second}"}) == ("one", "two")


def test_the_home_folder_is_the_usual_place(tmp_path: pathlib.Path) -> None:
    """``~/.kube/config``, and it wins over being in a Pod."""
    write(tmp_path / ".kube" / "config", document())
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert config.load(environ=environ).server == "https://one:6443"


async def test_certificates_come_as_data_or_as_files_beside_the_kubeconfig(
    tmp_path: pathlib.Path,
) -> None:
    """Data wins over a file; paths are relative to the file that names them."""
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(f"{name} from file")
    content = cluster(**{"certificate-authority": "ca", "tls-server-name": "kubernetes"})
    content["users"] = [
        {
            "name": "u1",
            "user": {
                "client-certificate": "cert",
                "client-certificate-data": b64("cert from data"),
                "client-key": "key",
            },
        }
    ]
    loaded = config.load(write(tmp_path / "config", content), environ={})
    assert loaded.certificate_authority.read() == b"ca from file"
    assert loaded.tls_server_name == "kubernetes"
    login = await loaded.login_source.login()
    assert (login.certificate_pem, login.key_pem) == (b"cert from data", b"key from file")


def test_a_named_file_that_cannot_be_read_is_told_at_once(tmp_path: pathlib.Path) -> None:
    """Not at the first request."""
    path = write(tmp_path / "config", cluster(**{"certificate-authority": "none.crt"}))
    with pytest.raises(errors.CredentialError, match=r"unable to read .*none.crt: No such file"):
        config.load(path, environ={})


async def test_flags_win_over_the_file(tmp_path: pathlib.Path) -> None:
    """Server, token, namespace, insecure; the file's CA does not stand in the way."""
    content = cluster(**{"certificate-authority-data": b64("ca")})
    overrides = config.Overrides(
        server="https://other:1",
        token="flag",
        namespace="n",
        is_insecure=True,
        impersonation=config.Impersonation(user="jane", groups=("dev",)),
    )
    loaded = config.load(write(tmp_path / "config", content), environ={}, overrides=overrides)
    assert (loaded.server, loaded.namespace) == ("https://other:1", "n")
    assert loaded.is_insecure
    assert not loaded.certificate_authority
    assert loaded.impersonation.user == "jane"
    assert (await loaded.login_source.login()).token == "flag"


async def test_certificate_flags_win_over_the_files_login(tmp_path: pathlib.Path) -> None:
    """``--client-certificate``, ``--client-key`` and ``--certificate-authority``."""
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name)
    overrides = config.Overrides(
        certificate_authority=str(tmp_path / "ca"),
        client_certificate=str(tmp_path / "cert"),
        client_key=str(tmp_path / "key"),
    )
    content = user(exec={"command": "never-run", "apiVersion": execplugin.VERSIONS[0]})
    loaded = config.load(write(tmp_path / "config", content), environ={}, overrides=overrides)
    assert loaded.certificate_authority.read() == b"ca"
    login = await loaded.login_source.login()
    assert (login.certificate_pem, login.key_pem) == (b"cert", b"key")


async def test_a_plugin_is_told_of_the_cluster(tmp_path: pathlib.Path) -> None:
    """Server, CA, TLS name, proxy, and the extension that is meant for it."""
    content = cluster(
        **{
            "certificate-authority-data": b64("ca"),
            "tls-server-name": "kubernetes",
            "extensions": [
                {"name": "client.authentication.k8s.io/exec", "extension": {"region": "x"}}
            ],
        }
    )
    script = tmp_path / "plugin"
    credential = {
        "apiVersion": execplugin.VERSIONS[0],
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
    script.write_text(
        f'#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f"echo '{json.dumps(credential)}'\n"
    )
    script.chmod(0o700)
    content["users"] = [
        {
            "name": "u1",
            "user": {
                "exec": {
                    "command": "./plugin",
                    "apiVersion": execplugin.VERSIONS[0],
                    "provideClusterInfo": True,
                    "interactiveMode": "Never",
                }
            },
        }
    ]
    loaded = config.load(write(tmp_path / "config", content), environ={"PATH": "/usr/bin:/bin"})
    assert (await loaded.login_source.login()).token == "t"
    assert json.loads((tmp_path / "info").read_text())["spec"]["cluster"] == {
        "server": "https://one",
        "certificate-authority-data": b64("ca"),
        "tls-server-name": "kubernetes",
        "config": {"region": "x"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [("- a list", "is not a mapping"), ("", "has no current context"), ("a: [", "is not YAML")],
)
def test_a_file_of_another_kind_is_refused(tmp_path: pathlib.Path, text: str, problem: str) -> None:
    """Whatever somebody names as a kubeconfig."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(errors.UsageError, match=problem):
        config.load(path, environ={})


def test_a_kubeconfig_is_read_with_a_bound(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that leads to something huge is refused."""
    monkeypatch.setattr(kubeconfig, "MAX_FILE_BYTES", 10)
    with pytest.raises(errors.UsageError, match="is larger than 10 bytes"):
        config.load(write(tmp_path / "config", document()), environ={})


def test_a_server_flag_needs_no_file_at_all(tmp_path: pathlib.Path) -> None:
    """``--server`` alone is a configuration."""
    overrides = config.Overrides(server="http://127.0.0.1:8080")
    loaded = config.load(environ={"HOME": str(tmp_path)}, overrides=overrides)
    assert loaded.server == "http://127.0.0.1:8080"


def test_impersonation_and_proxy_come_from_the_file(tmp_path: pathlib.Path) -> None:
    """``as``, ``as-groups``, ``as-uid`` and ``proxy-url``."""
    content = cluster(**{"proxy-url": "http://proxy:3128"})
    content["users"] = [
        {"name": "u1", "user": {"as": "bot", "as-groups": ["a", "b"], "as-uid": "7"}}
    ]
    loaded = config.load(write(tmp_path / "config", content), environ={})
    assert loaded.impersonation == config.Impersonation(user="bot", uid="7", groups=("a", "b"))
    assert loaded.proxy_url == "http://proxy:3128"
    assert "proxy:3128" not in repr(loaded)


def test_what_else_is_known_of_whom_to_act_as_comes_from_the_file(tmp_path: pathlib.Path) -> None:
    """``as-user-extra``: any number of values for any number of keys."""
    extra = {"example.com/scopes": ["view", "edit"], "reason": ["audit"]}
    content = user(**{"as": "bot", "as-user-extra": extra})
    loaded = config.load(write(tmp_path / "config", content), environ={})
    assert loaded.impersonation.extra == (
        ("example.com/scopes", ("view", "edit")),
        ("reason", ("audit",)),
    )


@pytest.mark.parametrize("key", ["as-uid", "as-groups", "as-user-extra"])
def test_acting_as_a_group_without_a_user_is_refused(tmp_path: pathlib.Path, key: str) -> None:
    """Passed over in silence, it would leave us with all our own rights."""
    value = {"as-uid": "7", "as-groups": ["a"], "as-user-extra": {"a": ["b"]}}[key]
    path = write(tmp_path / "config", user(**{"token": "t", key: value}))
    with pytest.raises(errors.UsageError, match="need a user to act as"):
        config.load(path, environ={})
    path = write(tmp_path / "config", document())
    for given in (
        config.Impersonation(uid="7"),
        config.Impersonation(groups=("a",)),
        config.Impersonation(extra=(("a", ("b",)),)),
    ):
        overrides = config.Overrides(impersonation=given)
        with pytest.raises(errors.UsageError, match="add --as"):
            config.load(path, environ={}, overrides=overrides)


async def test_a_token_wins_over_a_plugin(tmp_path: pathlib.Path) -> None:
    """As for kubectl, which then does not run the plugin at all."""
    plugin = {"command": "./none", "apiVersion": "client.authentication.k8s.io/v1"}
    (tmp_path / "token").write_text("from-file")
    for values, expected in (
        ({"token": "t"}, "Bearer t"),
        ({"tokenFile": "token"}, "Bearer from-file"),
        ({"username": "a", "password": "b"}, "Basic YTpi"),
    ):
        path = write(tmp_path / "config", user(exec=plugin, **values))
        loaded = config.load(path, environ={})
        assert (await loaded.login_source.login()).authorization == expected


async def test_paths_are_relative_to_the_link_that_leads_to_the_file(
    tmp_path: pathlib.Path,
) -> None:
    """A kubeconfig kept elsewhere and linked to finds its files beside the link, as for kubectl."""
    write(tmp_path / "kept" / "config", user(tokenFile="token"))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "token").write_text("beside the link")
    (tmp_path / "used" / "config").symlink_to(tmp_path / "kept" / "config")
    loaded = config.load(tmp_path / "used" / "config", environ={})
    assert (await loaded.login_source.login()).token == "beside the link"


async def test_a_kubeconfig_may_be_a_pipe(tmp_path: pathlib.Path) -> None:
    """`--kubeconfig <(command)` and `KUBECONFIG=/dev/null:FILE` are ordinary in a shell."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = asyncio.create_task(asyncio.to_thread(pipe.write_text, json.dumps(document())))
    loaded = await asyncio.to_thread(config.load, pipe, environ={})
    await writing
    assert loaded.server == "https://one:6443"
    path = write(tmp_path / "config", document())
    listed = {"KUBECONFIG": f"/dev/null{os.pathsep}{path}"}
    assert config.load(environ=listed).server == "https://one:6443"
    with pytest.raises(errors.UsageError, match="Is a directory"):
        config.load(tmp_path, environ={})


# In a Pod.


@pytest.fixture
def account(tmp_path: pathlib.Path) -> pathlib.Path:
    """A mounted service account."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("ca")
    (tmp_path / "namespace").write_text("flux-system")
    return tmp_path


POD = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}


async def test_in_a_pod_the_token_is_read_again_as_it_is_renewed(account: pathlib.Path) -> None:
    """Once a minute, and at once after a 401."""
    time = faketime.FakeTime()
    loaded = config.in_cluster(POD, folder=account, clock=time.clock)
    assert loaded.server == "https://[fd00::1]:443"
    assert loaded.namespace == "flux-system"
    source = loaded.login_source
    assert (await source.login()).token == "first"
    (account / "token").write_text("second")
    time.now += 59
    assert (await source.login()).token == "first"
    time.now += 1
    assert (await source.login()).token == "second"
    (account / "token").write_text("third")
    assert source.reject(await source.login())
    assert (await source.login()).token == "third"


async def test_a_token_file_in_the_middle_of_its_replacement_ends_nothing(
    account: pathlib.Path,
) -> None:
    """The last content is used until the file is back."""
    time = faketime.FakeTime()
    source = config.in_cluster(POD, folder=account, clock=time.clock).login_source
    (account / "token").unlink()
    time.now += 100
    assert (await source.login()).token == "first"


async def test_an_empty_token_file_does_not_make_us_anonymous(account: pathlib.Path) -> None:
    """Told at the start; later the last token is used until there is another."""
    time = faketime.FakeTime()
    source = config.in_cluster(POD, folder=account, clock=time.clock).login_source
    (account / "token").write_text("\n")
    time.now += 100
    assert (await source.login()).token == "first"
    (account / "token").write_text("second")
    assert source.reject(await source.login())
    assert (await source.login()).token == "second"
    (account / "token").write_text("")
    with pytest.raises(errors.CredentialError, match="token is empty"):
        config.in_cluster(POD, folder=account)


def test_outside_of_a_pod_and_without_a_token_it_is_told(tmp_path: pathlib.Path) -> None:
    """Which variables or which file are missing."""
    with pytest.raises(errors.UsageError, match="not running in a Pod"):
        config.in_cluster({}, folder=tmp_path)
    with pytest.raises(errors.CredentialError, match=r"unable to read .*token"):
        config.in_cluster(POD, folder=tmp_path)


def test_a_credential_file_is_read_with_a_bound(tmp_path: pathlib.Path) -> None:
    """A path that leads to something huge is refused."""
    path = tmp_path / "token"
    path.write_bytes(b"x" * (logins.MAX_FILE_BYTES + 1))
    with pytest.raises(errors.CredentialError, match="holds more than"):
        logins.Material(path=path).read()


def test_a_login_shows_no_credential() -> None:
    """Neither in repr nor in str."""
    login = logins.Login(token="s3cret", password="s3cret", key_pem=b"s3cret")
    assert "s3cret" not in repr(login) + str(login)
    assert repr(logins.Login()) == "Login(anonymous)"
