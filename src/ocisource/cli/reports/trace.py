"""`ocisource trace`: which Kustomization or HelmRelease an object is from, and which source.

The labels of kustomize-controller and helm-controller are followed; an object without any is
looked for through its owners.
"""

import typing
from collections.abc import Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, output, shared
from ocisource.cli.reports import report

_APPLIERS = (
    ("Kustomization", "kustomize.toolkit.fluxcd.io", "kustomizations", ("v1", "v1beta2")),
    ("HelmRelease", "helm.toolkit.fluxcd.io", "helmreleases", ("v2", "v2beta1")),
)
_OWNERS_MAX = 16  # owners above each other

Document = dict[str, typing.Any]


@shared.command()
@click.argument("words", nargs=-1, metavar="RESOURCE NAME… | RESOURCE/NAME…")
@click.option("--kind", default="", help="Kind of the object NAME.")
@click.option("--api-version", default="", help="apiVersion of the object NAME.")
@shared.cluster_options
@click.pass_context
def trace(
    ctx: click.Context,
    /,
    *,
    words: Sequence[str],
    kind: str,
    api_version: str,
    chosen: choice.Chosen,
) -> None:
    """Tell which Kustomization or HelmRelease an object is from, and from which source that is.

    \b
    Examples:
      ocisource trace deployment podinfo -n apps
      ocisource trace deployment/podinfo service/podinfo
      ocisource trace podinfo --kind Deployment --api-version apps/v1
    """  # noqa: D301
    wanted = _wanted(words, kind, api_version)

    async def work(connection: cluster.Connection) -> int:
        has_failed = False
        for position, (what, version, name) in enumerate(wanted):
            try:
                place = await _find(connection, what, version)
                text = await _trace(connection, place, name)
            except errors.OcisourceError as error:
                if cluster.is_refused(error):
                    raise
                has_failed = True
                namespace = connection.namespace
                output.say(
                    output.FAILURE,
                    f"failed to trace {what}/{name} in namespace {namespace}: {error.text}",
                )
                continue
            output.write(("---\n" if position else "\n") + output.visible(text))
        return 1 if has_failed else 0

    ctx.exit(cluster.run(chosen, work))


def _wanted(words: Sequence[str], kind: str, api_version: str) -> list[tuple[str, str, str]]:
    """Resource, apiVersion (or "") and name of each object; raises UsageError."""
    if not words:
        raise errors.UsageError("either `<resource>/<name>` or `<resource> <name>` is required")
    if kind or api_version:
        if not (kind and api_version):
            raise errors.UsageError("--kind and --api-version belong together")
        return [(kind, api_version, name) for name in words]
    if "/" in words[0]:
        pairs = [word.partition("/")[::2] for word in words]
    else:
        pairs = [(words[0], name) for name in words[1:]]
    if not pairs or not all(what and name for what, name in pairs):
        raise errors.UsageError("either `<resource>/<name>` or `<resource> <name>` is required")
    return [(what, "", name) for what, name in pairs]


async def _find(connection: cluster.Connection, what: str, api_version: str) -> typing.Any:
    """The resource that a word names: kind, plural, singular or short name, in any case."""
    from ocisource.kube import resources  # noqa: PLC0415

    word, _, group_wanted = what.lower().partition(".")
    for group, version in await _groups(connection, api_version):
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        if group_wanted and not group.startswith(group_wanted):
            continue
        found = await connection.api.document(root)
        for entry in found.get("resources") or ():
            names = (entry.get("kind"), entry.get("name"), entry.get("singularName"))
            known = {str(each).lower() for each in (*names, *(entry.get("shortNames") or ()))}
            if word in known and "/" not in entry["name"]:
                return resources.Resource(
                    group,
                    version,
                    entry["name"],
                    entry["kind"],
                    Document,
                    is_namespaced=bool(entry.get("namespaced")),
                )
    raise errors.APIStatusError(f"the server doesn't have a resource type '{what}'", code=404)


async def _groups(connection: cluster.Connection, api_version: str) -> list[tuple[str, str]]:
    if api_version:
        group, _, version = api_version.rpartition("/")
        return [(group, version)]
    found = await connection.api.document("/apis")
    versions = [("", "v1")]
    for group in found.get("groups") or ():
        preferred = group.get("preferredVersion") or (group.get("versions") or [{}])[0]
        versions.append((str(group.get("name")), str(preferred.get("version"))))
    return versions


async def _trace(connection: cluster.Connection, resource: typing.Any, name: str) -> str:
    namespace = connection.namespace if resource.is_namespaced else ""
    obj = await connection.api.get(resource, name, namespace=namespace)
    applier = await _applier(connection, obj)
    source = await _source(connection, applier)
    return report.trace(f"{resource.kind}/{name}", namespace, applier=applier, source=source)


async def _applier(connection: cluster.Connection, obj: Document) -> Document:
    """The Kustomization or HelmRelease that an object is from; raises APIStatusError."""
    for _ in range(_OWNERS_MAX):
        labels = obj["metadata"].get("labels") or {}
        for kind, group, plural, versions in _APPLIERS:
            name, namespace = labels.get(f"{group}/name"), labels.get(f"{group}/namespace")
            if name and namespace:
                return await _get(connection, (kind, group, plural, versions), name, namespace)
        owners = obj["metadata"].get("ownerReferences") or ()
        if not owners:
            break
        owner = owners[0]
        resource = await _find(connection, owner["kind"], owner["apiVersion"])
        namespace = obj["metadata"].get("namespace", "") if resource.is_namespaced else ""
        obj = await connection.api.get(resource, owner["name"], namespace=namespace)
    raise errors.APIStatusError("object not managed by Flux", code=404)


async def _source(connection: cluster.Connection, applier: Document) -> Document:
    """The source of a Kustomization or HelmRelease."""
    spec = applier.get("spec") or {}
    chart = ((spec.get("chart") or {}).get("spec") or {}).get("sourceRef")
    ref = spec.get("sourceRef") or spec.get("chartRef") or chart
    if not ref:
        raise errors.APIStatusError("no source is referred to", code=404)
    resource = await _find(connection, ref["kind"], ref.get("apiVersion") or "")
    namespace = ref.get("namespace") or applier["metadata"].get("namespace", "")
    found: Document = await connection.api.get(resource, ref["name"], namespace=namespace)
    return found


async def _get(
    connection: cluster.Connection,
    place: tuple[str, str, str, tuple[str, ...]],
    name: str,
    namespace: str,
) -> Document:
    from ocisource.kube import resources  # noqa: PLC0415

    kind, group, plural, versions = place
    served = await connection.api.versions(group)
    version = next((each for each in versions if each in served), versions[0])
    resource: resources.Resource[Document] = resources.Resource(group, version, plural, kind, dict)
    return await connection.api.get(resource, name, namespace=namespace)
