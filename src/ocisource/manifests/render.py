"""The objects of an installation, for a namespace, a version, an image: a pure function.

The shipped files install into one namespace with one image. ``render`` reads them and changes just
what the options ask for, so that ``render(Options())`` and ``kubectl apply -k`` on the folder make
the same objects, but for the version's label.

Example::

    documents = render(Options(namespace="sources", registry="registry.example.com/tools"))
    print(printing.to_yaml(documents))
"""

import copy
import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence

from ocisource import errors, settings
from ocisource import version as releases
from ocisource.manifests import load
from ocisource.wire import names, selectors

NAMESPACE: typing.Final = "flux-system"
IMAGE_NAME: typing.Final = "ocisource"
SERVICE_NAME: typing.Final = "source-controller"
DEPLOYMENT_NAME: typing.Final = "ocisource"
CLUSTER_DOMAIN: typing.Final = "cluster.local"
LOG_LEVELS: typing.Final = ("trace", "debug", "info", "error")

_FILES = ("namespace.yaml", load.CRD, "rbac.yaml", "service.yaml", "deployment.yaml")
_NETWORK_POLICY = "networkpolicy.yaml"
_WORKLOAD_IDENTITY = "workload-identity/rbac.yaml"
_POD_MONITOR = "monitoring/podmonitor.yaml"
_DASHBOARD = "monitoring/dashboard.json"
_DASHBOARD_NAME = "ocisource-dashboard"
_DASHBOARD_LABEL = "grafana_dashboard"  # what Grafana's sidecar looks for

_VERSION_LABEL = "app.kubernetes.io/version"
_CLUSTER_KINDS = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}
)
_CONTROLLER_ROLE = f"{IMAGE_NAME}-{NAMESPACE}"
# name[:port]/path[:tag][@digest], without a scheme; the registry is the judge of the rest.
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", re.ASCII)
_IMAGE_MAX = 512  # characters
_TOLERATED = "Exists"

Documents: typing.TypeAlias = tuple[load.Document, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an installation may choose; raises UsageError when a value cannot be used."""

    namespace: str = NAMESPACE
    """Where everything but the cluster-wide objects goes."""

    version: str = f"v{releases.VERSION}"
    """Tag of the image, and the label that tells which version is installed."""

    registry: str = ""
    """Where the image is pulled from, ``host/path``; "" for an image the nodes have already."""

    image: str | None = None
    """The whole image reference, in place of registry and version."""

    image_pull_secret: str = ""
    """Secret in the namespace for pulling the image."""

    is_watching_all_namespaces: bool = True
    """Otherwise only the installation's own namespace is watched, and no more rights are given."""

    has_network_policy: bool = True
    has_monitoring: bool = False
    """PodMonitor and Grafana dashboard; the cluster must know the PodMonitor kind."""

    has_workload_identity: bool = False
    """The feature gate ObjectLevelWorkloadIdentity and the right to request tokens."""

    log_level: str = "info"
    cluster_domain: str = CLUSTER_DOMAIN
    """The cluster's DNS domain, part of every artifact's address."""

    events_addr: str = ""
    """URL of a notification-controller that events are forwarded to."""

    watch_label_selector: str = ""
    """Only objects with these labels are watched: a shard."""

    revision_format: str = settings.REVISION_HEX
    """How revisions are written, ``hex`` or ``tag@digest``."""

    toleration_keys: Sequence[str] = ()
    """Keys of node taints that do not keep the controller away."""

    def __post_init__(self) -> None:
        _check("--namespace", self.namespace, is_good=names.is_dns_label(self.namespace))
        _check("--version", self.version, is_good=not names.label_value_errors(self.version))
        if not self.version:
            raise errors.UsageError("--version must not be empty")
        _check(
            "--registry or --image",
            self.image_reference,
            is_good=_is_image(self),
            hint=": write HOST/PATH or HOST/PATH:TAG, without a scheme",
        )
        secret = self.image_pull_secret
        is_name = not secret or names.is_dns_subdomain(secret)
        _check("--image-pull-secret", secret, is_good=is_name)
        _check("--log-level", self.log_level, is_good=self.log_level in LOG_LEVELS)
        is_domain = names.is_dns_subdomain(self.cluster_domain)
        _check("--cluster-domain", self.cluster_domain, is_good=is_domain)
        try:
            selectors.LabelSelector.parse(self.watch_label_selector)
        except errors.InvalidInputError as error:
            raise errors.UsageError(f"--watch-label-selector: {error.text}") from error
        for key in self.toleration_keys:
            _check("--toleration-keys", key, is_good=not names.qualified_name_errors(key))

    @property
    def image_reference(self) -> str:
        """The image the Deployment runs."""
        if self.image is not None:
            return self.image
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        return f"{prefix}{IMAGE_NAME}:{self.version}"


def render(options: Options) -> Documents:
    """The objects to apply, in the order in which they can be applied."""
    return tuple(_adapted(copy.deepcopy(each), options) for each in _chosen(options))


def left_over(options: Options) -> Documents:
    """What an installation with other options may have put into this place, and this one has not.

    Whoever installs again with less wants less: rights above all.
    """
    kept = {_identity(each) for each in render(options)}
    other = dataclasses.replace(
        options, has_network_policy=True, has_monitoring=True, has_workload_identity=True
    )
    whole = (
        *render(dataclasses.replace(other, is_watching_all_namespaces=True)),
        *render(dataclasses.replace(other, is_watching_all_namespaces=False)),
    )
    found = {_identity(each): each for each in whole}
    return tuple(each for identity, each in found.items() if identity not in kept)


def _identity(document: load.Document) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


def _chosen(options: Options) -> Iterator[load.Document]:
    for name in _FILES:
        yield from load.documents(name)
    if options.has_network_policy:
        yield from load.documents(_NETWORK_POLICY)
    if options.has_workload_identity:
        yield from load.documents(_WORKLOAD_IDENTITY)
    if options.has_monitoring:
        (pod_monitor,) = load.documents(_POD_MONITOR)
        yield pod_monitor
        yield _dashboard(pod_monitor["metadata"]["labels"])


def _dashboard(labels: typing.Mapping[str, str]) -> load.Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": _DASHBOARD_NAME,
            "namespace": NAMESPACE,
            "labels": {**labels, _DASHBOARD_LABEL: "1"},
        },
        "data": {"dashboard.json": load.text(_DASHBOARD)},
    }


def _adapted(document: load.Document, options: Options) -> load.Document:
    metadata = document["metadata"]
    metadata["labels"][_VERSION_LABEL] = options.version
    kind = document["kind"]
    if kind == "Namespace":
        metadata["name"] = options.namespace
    elif kind in _CLUSTER_KINDS:
        metadata["name"] = _renamed(metadata["name"], options)
    else:
        metadata["namespace"] = options.namespace
    if kind in {"ClusterRoleBinding", "RoleBinding"}:
        document["roleRef"]["name"] = _renamed(document["roleRef"]["name"], options)
        for subject in document["subjects"]:
            subject["namespace"] = options.namespace
    if kind == "Deployment":
        _adapt_deployment(document, options)
    if not options.is_watching_all_namespaces and _is_controller_role(document):
        _confine(document, options)
    return document


def _renamed(name: str, options: Options) -> str:
    # Cluster-wide names end in the namespace.
    if name.endswith(f"-{NAMESPACE}"):
        return name.removesuffix(NAMESPACE) + options.namespace
    return name


def _is_controller_role(document: load.Document) -> bool:
    is_cluster_wide = document["kind"] in {"ClusterRole", "ClusterRoleBinding"}
    is_for_people = any("aggregate-to" in label for label in document["metadata"]["labels"])
    return is_cluster_wide and not is_for_people


def _confine(document: load.Document, options: Options) -> None:
    """Turn a cluster-wide role or binding into one of the namespace."""
    document["kind"] = document["kind"].removeprefix("Cluster")
    document["metadata"]["namespace"] = options.namespace
    if "roleRef" in document:
        document["roleRef"]["kind"] = "Role"
    if "rules" in document:
        # What is about cluster-wide objects means nothing in a Role.
        document["rules"] = [
            rule for rule in document["rules"] if "apiextensions.k8s.io" not in rule["apiGroups"]
        ]


def _adapt_deployment(document: load.Document, options: Options) -> None:
    template = document["spec"]["template"]
    template["metadata"]["labels"][_VERSION_LABEL] = options.version
    pod = template["spec"]
    (container,) = pod["containers"]
    container["image"] = options.image_reference
    container["args"] = [_argument(each, options) for each in container["args"]]
    if options.events_addr:
        container["args"].append(f"--events-addr={options.events_addr}")
    if options.watch_label_selector:
        container["args"].append(f"--watch-label-selector={options.watch_label_selector}")
    if options.revision_format != settings.REVISION_HEX:
        container["args"].append(f"--revision-format={options.revision_format}")
    if options.has_workload_identity:
        container["args"].append("--feature-gates=ObjectLevelWorkloadIdentity=true")
    if options.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": options.image_pull_secret}]
    if options.toleration_keys:
        pod["tolerations"] = [
            {"key": key, "operator": _TOLERATED} for key in options.toleration_keys
        ]


def _argument(text: str, options: Options) -> str:
    flag, equals, value = text.partition("=")
    if flag == "--watch-all-namespaces":
        value = "true" if options.is_watching_all_namespaces else "false"
    elif flag == "--log-level":
        value = options.log_level
    elif flag == "--storage-adv-addr":
        value = value.replace(CLUSTER_DOMAIN, options.cluster_domain)
    return f"{flag}{equals}{value}"


def _is_image(options: Options) -> bool:
    text = options.image_reference
    return len(text) <= _IMAGE_MAX and _IMAGE.fullmatch(text) is not None and "//" not in text


def _check(flag: str, value: str, *, is_good: bool, hint: str = "") -> None:
    if not is_good:
        raise errors.UsageError(f"{flag}: {value[:_IMAGE_MAX]!r} cannot be used{hint}")
