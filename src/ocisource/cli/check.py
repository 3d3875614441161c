"""`ocisource check`: whether the cluster is new enough, and all is installed and ready."""

import re
import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.cli import choice, cluster, flags, output, shared

LEAST = (1, 20)  # of Kubernetes: server-side apply as `install` uses it; older ones are not tested
_PART_OF = "app.kubernetes.io/part-of=flux"
_NAME, _VERSION_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/version"
_CRD = f"{ocirepository.PLURAL}.{ocirepository.GROUP}"
_UNRELEASED = "v0.0.0"  # what a build from a working tree says of itself
_VERSION = re.compile(r"v?(?P<major>\d+)\.(?P<minor>\d+)")

Document = dict[str, typing.Any]


@shared.command()
@click.option("--pre", "is_pre", is_flag=True, help="Only check what an installation needs.")
@click.option("--components", default="", hidden=True)
@click.option("--components-extra", default="", hidden=True)
@click.option("--poll-interval", type=flags.Duration(), default=5.0, hidden=True)
@shared.cluster_options
@click.pass_context
def check(
    ctx: click.Context, /, *, is_pre: bool, chosen: choice.Chosen, **_ignored: typing.Any
) -> None:
    """Check the Kubernetes version, the controllers and the CRDs.

    \b
    Examples:
      ocisource check --pre
      ocisource check
    """  # noqa: D301

    async def work(connection: cluster.Connection) -> int:
        output.say(output.ACTION, "checking prerequisites")
        version = await _kubernetes(connection)
        least = f">={LEAST[0]}.{LEAST[1]}.0-0"
        if version.startswith(_UNRELEASED):
            output.say(output.WARNING, f"Kubernetes {version} is no release, {least} unchecked")
        elif not is_new_enough(version):
            output.say(output.FAILURE, f"Kubernetes version {version} does not match {least}")
            raise errors.ContentError("check failed")
        else:
            output.say(output.SUCCESS, f"Kubernetes {version.removeprefix('v')} {least}")
        output.say(output.SUCCESS, "prerequisites checks passed")
        if is_pre:
            return 0
        crds = await _crds(connection)
        output.say(output.ACTION, "checking version in cluster")
        if found := distribution(crds):
            output.say(output.SUCCESS, f"distribution: {found}")
        else:
            output.say(output.FAILURE, f"distribution: unknown, there is no {_CRD}")
        has_controllers = await _controllers(connection)
        has_kinds = _tell_crds(crds)
        if not (has_controllers and has_kinds):
            raise errors.ContentError("check failed")
        output.say(output.SUCCESS, "all checks passed")
        return 0

    ctx.exit(cluster.run(chosen, work))


def is_new_enough(version: str) -> bool:
    """Whether a version such as ``v1.33.1`` is not below LEAST."""
    match = _VERSION.match(version)
    return match is not None and (int(match["major"]), int(match["minor"])) >= LEAST


async def _kubernetes(connection: cluster.Connection) -> str:
    found = await connection.api.document("/version")
    return str(found.get("gitVersion", ""))


async def _controllers(connection: cluster.Connection) -> bool:
    """Whether all controllers are ready; an embedded server has its own within."""
    from ocisource.kube import client, resources  # noqa: PLC0415

    output.say(output.ACTION, "checking controllers")
    deployments = resources.Resource("apps", "v1", "deployments", "Deployment", dict)
    scope = client.Scope(namespace=connection.namespace, label_selector=_PART_OF)
    try:
        found = (await connection.api.list(deployments, scope)).items
    except errors.APIStatusError as error:
        if error.code != 404:  # noqa: PLR2004 - an API without Deployments is the embedded one
            raise
        output.say(output.SUCCESS, "source-controller: embedded")
        return True
    if not found:
        output.say(
            output.FAILURE,
            f"no controllers found in the '{connection.namespace}' namespace with the label "
            f"selector '{_PART_OF}'",
        )
        return False
    is_ready = True
    for deployment in found:
        name = deployment["metadata"]["name"]
        wanted = deployment["spec"].get("replicas", 1)
        has = (deployment.get("status") or {}).get("readyReplicas", 0) >= wanted
        is_ready = is_ready and has
        output.say(
            output.SUCCESS if has else output.FAILURE,
            f"{name}: deployment {'ready' if has else 'not ready'}",
        )
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            output.say(output.ACTION, str(container.get("image")))
    return is_ready


async def _crds(connection: cluster.Connection) -> Sequence[Document]:
    """All CRDs with the label that ours has, by name."""
    from ocisource.kube import client, resources  # noqa: PLC0415

    crds: resources.Resource[Document] = resources.Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        dict,
        is_namespaced=False,
    )
    found = (await connection.api.list(crds, client.Scope(label_selector=_PART_OF))).items
    return sorted(found, key=lambda each: str(each["metadata"]["name"]))


def distribution(crds: Sequence[Document]) -> str:
    """Whose CRD a cluster has, and of which version if that is told; empty where there is none."""
    found = next((each["metadata"] for each in crds if each["metadata"]["name"] == _CRD), None)
    if found is None:
        return ""
    labels = found.get("labels") or {}
    return "-".join(filter(None, (labels.get(_NAME, "flux"), labels.get(_VERSION_LABEL))))


def _tell_crds(crds: Sequence[Document]) -> bool:
    """Whether our CRD is there; all of the same label are shown."""
    output.say(output.ACTION, "checking crds")
    if not crds:
        output.say(output.FAILURE, f"no crds found with the label selector '{_PART_OF}'")
        return False
    names = set()
    for crd in crds:
        name = str(crd["metadata"]["name"])
        names.add(name)
        stored = (crd.get("status") or {}).get("storedVersions") or ["none"]
        output.say(output.SUCCESS, f"{name}/{stored[-1]}")
    if _CRD not in names:
        output.say(output.FAILURE, f"{_CRD}: not found")
    return _CRD in names
