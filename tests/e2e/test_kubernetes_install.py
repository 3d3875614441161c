"""`ocisource install` on a real cluster."""

import concurrent.futures
import json
import pathlib
import sys
import uuid
from collections.abc import Callable

import yaml

from ocisource.cli.replicas import installer
from ocisource.manifests import load, render
from tests.e2e import cluster as clusters
from tests.parts import commands, kubectl, kubernetes, processes, registry

_IMAGE = "registry.example.com/ocisource:v9"


def install(plane: kubernetes.ControlPlane, home: pathlib.Path, *words: str) -> commands.Completed:
    """Run the command as the administrator."""
    environ = commands.clean_environ(home)
    return commands.run([*_command(plane), *words], environ=environ, is_checked=False)


def _command(plane: kubernetes.ControlPlane) -> list[str]:
    kubeconfig = f"--kubeconfig={plane.kubeconfig()}"
    return [sys.executable, "-m", "ocisource", "install", kubeconfig]


def install_and_come_to_life(
    plane: kubernetes.ControlPlane,
    home: pathlib.Path,
    namespace: str,
    *words: str,
    generation: int = 1,
) -> commands.Completed:
    """Run the command while the Deployment becomes available."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(install, plane, home, *words)
        plane.report_available(namespace, render.DEPLOYMENT_NAME, generation=generation)
        return running.result()


def test_an_installation_is_applied_verified_and_repeatable(
    own_plane: kubernetes.ControlPlane,
    tmp_path: pathlib.Path,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> None:
    """Progress on stderr, what became of each object on stdout; kubectl finds no drift."""
    namespace = f"install-{uuid.uuid4().hex[:8]}"
    words = (f"--namespace={namespace}", f"--image={_IMAGE}", "--timeout=60s")
    done = install_and_come_to_life(own_plane, tmp_path / "home", namespace, *words)
    assert (done.code, done.stderr.splitlines()) == (
        0,
        [
            "✚ generating manifests",
            "✔ manifests build completed",
            f"► installing components in {namespace} namespace",
            "◎ verifying installation",
            "✔ ocisource: deployment ready",
            "✔ install finished",
        ],
    )
    lines = done.stdout.splitlines()
    assert lines[0] == f"Namespace/{namespace} created"
    assert f"Deployment/{namespace}/ocisource created" in lines
    assert f"ClusterRole/ocisource-{namespace} created" in lines

    again = install(own_plane, tmp_path / "home", *words)
    assert again.code == 0, again.stderr
    assert {line.rpartition(" ")[2] for line in again.stdout.splitlines()} == {"unchanged"}
    changed = install(own_plane, tmp_path / "home", *words, "--log-level=debug", "--timeout=5s")
    assert f"Deployment/{namespace}/ocisource configured" in changed.stdout
    # Nobody observes the new generation here.
    assert changed.code == 1
    assert changed.stderr.splitlines()[-1] == "✗ timed out after 5s; --timeout allows more"

    admin = new_kubectl(own_plane.kubeconfig())
    printed = install(own_plane, tmp_path / "home", *words, "--log-level=debug", "--export")
    path = tmp_path / "install.yaml"
    path.write_text(printed.stdout)
    different = admin.run(
        *("diff", "--server-side", "--field-manager=ocisource", f"--filename={path}"),
        is_checked=False,
    )
    assert (different.code, different.stdout) == (0, "")


def test_a_run_of_the_controller_changes_nothing_that_was_installed(
    own_plane: kubernetes.ControlPlane,
    shared_registry: registry.Registry,
    tmp_path: pathlib.Path,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> None:
    """What the command installed lets the controller work, and no drift is found afterwards."""
    namespace = f"install-{uuid.uuid4().hex[:8]}"
    words = (f"--namespace={namespace}", f"--image={_IMAGE}", "--timeout=60s")
    done = install_and_come_to_life(own_plane, tmp_path / "home", namespace, *words)
    assert done.code == 0, done.stderr
    options = render.Options(namespace=namespace, image=_IMAGE)
    cluster = clusters.Cluster(own_plane, namespace, shared_registry, tmp_path, options)
    cluster.push(f"{namespace}/app", "latest", {"a.yaml": b"a: 1\n"})
    with cluster.replica("first", *clusters.LEASE) as leader:
        leader.lead()
        cluster.declare("app", repository=f"{namespace}/app")
        cluster.until(clusters.is_ready, "app", seen_by=leader)
        assert leader.process.stop() == 0
    again = install(own_plane, tmp_path / "home", *words)
    assert {line.rpartition(" ")[2] for line in again.stdout.splitlines()} == {"unchanged"}
    path = tmp_path / "install.yaml"
    path.write_text(install(own_plane, tmp_path / "home", *words, "--export").stdout)
    admin = new_kubectl(own_plane.kubeconfig())
    diff = ("diff", "--server-side", "--field-manager=ocisource", f"--filename={path}")
    different = admin.run(*diff, is_checked=False)
    assert (different.code, different.stdout) == (0, "")


def test_what_keeps_a_pod_from_running_is_told_while_it_is_waited_for(
    own_plane: kubernetes.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """An image that cannot be pulled is the usual one; it is told once, not at each look."""
    namespace = own_plane.create_namespace(f"install-{uuid.uuid4().hex[:8]}")
    labels = {"app.kubernetes.io/name": "ocisource"}
    containers = [{"name": "manager", "image": _IMAGE}]
    metadata = {"name": "ocisource-5c7-x2k", "labels": labels}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    assert own_plane.request("POST", pods, pod | {"spec": {"containers": containers}})[0] == 201
    message = f'Back-off pulling image "{_IMAGE}"'
    waiting = {"reason": "ImagePullBackOff", "message": message}
    container = {"name": "manager", "state": {"waiting": waiting}, "ready": False}
    container |= {"image": _IMAGE, "imageID": "", "restartCount": 0}
    code, answer = own_plane.request(
        "PATCH",
        f"{pods}/ocisource-5c7-x2k/status",
        {"status": {"phase": "Pending", "containerStatuses": [container]}},
        content_type="application/merge-patch+json",
    )
    assert code == 200, answer
    told = f"Pod ocisource-5c7-x2k: ImagePullBackOff: {message}\n"
    words = (f"--namespace={namespace}", f"--image={_IMAGE}", "--timeout=60s")
    log = tmp_path / "install.log"
    running = processes.start(
        [*_command(own_plane), *words],
        log=log,
        is_ready=lambda: log.exists() and told in log.read_text(),
        environ=commands.clean_environ(tmp_path / "home"),
    )
    own_plane.report_available(namespace, render.DEPLOYMENT_NAME)
    assert running.wait(seconds=60) == 0
    assert running.log_text().count(told) == 1


def test_an_installation_with_less_takes_back_what_it_no_longer_needs(
    own_plane: kubernetes.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Rights above all; what was put there by another tool stays, even under our label."""
    namespace = f"install-{uuid.uuid4().hex[:8]}"
    words = (f"--namespace={namespace}", f"--image={_IMAGE}", "--timeout=60s")
    first = install_and_come_to_life(own_plane, tmp_path / "home", namespace, *words)
    assert f"ClusterRoleBinding/ocisource-{namespace} created" in first.stdout
    labels = {"app.kubernetes.io/name": "ocisource"}
    metadata = {"name": "ocisource-dashboard", "labels": labels}
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert own_plane.request("POST", configmaps, foreign)[0] == 201
    less = (*words, "--watch-all-namespaces=false", "--network-policy=false")
    again = install_and_come_to_life(own_plane, tmp_path / "home", namespace, *less, generation=2)
    assert {line for line in again.stdout.splitlines() if line.endswith(" deleted")} == {
        f"ClusterRole/ocisource-{namespace} deleted",
        f"ClusterRoleBinding/ocisource-{namespace} deleted",
        f"NetworkPolicy/{namespace}/ocisource deleted",
    }
    assert f"RoleBinding/{namespace}/ocisource-{namespace} created" in again.stdout
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/ocisource-{namespace}"
    assert own_plane.request("GET", path)[0] == 404
    assert own_plane.request("GET", f"{configmaps}/ocisource-dashboard")[0] == 200


def test_the_folder_and_the_export_are_the_same_objects(
    own_plane: kubernetes.ControlPlane,
    tmp_path: pathlib.Path,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> None:
    """`kubectl kustomize` of the folder and `install --export`, but for the version's label."""
    program = new_kubectl(own_plane.kubeconfig())
    folder = pathlib.Path(load.__file__).parent
    built = _by_subject(program.run("kustomize", str(folder)).stdout)
    exported = _by_subject(install(own_plane, tmp_path / "home", "--export").stdout)
    assert built == exported
    watched = install(own_plane, tmp_path / "home", "--export", "--with-monitoring").stdout
    monitoring = _by_subject(program.run("kustomize", str(folder / "monitoring")).stdout)
    assert monitoring.items() == _by_subject(watched).items() - exported.items()


def _by_subject(text: str) -> dict[str, str]:
    """The objects of a YAML stream as JSON, by kind, namespace and name, without the version."""
    found = {}
    for document in yaml.safe_load_all(text):
        labels = [document["metadata"]["labels"]]
        if document["kind"] == "Deployment":
            labels.append(document["spec"]["template"]["metadata"]["labels"])
        for each in labels:
            each.pop("app.kubernetes.io/version", None)
        found[installer.subject(document)] = json.dumps(document, sort_keys=True)
    return found


def test_a_definition_of_another_tool_is_left_alone_and_flux_is_noticed(
    own_plane: kubernetes.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Whoever has Flux keeps its definition, unless --force says otherwise."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = f"{definitions}/ocirepositories.source.toolkit.fluxcd.io"
    label = {"metadata": {"labels": {"app.kubernetes.io/name": "flux"}}}
    merge = "application/merge-patch+json"
    assert own_plane.request("PATCH", path, label, content_type=merge)[0] == 200
    namespace = own_plane.create_namespace(f"install-{uuid.uuid4().hex[:8]}")
    document = json.loads(json.dumps(_deployment(namespace)))
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert own_plane.request("POST", deployments, document)[0] == 201
    words = (f"--namespace={namespace}", f"--image={_IMAGE}", "--timeout=60s")
    done = install_and_come_to_life(own_plane, tmp_path / "home", namespace, *words)
    subject = "CustomResourceDefinition/ocirepositories.source.toolkit.fluxcd.io"
    assert f"{subject} skipped" in done.stdout
    assert f"{subject} is another tool's; --force would replace it" in done.stderr
    assert f"Flux's source-controller runs in {namespace}" in done.stderr
    forced = install(own_plane, tmp_path / "home", *words, "--force")
    assert f"{subject} configured" in forced.stdout


def _deployment(namespace: str) -> dict[str, object]:
    """Flux's own controller, as far as it matters here."""
    labels = {"app": "source-controller"}
    container = {"name": "manager", "image": "ghcr.io/fluxcd/source-controller:v1.7.0"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "source-controller", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def test_what_the_page_says_removes_it_and_nothing_of_others(
    own_plane: kubernetes.ControlPlane,
    tmp_path: pathlib.Path,
    new_kubectl: Callable[[pathlib.Path], kubectl.Kubectl],
) -> None:
    """Verbatim, but that the definition, which other tests need, is only shown to be found."""
    program = new_kubectl(own_plane.kubeconfig())
    path = tmp_path / "install.yaml"
    path.write_text(install(own_plane, tmp_path / "home", "--export").stdout)
    program.run("apply", "--server-side", "--force-conflicts", f"--filename={path}")
    *removing, last = _removal()
    assert last == "delete crd -l app.kubernetes.io/name=ocisource"
    for line in removing:
        program.run(*line.split())
    crd = "customresourcedefinition.apiextensions.k8s.io/ocirepositories.source.toolkit.fluxcd.io"
    left = program.run("get", f"--filename={path}", "--output=name", "--ignore-not-found")
    assert left.stdout.split() == ["namespace/flux-system", crd]
    dry = (*last.split(), "--dry-run=server", "--output=name")
    assert program.run(*dry).stdout.split() == [crd]
    label = ("label", "--overwrite", crd)
    program.run(*label, "app.kubernetes.io/name=flux")
    found = program.run(*dry).stdout
    program.run(*label, "app.kubernetes.io/name=ocisource")
    assert crd not in found


def _removal() -> list[str]:
    """The kubectl commands under "Removing it", without the program's name."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / "install.md").read_text()
    block = text.partition("## Removing it")[2].split("```")[1]
    return [line.removeprefix("kubectl ") for line in block.strip().splitlines()]


def test_every_kind_that_is_rendered_can_be_applied() -> None:
    """The table of kinds knows all of them."""
    options = render.Options(has_monitoring=True, has_workload_identity=True)
    confined = render.Options(is_watching_all_namespaces=False)
    kinds = {each["kind"] for each in (*render.render(options), *render.render(confined))}
    assert kinds == installer.KINDS.keys()


def test_an_export_needs_no_cluster(tmp_path: pathlib.Path) -> None:
    """Nothing but the manifests, which say what the flags say."""
    words = ("install", "--export", "--namespace=sources", f"--image={_IMAGE}")
    more = ("--network-policy=false", "--toleration-keys=one,two", "--watch-all-namespaces=false")
    done = commands.run(
        [sys.executable, "-m", "ocisource", *words, *more],
        environ=commands.clean_environ(tmp_path / "home"),
    )
    documents = list(yaml.safe_load_all(done.stdout))
    options = render.Options(
        namespace="sources",
        image=_IMAGE,
        has_network_policy=False,
        toleration_keys=("one", "two"),
        is_watching_all_namespaces=False,
    )
    assert documents == list(render.render(options))
    assert done.stderr == ""
