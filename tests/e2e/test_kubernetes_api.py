"""A cluster in trouble: the API server restarts, tokens expire, the definition is missing."""

import asyncio
import pathlib
import sys
from collections.abc import Callable

from ocisource.apiserver import server
from ocisource.manifests import load
from tests.e2e import cluster as clusters
from tests.parts import commands, processes


def with_token_file(cluster: clusters.Cluster, token: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A kubeconfig whose token lies in a file, as a kubelet's does; both paths."""
    path = cluster.folder / "token"
    path.write_text(token)
    text = cluster.kubeconfig(token).read_text()
    kubeconfig = cluster.folder / "kubeconfig"
    kubeconfig.write_text(text.replace(f'"token": "{token}"', f'"tokenFile": "{path}"'))
    return kubeconfig, path


def test_a_restarted_api_server_and_an_expired_token_are_survived(
    new_cluster: Callable[..., clusters.Cluster],
) -> None:
    """The same process goes on by itself, with rights in its own namespace alone."""
    cluster = new_cluster(is_confined=True)
    repository = f"{cluster.namespace}/app"
    cluster.push(repository, "latest", {"a.yaml": b"a: 1\n"})
    token, revoke = cluster.bound_token("Secret", "bound")
    kubeconfig, file = with_token_file(cluster, token)
    with cluster.replica("first", "--enable-leader-election", kubeconfig=kubeconfig) as leader:
        leader.lead()
        cluster.declare("app", repository=repository)
        before = cluster.until(clusters.is_ready, "app", seen_by=leader)
        revoke()
        cluster.plane.stop_apiserver()
        assert leader.artifact(before["status"]["artifact"]["path"])[0] == 200
        cluster.plane.start_apiserver()
        second = cluster.push(repository, "latest", {"a.yaml": b"a: 2\n"})
        processes.poll(lambda: "Unauthorized" in leader.log(), what="a token refused")
        assert leader.process.is_running
        file.write_text(cluster.token())
        cluster.request("app", "after")
        after = cluster.until(
            lambda obj: (
                obj["status"].get("lastHandledReconcileAt") == "after" and clusters.is_ready(obj)
            ),
            "app",
            seen_by=leader,
        )
        assert after["status"]["artifact"]["revision"] == second.hex
        assert clusters.is_served(leader, after)
        assert token not in leader.log()


async def test_a_cluster_without_the_definition_is_told_at_once(tmp_path: pathlib.Path) -> None:
    """One line that says what to do, exit code 2."""
    running = await server.serve(tmp_path / "api", host="127.0.0.1", port=0, manifests=[])
    try:
        done = await _run(
            tmp_path,
            "controller",
            f"--kubeconfig={running.kubeconfig_path}",
            "--storage-addr=127.0.0.1:0",
            "--metrics-addr=127.0.0.1:0",
            "--health-addr=127.0.0.1:0",
            f"--storage-path={tmp_path}",
        )
    finally:
        await running.stop()
    assert done.code == 2
    assert (
        "✗ the cluster serves no ocirepositories.source.toolkit.fluxcd.io in v1 or v1beta2: "
        f"install the CustomResourceDefinition first (kubectl apply -f {load.crd_path()})\n"
    ) in done.stderr
    assert "Traceback" not in done.stderr


async def _run(folder: pathlib.Path, *words: str) -> commands.Completed:
    return await asyncio.to_thread(
        commands.run,
        [sys.executable, "-m", "ocisource", *words],
        environ=commands.clean_environ(folder / "home"),
        is_checked=False,
    )
