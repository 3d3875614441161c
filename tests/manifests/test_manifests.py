"""The shipped files agree with the code they start, and ask for no more than they need."""

import json
import re

import pytest

import ocisource
from ocisource import metrics, settings
from ocisource.manifests import load

_METRIC = re.compile(r"[a-z_]+(?=\{)")


def _one(name: str, kind: str) -> load.Document:
    (found,) = (each for each in load.documents(name) if each["kind"] == kind)
    return found


def _pod() -> load.Document:
    pod = _one("deployment.yaml", "Deployment")["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def _container() -> load.Document:
    (container,) = _pod()["containers"]
    assert isinstance(container, dict)
    return container


def test_the_image_is_this_version() -> None:
    """A release does not ship the manifests of another."""
    assert _container()["image"] == f"ocisource:v{ocisource.__version__}"


def test_every_argument_is_a_flag_that_exists() -> None:
    """The Deployment starts `controller` with flags it knows."""
    command, *arguments = _container()["args"]
    assert command == "controller"
    known = {flag.name for _, flag, _ in settings.flags()}
    assert {each.partition("=")[0].removeprefix("--") for each in arguments} <= known


def test_the_ports_are_those_of_the_code() -> None:
    """Each named port is where the process listens when nothing else is said."""
    defaults = {flag.name: default for _, flag, default in settings.flags()}
    ports = {each["name"]: f":{each['containerPort']}" for each in _container()["ports"]}
    assert ports == {
        "http": defaults["storage-addr"],
        "http-prom": defaults["metrics-addr"],
        "healthz": defaults["health-addr"],
    }
    annotations = _one("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]
    assert f":{annotations['annotations']['prometheus.io/port']}" == defaults["metrics-addr"]


def test_the_pod_may_do_nothing_it_need_not() -> None:
    """Not root, nothing writable but its volumes, no capability, seccomp, bounded."""
    security, pod = _container()["securityContext"], _pod()
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["runAsNonRoot"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert set(_container()["resources"]["limits"]) == {"cpu", "memory"}
    assert {each["name"] for each in pod["volumes"]} == {
        each["name"] for each in _container()["volumeMounts"]
    }
    # The rest of what Pod Security calls "restricted": nothing of the node's.
    assert all(set(each) == {"name", "emptyDir"} for each in pod["volumes"])
    assert not [key for key in pod if key.startswith("host")]
    assert not [each for each in _container()["ports"] if "hostPort" in each]


def test_the_service_leads_to_the_pods() -> None:
    """Port 80 of Flux's name, the container's artifact port, the Pods' label."""
    service = _one("service.yaml", "Service")
    assert service["metadata"]["name"] == "source-controller"
    assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [
        (80, "http")
    ]
    labels = _one("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (adv,) = (each for each in _container()["args"] if each.startswith("--storage-adv-addr="))
    assert adv.removeprefix("--storage-adv-addr=").startswith("source-controller.")


def test_policy_and_monitor_are_about_the_pods_and_their_ports() -> None:
    """A selector that fits nothing, or a port that is not there, would go unnoticed."""
    labels = _one("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    ports = {each["name"] for each in _container()["ports"]}
    policy = _one("networkpolicy.yaml", "NetworkPolicy")["spec"]
    monitor = _one("monitoring/podmonitor.yaml", "PodMonitor")["spec"]
    for selector in (policy["podSelector"], monitor["selector"]):
        assert selector["matchLabels"]
        assert selector["matchLabels"].items() <= labels.items()
    named = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert named == {"http", "http-prom"}
    assert named < ports
    assert [each["port"] for each in monitor["podMetricsEndpoints"]] == ["http-prom"]


@pytest.mark.parametrize("name", ["rbac.yaml", "workload-identity/rbac.yaml"])
def test_no_role_has_a_wildcard(name: str) -> None:
    """Groups, resources and verbs are each named."""
    for document in load.documents(name):
        for rule in document.get("rules", []):
            for words in rule.values():
                assert "*" not in words


def test_tokens_of_other_accounts_are_not_in_the_ordinary_role() -> None:
    """Only the feature gate needs them, and whoever has them can act as anybody."""
    assert "serviceaccounts/token" not in load.text("rbac.yaml")


def test_every_object_is_labelled() -> None:
    """`flux logs` and `flux check` find what is part of flux."""
    for name in ("namespace", "crd", "rbac", "service", "deployment", "networkpolicy"):
        for document in load.documents(f"{name}.yaml"):
            assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "flux"


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """Each series in a panel is one the process exports."""
    known = set()
    for family in metrics.Metrics().registry.collect():
        suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
        for suffix in suffixes.get(family.type, ("",)):
            known.add(family.name + suffix)
    dashboard = json.loads(load.text("monitoring/dashboard.json"))
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked.update(_METRIC.findall(target["expr"]))
    for variable in dashboard["templating"]["list"]:
        asked.update(_METRIC.findall(variable.get("query", "")))
    assert len(asked) > 8
    assert asked <= known


def test_panels_do_not_overlap() -> None:
    """Grafana would move them about."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(load.text("monitoring/dashboard.json"))["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_a_missing_file_is_an_error() -> None:
    """No silent empty answer."""
    with pytest.raises(FileNotFoundError):
        load.text("none.yaml")
    with pytest.raises(KeyError):
        load.schema("v3")
