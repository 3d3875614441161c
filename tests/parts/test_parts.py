"""Every part starts, does what it is for, and is gone afterwards."""

import fcntl
import json
import pathlib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.parts import (
    certificates,
    commands,
    git,
    kubectl,
    kubernetes,
    nginx,
    pod,
    ports,
    processes,
    programs,
    proxy,
    registry,
    skopeo,
)


def _open(url: str, *handlers: urllib.request.BaseHandler) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
    try:
        with opener.open(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_free_port_is_given_to_one_run_of_the_tests_alone() -> None:
    """Whoever else asks finds it locked, whether or not somebody listens on it yet."""
    first, second = ports.free(2)
    assert first != second
    assert not ports.is_listening(first)
    with (ports.LOCKS / str(first)).open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_registry_answers_and_its_requests_are_counted(
    start_registry: Callable[..., registry.Registry],
) -> None:
    """A plain registry speaks the distribution API, survives a restart and logs its requests."""
    part = start_registry()
    assert _open(f"{part.url}/v2/") == 200
    processes.poll(lambda: len(part.exchanges()) == 1, what="the access log")
    assert part.exchanges() == [registry.Exchange("GET", "/v2/", 200)]
    part.restart()
    assert _open(f"{part.url}/v2/") == 200
    part.stop()
    assert not ports.is_listening(part.port)


def test_registry_wants_the_password(start_registry: Callable[..., registry.Registry]) -> None:
    """With users, nobody else is let in."""
    part = start_registry(users={"alice": "secret", "bob": "other"})
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, part.url, "bob", "other", is_authenticated=True)
    assert _open(f"{part.url}/v2/") == 401
    assert _open(f"{part.url}/v2/", urllib.request.HTTPBasicAuthHandler(passwords)) == 200


def test_registry_wants_a_client_certificate(
    start_registry: Callable[..., registry.Registry],
    authority: certificates.Authority,
    tmp_path: pathlib.Path,
) -> None:
    """With mutual TLS, a client without a certificate is refused and one with it is served."""
    part = start_registry(tls=authority.server(), client_authority=authority)
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    with pytest.raises(OSError, match=r"(?i)certificate|reset|eof"):
        _open(f"{part.url}/v2/", urllib.request.HTTPSHandler(context=context))
    files = authority.client().write(tmp_path / "client")
    context.load_cert_chain(files.certificate, files.key)
    assert _open(f"{part.url}/v2/", urllib.request.HTTPSHandler(context=context)) == 200


def test_nginx_serves_the_text_given(start_nginx: Callable[..., nginx.Nginx]) -> None:
    """Ports and folder are filled in, and the access log is readable."""
    part = start_nginx(
        "server { listen 127.0.0.1:@PORT0@; return 503; }\n"
        "server { listen 127.0.0.1:@PORT1@; return 204; }\n",
        count=2,
    )
    assert _open(f"{part.url}/a") == 503
    assert _open(f"http://127.0.0.1:{part.ports[1]}/b") == 204
    seen = [(each.method, each.path, each.status) for each in part.exchanges(at_least=2)]
    assert seen == [("GET", "/a", 503), ("GET", "/b", 204)]


def test_proxy_forwards_for_who_knows_the_password(
    start_proxy: Callable[..., proxy.Proxy], shared_registry: registry.Registry
) -> None:
    """Requests pass the proxy with its password and are refused without."""
    part = start_proxy(user="alice", password="secret")
    address = part.url.replace("//", "//alice:secret@")
    through = urllib.request.ProxyHandler({"http": address})
    assert _open(f"{shared_registry.url}/v2/", through) == 200
    assert (
        _open(f"{shared_registry.url}/v2/", urllib.request.ProxyHandler({"http": part.url})) == 407
    )
    assert part.requests()[0] == f"GET {shared_registry.url}/v2/"


def test_git_commits_are_reproducible(
    new_git: Callable[[pathlib.Path], git.Git], tmp_path: pathlib.Path
) -> None:
    """The same tree gives the same commit in two repositories."""
    heads = []
    for name in ("one", "two"):
        tree = new_git(tmp_path / name)
        (tree.folder / "a.yaml").write_text("a: 1\n")
        tree.run("add", ".")
        tree.run("commit", "--quiet", "--message=first")
        heads.append(tree.run("rev-parse", "HEAD").stdout)
    assert heads[0] == heads[1]


def test_skopeo_reads_from_the_registry(
    skopeo_client: skopeo.Skopeo, shared_registry: registry.Registry
) -> None:
    """An image that is not there is an error of skopeo's, with the registry's word for it."""
    address = f"docker://{shared_registry.host}/none:latest"
    done = skopeo_client.run("inspect", "--tls-verify=false", address, is_checked=False)
    assert done.code != 0
    assert "manifest unknown" in done.stderr


def test_api_server_knows_admin_and_restricted_user(
    control_plane: kubernetes.ControlPlane, namespace: str
) -> None:
    """The administrator may do everything, the restricted user nothing, a stranger is unknown."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    assert control_plane.request("GET", path)[0] == 200
    assert control_plane.request("GET", path, token=kubernetes.RESTRICTED_TOKEN)[0] == 403
    assert control_plane.request("GET", path, token="stranger")[0] == 401


def test_service_account_tokens_work(
    control_plane: kubernetes.ControlPlane, namespace: str
) -> None:
    """A requested token speaks for its ServiceAccount."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}}
    assert control_plane.request("POST", path, body)[0] == 201
    token = control_plane.service_account_token(namespace, "worker")
    status, answer = control_plane.request("GET", path, token=token)
    assert status == 403
    assert f"system:serviceaccount:{namespace}:worker" in str(answer["message"])


def test_kubectl_talks_to_the_api_server(admin: kubectl.Kubectl, namespace: str) -> None:
    """Stock kubectl sees what was made."""
    found = admin.run("get", "namespace", namespace, "--output=json")
    assert json.loads(found.stdout)["metadata"]["name"] == namespace
    assert admin.run("get", "namespace", "none", is_checked=False).code == 1


def test_api_server_restarts_on_its_port(
    start_control_plane: Callable[[], kubernetes.ControlPlane],
) -> None:
    """What was written before a restart is there after it, at the same address."""
    plane = start_control_plane()
    plane.create_namespace("kept")
    plane.stop_apiserver()
    assert not ports.is_listening(plane.port)
    plane.start_apiserver()
    assert plane.request("GET", "/api/v1/namespaces/kept")[0] == 200


def test_a_part_that_ends_early_shows_its_log(tmp_path: pathlib.Path) -> None:
    """The failure says how the program ended and what it printed last."""
    with pytest.raises(processes.StartError, match=r"ended with 3; its log ends:\nno luck"):
        processes.start(
            ["sh", "-c", "echo no luck; exit 3"],
            log=tmp_path / "log.txt",
            is_ready=lambda: False,
        )


def test_a_missing_part_skips_but_fails_where_parts_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line names the package; CI takes no skip for an answer."""
    line = "no-such-program is not installed: apt-get install some-package"
    monkeypatch.delenv(programs.REQUIRE_PARTS, raising=False)
    with pytest.raises(pytest.skip.Exception, match=line):
        programs.find("no-such-program", package="some-package")
    monkeypatch.setenv(programs.REQUIRE_PARTS, "1")
    with pytest.raises(pytest.fail.Exception, match=line):
        programs.find("no-such-program", package="some-package")


def test_a_container_sees_its_account_and_can_write_its_volumes_alone(
    tmp_path: pathlib.Path,
) -> None:
    """The mounted folder follows a renewal; the root is read-only, and no capability is left."""
    pod.require()
    account = pod.Account(tmp_path / "account", b"authority", "here")
    account.write("first")
    data = tmp_path / "data"
    data.mkdir()
    script = (
        f"cat {pod.MOUNTED}/token; touch {data}/ours; touch {tmp_path}/nobodys 2>/dev/null || "
        "echo ' refused'; grep -q '^CapEff:.*[1-9a-f]' /proc/self/status || echo none"
    )
    words = pod.command(["sh", "-c", script], account=account.folder, writable=[data])
    environ = commands.clean_environ(tmp_path / "home")
    assert commands.run(words, environ=environ).stdout == "first refused\nnone\n"
    account.write("second")
    assert commands.run(words, environ=environ).stdout.startswith("second")
    assert (data / "ours").exists()
    assert not (tmp_path / "nobodys").exists()
    assert sorted(each.name for each in account.folder.glob("[a-z]*")) == [
        *("ca.crt", "namespace", "token")
    ]
