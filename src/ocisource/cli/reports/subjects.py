"""What events are about: objects of the toolkit's kinds, and the sources that they use.

Only the reference of an object's spec is read, so that no other type of the toolkit is needed.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping

from ocisource import errors
from ocisource.api import ocirepository

if typing.TYPE_CHECKING:
    from ocisource.cli import cluster

_CHART = "HelmChart"

Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """An object, or all of a kind ("" as its name), in a namespace or in all of them ("")."""

    kind: str
    name: str
    namespace: str

    @property
    def field_selector(self) -> str:
        """What selects the events about it among those of its namespace."""
        fields = (("kind", self.kind), ("name", self.name))
        return ",".join(f"involvedObject.{key}={text}" for key, text in fields if text)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """A kind whose objects use another one, in ``spec`` under one of the paths.

    ``used`` is that other kind where the reference does not say so itself.
    """

    group: str
    plural: str
    paths: tuple[tuple[str, ...], ...]
    used: str = ""
    is_across_namespaces: bool = True


_USERS: Mapping[str, _User] = {
    "Kustomization": _User(
        group="kustomize.toolkit.fluxcd.io", plural="kustomizations", paths=(("sourceRef",),)
    ),
    "HelmRelease": _User(
        group="helm.toolkit.fluxcd.io",
        plural="helmreleases",
        paths=(("chartRef",), ("chart", "spec", "sourceRef")),
    ),
    _CHART: _User(group=ocirepository.GROUP, plural="helmcharts", paths=(("sourceRef",),)),
    "Alert": _User(
        group="notification.toolkit.fluxcd.io",
        plural="alerts",
        paths=(("providerRef",),),
        used="Provider",
        is_across_namespaces=False,
    ),
    "ImagePolicy": _User(
        group="image.toolkit.fluxcd.io",
        plural="imagepolicies",
        paths=(("imageRepositoryRef",),),
        used="ImageRepository",
    ),
}


async def used_by(connection: "cluster.Connection", subject: Subject) -> tuple[Subject, ...]:
    """The objects that this one refers to in its spec, such as a Kustomization's source.

    Raises APIStatusError when the object, or its kind, is not there or must not be read.
    """
    user = _USERS.get(subject.kind)
    if user is None or not subject.name:
        return ()
    from ocisource.kube import resources  # noqa: PLC0415

    versions = await connection.api.versions(user.group)
    if not versions:
        raise errors.APIStatusError(f"the cluster has no kind {subject.kind}", code=404)
    resource: resources.Resource[Document] = resources.Resource(
        user.group, versions[0], user.plural, subject.kind, Document
    )
    obj = await connection.api.get(resource, subject.name, namespace=subject.namespace)
    return tuple(_used(user, subject, obj.get("spec") or {}))


def _used(user: _User, subject: Subject, spec: Document) -> Iterator[Subject]:
    for path in user.paths:
        found: typing.Any = spec
        for key in path:
            found = (found.get(key) if isinstance(found, dict) else None) or {}
        if not isinstance(found, dict) or not found.get("name"):
            continue
        own = found.get("namespace") if user.is_across_namespaces else ""
        namespace = str(own or subject.namespace)
        yield Subject(str(found.get("kind") or user.used), str(found["name"]), namespace)
        if path[0] == "chart":
            # The HelmChart that helm-controller makes of it, beside its source.
            yield Subject(_CHART, f"{subject.namespace}-{subject.name}", namespace)
