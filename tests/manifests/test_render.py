"""What `ocisource install` prints or applies, for every choice there is."""

import json
import pathlib
import typing

import pytest
import yaml

import ocisource
from ocisource import errors
from ocisource.manifests import load, printing, render

_FOLDER = pathlib.Path(load.__file__).parent


def _by_name(documents: render.Documents) -> dict[tuple[str, str], load.Document]:
    found = {(each["kind"], each["metadata"]["name"]): each for each in documents}
    assert len(found) == len(documents)
    return found


def _deployment(**choices: typing.Any) -> load.Document:
    documents = _by_name(render.render(render.Options(**choices)))
    return documents["Deployment", render.DEPLOYMENT_NAME]


def _container(**choices: typing.Any) -> load.Document:
    (container,) = _deployment(**choices)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_by_default_it_is_the_folder() -> None:
    """What the folder's kustomization lists is what is rendered, in the same order."""
    kustomization = yaml.safe_load((_FOLDER / "kustomization.yaml").read_text())
    listed = [each for name in kustomization["resources"] for each in load.documents(name)]
    rendered = list(render.render(render.Options()))
    version = f"v{ocisource.__version__}"
    for document in listed:
        document["metadata"]["labels"]["app.kubernetes.io/version"] = version
        if document["kind"] == "Deployment":
            pods = document["spec"]["template"]["metadata"]
            pods["labels"]["app.kubernetes.io/version"] = version
    assert rendered == listed


def test_every_object_moves_to_the_namespace() -> None:
    """No namespaced object and no subject stays behind, and cluster-wide names do not collide."""
    options = render.Options(namespace="sources", has_monitoring=True, has_workload_identity=True)
    documents = render.render(options)
    text = printing.to_yaml(documents)
    assert f"namespace: {render.NAMESPACE}" not in text
    assert f"-{render.NAMESPACE}" not in text
    assert ("Namespace", "sources") in _by_name(documents)
    for document in documents:
        if document["kind"] in {"ClusterRoleBinding", "RoleBinding"}:
            assert [each["namespace"] for each in document["subjects"]] == ["sources"]
    roles = {each["metadata"]["name"] for each in documents if each["kind"].endswith("Role")}
    bound = {each["roleRef"]["name"] for each in documents if each["kind"].endswith("Binding")}
    assert bound <= roles


@pytest.mark.parametrize(
    ("choices", "image"),
    [
        ({}, f"ocisource:v{ocisource.__version__}"),
        ({"version": "v2.0.0"}, "ocisource:v2.0.0"),
        (
            {"registry": "registry.example.com/a"},
            f"registry.example.com/a/ocisource:v{ocisource.__version__}",
        ),
        ({"registry": "localhost:5000/", "version": "v2"}, "localhost:5000/ocisource:v2"),
        ({"image": "a.example/b@sha256:" + "0" * 64}, "a.example/b@sha256:" + "0" * 64),
    ],
)
def test_the_image_is_chosen(choices: dict[str, str], image: str) -> None:
    """By registry and version, or by the whole reference."""
    assert _container(**choices)["image"] == image


def test_monitoring_comes_only_when_asked_for() -> None:
    """PodMonitor and dashboard, whose text is the shipped file's."""
    plain = _by_name(render.render(render.Options()))
    watched = _by_name(render.render(render.Options(has_monitoring=True)))
    extra = set(watched) - set(plain)
    assert extra == {("PodMonitor", "ocisource"), ("ConfigMap", "ocisource-dashboard")}
    dashboard = watched["ConfigMap", "ocisource-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["dashboard.json"])["title"] == "ocisource"


def test_a_shard_and_the_form_of_revisions_are_arguments() -> None:
    """Given only when they differ from the default; a selector that is none is refused."""
    plain = _container()["args"]
    more = _container(watch_label_selector="!team", revision_format="tag@digest")["args"]
    assert [each for each in more if each not in plain] == [
        "--watch-label-selector=!team",
        "--revision-format=tag@digest",
    ]
    with pytest.raises(errors.UsageError, match="--watch-label-selector"):
        render.Options(watch_label_selector="a in")


def test_network_policy_may_be_left_out() -> None:
    """For clusters with rules of their own."""
    kinds = {each["kind"] for each in render.render(render.Options(has_network_policy=False))}
    assert "NetworkPolicy" not in kinds


def test_one_namespace_needs_no_cluster_wide_rights() -> None:
    """The controller's own roles are confined; what is for people stays aggregated."""
    options = render.Options(namespace="team", is_watching_all_namespaces=False)
    documents = _by_name(render.render(options))
    role = documents["Role", "ocisource-team"]
    assert role["metadata"]["namespace"] == "team"
    assert documents["RoleBinding", "ocisource-team"]["roleRef"]["kind"] == "Role"
    assert all("apiextensions.k8s.io" not in rule["apiGroups"] for rule in role["rules"])
    assert {name for kind, name in documents if kind == "ClusterRole"} == {
        "ocisource-view-team",
        "ocisource-edit-team",
    }
    assert not [name for kind, name in documents if kind == "ClusterRoleBinding"]
    assert "--watch-all-namespaces=false" in _container(is_watching_all_namespaces=False)["args"]


def test_what_another_choice_would_have_installed_is_known() -> None:
    """Nothing of it is in this installation, and nothing of this one in it."""
    assert {
        (each["kind"], each["metadata"]["name"])
        for each in render.left_over(render.Options(namespace="team"))
    } == {
        ("ClusterRole", "ocisource-workload-identity-team"),
        ("ClusterRoleBinding", "ocisource-workload-identity-team"),
        ("ConfigMap", "ocisource-dashboard"),
        ("PodMonitor", "ocisource"),
        ("Role", "ocisource-team"),
        ("RoleBinding", "ocisource-team"),
        ("Role", "ocisource-workload-identity-team"),
        ("RoleBinding", "ocisource-workload-identity-team"),
    }
    confined = render.Options(
        namespace="team",
        is_watching_all_namespaces=False,
        has_network_policy=False,
        has_monitoring=True,
        has_workload_identity=True,
    )
    left = {(each["kind"], each["metadata"]["name"]) for each in render.left_over(confined)}
    assert ("ClusterRoleBinding", "ocisource-team") in left
    assert ("NetworkPolicy", "ocisource") in left
    assert not left & {(each["kind"], each["metadata"]["name"]) for each in render.render(confined)}


def test_flags_of_the_controller_are_chosen() -> None:
    """Log level, cluster domain, receiver of events and the feature gate reach the arguments."""
    args = _container(
        log_level="debug",
        cluster_domain="example.org",
        events_addr="http://notification-controller/",
        has_workload_identity=True,
    )["args"]
    assert "--log-level=debug" in args
    adv = "--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.example.org."
    assert adv in args
    assert "--events-addr=http://notification-controller/" in args
    assert "--feature-gates=ObjectLevelWorkloadIdentity=true" in args


def test_pod_settings_are_chosen() -> None:
    """The pull secret and the tolerated taints."""
    pod = _deployment(image_pull_secret="login", toleration_keys=("a.example/b", "c"))["spec"][
        "template"
    ]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "login"}]
    assert pod["tolerations"] == [
        {"key": "a.example/b", "operator": "Exists"},
        {"key": "c", "operator": "Exists"},
    ]


def test_the_version_is_on_every_object() -> None:
    """Also on the Pods, but in no selector: those cannot be changed by an upgrade."""
    for document in render.render(render.Options(version="v9", has_monitoring=True)):
        assert document["metadata"]["labels"]["app.kubernetes.io/version"] == "v9"
    deployment = _deployment(version="v9")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == "v9"
    assert "app.kubernetes.io/version" not in deployment["selector"]["matchLabels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()


def test_yaml_reads_back_as_what_was_rendered() -> None:
    """Nothing is lost or changed in type on the way through text, and nothing is an alias."""
    documents = render.render(render.Options(has_monitoring=True, has_workload_identity=True))
    text = printing.to_yaml(documents)
    assert tuple(yaml.safe_load_all(text)) == documents
    assert "&id" not in text
    assert "dashboard.json: |\n" in text


def test_rendering_leaves_no_trace() -> None:
    """One rendering does not colour the next."""
    first = printing.to_yaml(render.render(render.Options()))
    render.render(render.Options(namespace="other", version="v9", log_level="error"))
    assert printing.to_yaml(render.render(render.Options())) == first


@pytest.mark.parametrize(
    ("choices", "flag"),
    [
        ({"namespace": "Upper"}, "--namespace"),
        ({"namespace": ""}, "--namespace"),
        ({"namespace": "a.b"}, "--namespace"),
        ({"version": ""}, "--version"),
        ({"version": "a b"}, "--version"),
        ({"registry": "https://registry.example.com"}, "--registry"),
        ({"image": ""}, "--image"),
        ({"image": "a\nb"}, "--image"),
        ({"image_pull_secret": "No!"}, "--image-pull-secret"),
        ({"log_level": "loud"}, "--log-level"),
        ({"cluster_domain": "a..b"}, "--cluster-domain"),
        ({"toleration_keys": ("a/b/c",)}, "--toleration-keys"),
    ],
)
def test_a_bad_choice_is_refused_by_its_flag(choices: dict[str, typing.Any], flag: str) -> None:
    """Before anything is rendered, in one line."""
    with pytest.raises(errors.UsageError, match=flag) as caught:
        render.Options(**choices)
    assert "\n" not in str(caught.value)
