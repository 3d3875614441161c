"""events, stats, check, trace, logs."""

import asyncio
import json
import pathlib
import typing

from aiohttp import web

from ocisource import errors
from ocisource import logs as product_logs
from ocisource.cli import check
from ocisource.cli.reports import logfiles, loglines, report, stats
from ocisource.kube import client, patch, resources
from ocisource.manifests import load, render
from tests.cli import session as sessions
from tests.cli import terminal
from tests.parts import kubernetes, ports, processes

Document = dict[str, typing.Any]
DOCUMENT: resources.Resource[Document] = resources.EVENTS.read_as(dict)


def event(shell: terminal.Shell, name: str, **more: typing.Any) -> None:
    """Write an event about an object of that name."""
    document = {
        "metadata": {"name": name, "namespace": shell.namespace},
        "involvedObject": {
            "kind": more.pop("kind", "OCIRepository"),
            "namespace": shell.namespace,
            "name": more.pop("about", name),
        },
        "type": "Normal",
        "reason": "NewArtifact",
        "message": "stored",
        "firstTimestamp": "2022-06-14T11:00:00Z",
        "lastTimestamp": "2022-06-14T11:00:00Z",
        **more,
    }

    async def work(api: client.Client) -> None:
        await api.create(DOCUMENT, document, namespace=shell.namespace)

    shell.api(work)


def test_events(cluster: terminal.Shell) -> None:
    """Oldest first, only kinds of ours; types and subjects are filters."""
    event(cluster, "new", lastTimestamp="2022-06-14T12:00:00Z", count=3)
    event(cluster, "old", type="Warning", reason="Failed", message="line")
    event(cluster, "pod", kind="Pod")
    result = cluster.here("events")
    rows = [[cell.strip() for cell in line.split("\t")] for line in result.out.splitlines()]
    assert rows[0] == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert [row[1:5] for row in rows[1:]] == [
        ["Warning", "Failed", "OCIRepository/old", "line"],
        ["Normal", "NewArtifact", "OCIRepository/new", "stored"],
    ]
    assert "(x3 over " in rows[2][0]
    warnings = json.loads(cluster.here("events", "--types", "warning", "-o", "json").out)
    assert [each["name"] for each in warnings] == ["old"]
    assert warnings[0]["count"] == 1
    about = cluster.here("events", "--for", "ocirepository/new", "-A")
    assert about.out.splitlines()[1].startswith(cluster.namespace)
    assert len(about.out.splitlines()) == 2
    watched = cluster.here("events", "--watch", lines=3)
    assert (watched.code, len(watched.out.splitlines())) == (130, 3)


def test_no_events(cluster: terminal.Shell) -> None:
    """Said on standard error; that is no failure. Wrong filters are usage errors."""
    result = cluster.here("events")
    text = f"✗ No events found in {cluster.namespace} namespace.\n"
    assert (result.code, result.out, result.err) == (0, "", text)
    kinds = cluster.here("events", "--for", "pod/x")
    assert (kinds.code, kinds.err) == (2, "✗ 'pod' is not a recognized Flux kind\n")
    types = cluster.here("events", "--types", "Odd")
    assert types.err == "✗ type 'Odd' not supported. Supported types are Normal, Warning\n"


def test_stats(cluster: terminal.Shell) -> None:
    """Running, failing and suspended ones, and the bytes of their artifacts."""
    cluster.put("a", status=terminal.ready())
    cluster.put("b", spec={"suspend": True})
    cluster.put("c", status=terminal.conditions(("Ready", "False", "Failed", "x")))
    result = cluster.here("stats")
    rows = [[cell.strip() for cell in line.split("\t")] for line in result.out.splitlines()]
    assert rows[0] == ["RECONCILERS", "RUNNING", "FAILING", "SUSPENDED", "STORAGE"]
    assert rows[2] == ["OCIRepository", "2", "1", "1", "1.5 KiB", ""]
    assert rows[1] == ["GitRepository", "0", "0", "0", "-", ""]
    data = json.loads(cluster.here("stats", "-o", "json").out)
    assert data[1] == {
        "kind": "OCIRepository",
        "running": 2,
        "failing": 1,
        "suspended": 1,
        "storageBytes": 1536,
    }


def test_sizes() -> None:
    """Whole bytes, then one decimal."""
    assert [stats.size(count) for count in (0, 1023, 1024, 1536 * 1024, 1 << 62)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 MiB",
        "4.0 EiB",
    ]


def test_check(cluster: terminal.Shell) -> None:
    """Prerequisites first; a real cluster without controllers fails the check."""
    pre = cluster.here("check", "--pre")
    lines = pre.err.splitlines()
    assert lines[0] == "► checking prerequisites"
    assert lines[1].startswith(("✔ Kubernetes 1.", "⚠️  Kubernetes v0.0.0"))
    assert lines[2:] == ["✔ prerequisites checks passed"]
    full = cluster.here("check")
    assert "✔ ocirepositories.source.toolkit.fluxcd.io/v1\n" in full.err
    if "embedded" in full.err:
        assert (full.code, full.err.splitlines()[-1]) == (0, "✔ all checks passed")
    else:
        assert (
            f"✗ no controllers found in the '{cluster.namespace}' namespace with the label "
            "selector 'app.kubernetes.io/part-of=flux'\n"
        ) in full.err
        assert (full.code, full.err.splitlines()[-1]) == (1, "✗ check failed")


def test_trace_of_what_nobody_manages(cluster: terminal.Shell) -> None:
    """Resources go by any of their names; failures are told and exit with 1."""
    cluster.put("a")
    for word in ("ocirepository", "OCIRepositories", "ocirepo"):
        result = cluster.here("trace", word, "a")
        assert result.err == (
            f"✗ failed to trace {word}/a in namespace {cluster.namespace}: "
            "object not managed by Flux\n"
        )
        assert result.code == 1
    unknown = cluster.here("trace", "thing/x")
    assert "the server doesn't have a resource type 'thing'" in unknown.err
    assert cluster.here("trace").code == 2


def test_the_report_of_a_trace() -> None:
    """Labels are padded to 17 columns; the origin is told below a Kustomization."""
    ready = {
        "type": "Ready",
        "status": "True",
        "message": "fine",
        "lastTransitionTime": "2022-06-14T11:23:36Z",
    }
    applier = {
        "kind": "Kustomization",
        "metadata": {"name": "apps", "namespace": "flux-system"},
        "spec": {"path": "./apps"},
        "status": {"lastAppliedRevision": "v1@sha256:a", "conditions": [ready]},
    }
    source = {
        "kind": "OCIRepository",
        "metadata": {"name": "app", "namespace": "flux-system"},
        "spec": {"url": "oci://a.b/cd", "ref": {"semver": "1.x"}},
        "status": {
            "artifact": {
                "revision": "1.2@sha256:b",
                "metadata": {"org.opencontainers.image.revision": "main@sha1:c"},
            },
            "conditions": [ready | {"status": "False"}],
        },
    }
    assert report.trace("Deployment/app", "apps", applier=applier, source=source) == (
        "Object:          Deployment/app\n"
        "Namespace:       apps\n"
        "Status:          Managed by Flux\n"
        "---\n"
        "Kustomization:   apps\n"
        "Namespace:       flux-system\n"
        "Path:            ./apps\n"
        "Revision:        v1@sha256:a\n"
        "Status:          Last reconciled at 2022-06-14 11:23:36 +0000 UTC\n"
        "Message:         fine\n"
        "---\n"
        "OCIRepository:   app\n"
        "Namespace:       flux-system\n"
        "URL:             oci://a.b/cd\n"
        "Tag:             1.x\n"
        "Revision:        1.2@sha256:b\n"
        "Origin Revision: main@sha1:c\n"
        "Origin Source:\n"
        "Status:          Last reconciliation failed at 2022-06-14 11:23:36 +0000 UTC\n"
        "Message:         fine\n"
    )


def written(folder: pathlib.Path) -> pathlib.Path:
    """A data folder with the log of `up`."""
    product_logs.setup(level="debug", encoding="json", stream=None, folder=folder / "logs")
    log = product_logs.get("ocirepository", controllerKind="OCIRepository")
    log.bind(name="a", namespace="apps").info("stored\x1b[31m")
    log.bind(name="b", namespace="other").error("fetch failed", error="no route")
    product_logs.get("serve").info("started")
    product_logs.setup(level="info", encoding="json", stream=None)
    (folder / "logs" / "ocisource.log.1").write_text('not JSON\n{"msg": "older"}\n')
    return folder


def test_logs_of_up(shell: terminal.Shell, tmp_path: pathlib.Path) -> None:
    """All of the machine's lines, or those of a namespace, level, kind, name; no control codes."""
    data = str(written(tmp_path))
    result = shell("logs", "--data-dir", data)
    lines = result.out.splitlines()
    assert lines[0].endswith(" - older ")
    assert lines[1].endswith("info OCIRepository/a.apps - stored [31m ")
    assert lines[2].endswith("error OCIRepository/b.other - fetch failed no route")
    assert lines[3].endswith("info  - started ")
    assert (result.code, len(lines)) == (0, 4)
    words = ("logs", "--data-dir", data)
    assert len(shell(*words, "--level", "error").out.splitlines()) == 1
    assert len(shell(*words, "-n", "apps").out.splitlines()) == 1
    assert len(shell(*words, "--kind", "ocirepository", "--name", "B").out.splitlines()) == 1
    assert len(shell(*words, "--tail", "1").out.splitlines()) == 1
    assert len(shell(*words, "--since", "1h").out.splitlines()) == 3
    assert json.loads(shell(*words, "--tail", "1", "-o", "json").out)["msg"] == "started"
    assert shell(*words, "--follow", "--tail", "0", "--timeout", "10ms").code == 0


def test_logs_are_followed_through_a_rotation(tmp_path: pathlib.Path) -> None:
    """The rest of the old file comes before the new one."""
    current = tmp_path / logfiles.NAME
    current.write_text("1\n2")
    steps = iter(range(100))

    def sleep(_: float) -> None:
        match next(steps):
            case 0:
                with current.open("a") as file:
                    file.write(" and a half\n")
            case 1:
                current.rename(tmp_path / f"{logfiles.NAME}.1")
                current.write_text("3\n")

    lines = logfiles.lines(tmp_path, since=None, tail=0, is_following=True, sleep=sleep)
    found = [next(lines), next(lines)]
    lines.close()  # type: ignore[attr-defined]
    assert [line.strip() for line in found] == ["and a half", "3"]


def test_wrong_flags_of_logs(shell: terminal.Shell, tmp_path: pathlib.Path) -> None:
    """As flux words them."""
    for words, text in (
        (["x"], "no argument required"),
        (["--level", "odd"], "unsupported log level 'odd', must be one of: debug, info, error"),
        (["--since-time", "odd"], "odd is not a valid (RFC3339) time"),
        (
            ["--since-time", "2022-06-14T11:23:36Z", "--since", "1m"],
            "at most one of `sinceTime` or `sinceDuration` may be specified",
        ),
        (["--data-dir", "nix"], "--data-dir nix: no logs of 'ocisource up' are there"),
    ):
        result = shell("logs", *words)
        assert (result.code, result.err) == (2, f"✗ {text}\n")


def test_a_line_without_an_object() -> None:
    """What is no JSON object is passed over."""
    assert loglines.parse("plain") is None
    assert loglines.parse("{broken") is None
    found = loglines.parse('{"reconciler kind": "OCIRepository", "msg": "m", "level": "info"}')
    assert found is not None
    assert loglines.text(found) == " info OCIRepository - m "


def test_no_pods(cluster: terminal.Shell) -> None:
    """A cluster without controllers: exit code 1, in one line."""
    result = cluster("logs", "--flux-namespace", cluster.namespace)
    assert result.code == 1
    assert result.err.count("\n") == 1


def test_logs_of_pods(shell: terminal.Shell, tmp_path: pathlib.Path) -> None:
    """The best pod of each Deployment is read, its container manager, filtered as asked."""
    asked: list[str] = []
    line = json.dumps(
        {
            "ts": "2022-08-02T12:55:34.419Z",
            "level": "info",
            "msg": "stored",
            "controllerKind": "OCIRepository",
            "name": "app",
            "namespace": "apps",
        }
    )

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if request.path.endswith("/log"):
            return web.Response(text=f"starting\n{line}\n")
        if request.path.endswith("/deployments"):
            template = {"metadata": {"labels": {"app": "source-controller"}}}
            return web.json_response({"items": [{"spec": {"template": template}}]})
        pods = [
            {
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "manager"}, {"name": "sidecar"}]},
                "status": {"phase": phase},
            }
            for name, phase in (("old", "Failed"), ("good", "Running"))
        ]
        return web.json_response({"items": pods})

    async def serve() -> terminal.Result:
        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, ports.LOOPBACK, 0).start()
            server = f"http://{ports.LOOPBACK}:{runner.addresses[0][1]}"
            words = ("logs", "--server", server, "-A", "--tail", "5", "--timeout", "5s")
            return await asyncio.to_thread(shell, *words)
        finally:
            await runner.cleanup()

    result = asyncio.run(serve())
    text = "2022-08-02T12:55:34.419Z info OCIRepository/app.apps - stored \n"
    assert (result.code, result.out, result.err) == (0, text, "")
    path = "/api/v1/namespaces/flux-system/pods/good/log?container=manager&tailLines=5"
    assert asked[-1] == path


def create(shell: terminal.Shell, resource: resources.Resource[typing.Any], **body: object) -> None:
    """Make any object in the test's namespace; one that is there is fine."""

    async def work(api: client.Client) -> None:
        namespace = shell.namespace if resource.is_namespaced else ""
        try:
            await api.create(
                resource,
                {"apiVersion": resource.api_version, "kind": resource.kind, **body},
                namespace=namespace,
            )
        except errors.APIStatusError as error:
            if error.reason != "AlreadyExists":
                raise

    shell.api(work)


KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
HELM = "helm.toolkit.fluxcd.io"
CRDS: resources.Resource[dict[str, typing.Any]] = resources.Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    dict,
    is_namespaced=False,
)
CONFIG_MAPS: resources.Resource[dict[str, typing.Any]] = resources.CONFIG_MAPS.read_as(dict)


def with_kind(shell: terminal.Shell, group: str, kind: str) -> resources.Resource[Document]:
    """Give the cluster a kind of any content."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    singular = kind.lower()
    plural = f"{singular}s"
    names = {"kind": kind, "plural": plural, "singular": singular}
    create(
        shell,
        CRDS,
        metadata={"name": f"{plural}.{group}"},
        spec={"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    )

    async def is_served(api: client.Client) -> bool:
        return plural in await api.discover(group, "v1")

    processes.poll(lambda: bool(shell.api(is_served)), what=f"the kind {kind}")
    return resources.Resource(group, "v1", plural, kind, dict)


def test_trace_from_an_object_to_its_source(
    cluster: terminal.Shell, session: sessions.Session
) -> None:
    """Through the owner, its labels, and the Kustomization that they name."""
    ns = cluster.namespace
    kustomizations = with_kind(cluster, KUSTOMIZE, "Kustomization")
    cluster.put("app", spec={"ref": {"tag": "v1"}}, status=terminal.ready("stored"))
    source = {"kind": "OCIRepository", "name": "app"}
    create(
        cluster,
        kustomizations,
        metadata={"name": "apps", "namespace": ns},
        spec={"path": "./apps", "sourceRef": source},
    )
    labels = {f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": ns}
    create(cluster, CONFIG_MAPS, metadata={"name": "owner", "namespace": ns, "labels": labels})

    async def uid(api: client.Client) -> str:
        found = await api.get(CONFIG_MAPS, "owner", namespace=ns)
        return str(found["metadata"]["uid"])

    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": cluster.api(uid)}
    owned = {"name": "owned", "namespace": ns, "ownerReferences": [owner]}
    create(cluster, CONFIG_MAPS, metadata=owned)
    session("trace", "configmap", "owned", "-n", ns)
    session("trace", "-n", ns, "configmap/owned", "configmap/owner")
    session("trace", "-n", ns, "owner", "--kind", "ConfigMap", "--api-version", "v1")
    session.compare("trace")


def about(result: terminal.Result) -> list[str]:
    """The objects that a table of events is about, with their namespaces if they are shown."""
    rows = [[cell.strip() for cell in line.split("\t")] for line in result.out.splitlines()]
    columns = [rows[0].index(name) for name in ("NAMESPACE", "OBJECT") if name in rows[0]]
    return [" ".join(row[column] for column in columns) for row in rows[1:]]


def test_events_of_an_object_and_of_what_it_uses(cluster: terminal.Shell) -> None:
    """A Kustomization's source, a HelmRelease's chart, in their own order, watched too."""
    ns = cluster.namespace
    kustomizations = with_kind(cluster, KUSTOMIZE, "Kustomization")
    releases = with_kind(cluster, HELM, "HelmRelease")
    source = {"kind": "OCIRepository", "name": "app"}
    apps = {"name": "apps", "namespace": ns}
    create(cluster, kustomizations, metadata=apps, spec={"sourceRef": source})
    create(cluster, releases, metadata=apps, spec={"chartRef": source})
    chart = {"spec": {"sourceRef": {"kind": "HelmRepository", "name": "charts"}}}
    create(cluster, releases, metadata=apps | {"name": "old"}, spec={"chart": chart})
    event(cluster, "app", lastTimestamp="2022-06-14T12:00:00Z")
    event(cluster, "other")
    event(cluster, "apps", kind="Kustomization")
    event(cluster, "release", kind="HelmRelease", about="old")
    event(cluster, "made", kind="HelmChart", about=f"{ns}-old", type="Warning")
    event(cluster, "charts", kind="HelmRepository", lastTimestamp="2022-06-14T10:00:00Z")
    both = ["Kustomization/apps", "OCIRepository/app"]
    assert about(cluster.here("events", "--for", "kustomization/apps")) == both
    assert about(cluster.here("events", "--for", "HelmRelease/apps")) == ["OCIRepository/app"]
    release = cluster.here("events", "--for", "HelmRelease/old")
    assert about(release)[0] == "HelmRepository/charts"
    assert sorted(about(release)[1:]) == [f"HelmChart/{ns}-old", "HelmRelease/old"]
    warnings = cluster.here("events", "--for", "HelmRelease/old", "--types", "Warning")
    assert about(warnings) == [f"HelmChart/{ns}-old"]
    watched = cluster.here("events", "--for", "Kustomization/apps", "--watch", lines=3)
    assert sorted(about(watched)) == both
    # All of a kind: nothing is looked up.
    assert about(cluster.here("events", "--for", "Kustomization")) == ["Kustomization/apps"]


def test_events_of_a_source_in_another_namespace(cluster: terminal.Shell) -> None:
    """Then the table says which namespace each is of."""
    here = cluster.namespace
    kustomizations = with_kind(cluster, KUSTOMIZE, "Kustomization")
    event(cluster, "far", kind="Kustomization")
    source = {"kind": "OCIRepository", "name": "app", "namespace": f"{here}-sources"}
    create(
        cluster,
        kustomizations,
        metadata={"name": "far", "namespace": here},
        spec={"sourceRef": source},
    )
    manifest = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {here}-sources}}\n"
    pathlib.Path("namespace.yaml").write_text(manifest)
    assert cluster("apply", "-f", "namespace.yaml").code == 0
    cluster.namespace = f"{here}-sources"
    event(cluster, "app", lastTimestamp="2022-06-14T12:00:00Z")
    shown = cluster("events", "-n", here, "--for", "Kustomization/far")
    found = [f"{here} Kustomization/far", f"{here}-sources OCIRepository/app"]
    assert about(shown) == found
    assert about(cluster("events", "-n", here, "-A", "--for", "Kustomization/far")) == found


def test_events_of_an_object_that_is_gone(cluster: terminal.Shell) -> None:
    """They are shown still, and a warning says what is not."""
    with_kind(cluster, KUSTOMIZE, "Kustomization")
    event(cluster, "gone", kind="Kustomization")
    shown = cluster.here("events", "--for", "Kustomization/gone")
    assert (shown.code, about(shown)) == (0, ["Kustomization/gone"])
    assert shown.err == (
        f'⚠️  kustomizations.{KUSTOMIZE} "gone" not found: the events of what it uses are not '
        "shown\n"
    )
    alert = cluster.here("events", "--for", "Alert/a")
    assert alert.err == (
        "⚠️  the cluster has no kind Alert: the events of what it uses are not shown\n"
        f"✗ No events found in {cluster.namespace} namespace.\n"
    )


def test_the_distribution_is_the_one_of_the_cluster() -> None:
    """Flux's CRD and ours tell their version, ours in an embedded server none."""
    rendered = render.render(render.Options(version="v9.8.7"))
    ours = [each for each in rendered if each["kind"] == "CustomResourceDefinition"]
    assert check.distribution(ours) == "ocisource-v9.8.7"
    assert check.distribution([load.crd()]) == "ocisource"
    labels = {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.4"}
    name = "ocirepositories.source.toolkit.fluxcd.io"
    assert check.distribution([{"metadata": {"name": name, "labels": labels}}]) == "flux-v2.9.4"
    assert check.distribution([{"metadata": {"name": "buckets"}}]) == ""


def test_check_of_a_deployment(
    shell: terminal.Shell, source_api: kubernetes.ControlPlane, namespace: str
) -> None:
    """Not ready without pods, ready with one; the image is told."""
    shell.use(source_api.kubeconfig(), namespace=namespace)
    deployments: resources.Resource[dict[str, typing.Any]] = resources.Resource(
        "apps", "v1", "deployments", "Deployment", dict
    )
    labels = {"app": "source-controller", "app.kubernetes.io/part-of": "flux"}
    containers = [{"name": "manager", "image": "example.com/ocisource:v0.1.0"}]
    create(
        shell,
        deployments,
        metadata={"name": "source-controller", "namespace": namespace, "labels": labels},
        spec={
            "selector": {"matchLabels": {"app": "source-controller"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    )
    before = shell.here("check")
    assert "✗ source-controller: deployment not ready\n► example.com/ocisource:v0" in before.err
    assert before.code == 1

    async def settle(api: client.Client) -> None:
        status = {"replicas": 1, "readyReplicas": 1}
        await api.patch(
            deployments,
            "source-controller",
            patch.merge({"status": status}),
            namespace=namespace,
            subresource="status",
        )

    shell.api(settle)
    after = shell.here("check")
    assert "✔ source-controller: deployment ready\n" in after.err
    assert (after.code, after.err.splitlines()[-1]) == (0, "✔ all checks passed")
