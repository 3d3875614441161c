"""Discovery: what the server serves, in the older documents and in the aggregated one.

Aggregated discovery is ``apidiscovery.k8s.io`` (KEP-3352): one list for ``/api``, one for
``/apis``. The older form is one document per group and version.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.forms import negotiation

VERSION = {
    # What clients take for the level of the API: they refuse servers that look too old.
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+ocisource",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2024-12-11T17:59:15Z",
    "goVersion": "go1.23.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_FINALIZE_VERBS = ("update",)
_TOKEN_VERBS = ("create",)
_TOKEN_KIND = {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}

Document = dict[str, Any]


def aggregated(registry: resources.Registry, form: negotiation.Form, *, is_core: bool) -> Document:
    """The whole of ``/api`` or ``/apis`` as one APIGroupDiscoveryList."""
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None}
            if group
            else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "resources": [
                        _aggregated_resource(resource, version)
                        for resource in _served(registry, group, version)
                    ],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for group, versions in _groups(registry)
        if (group == "") == is_core
    ]
    return {
        "kind": negotiation.DISCOVERY,
        "apiVersion": f"{form.group}/{form.version}",
        "metadata": {},
        "items": items,
    }


def core_versions(address: str) -> Document:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(registry: resources.Registry) -> Document:
    """``/apis``."""
    groups = [_group(group, versions) for group, versions in _groups(registry) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: resources.Registry, name: str) -> Document | None:
    """``/apis/{group}``."""
    versions = registry.groups().get(name)
    if not name or not versions:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(registry: resources.Registry, group_name: str, version: str) -> Document | None:
    """``/api/v1`` and ``/apis/{group}/{version}``."""
    if not registry.has_group_version(group_name, version):
        return None
    entries = [
        entry
        for resource in _served(registry, group_name, version)
        for entry in _entries(resource, version)
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": entries,
    }


def paths(registry: resources.Registry) -> Document:
    """``/``: every path below which something is served."""
    found = {"/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz"}
    found.add("/version")
    for name, versions in registry.groups().items():
        root = f"/apis/{name}" if name else "/api"
        found.add(root)
        found.update(f"{root}/{version}" for version in versions)
    return {"paths": sorted(found)}


def _groups(registry: resources.Registry) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from sorted(registry.groups().items())


def _group(name: str, versions: tuple[str, ...]) -> Document:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _served(
    registry: resources.Registry, group_name: str, version: str
) -> list[resources.Resource]:
    found = (each for each in registry if each.group == group_name and each.version(version))
    return sorted(found, key=lambda each: each.plural)


def _subresources(
    resource: resources.Resource, version: str
) -> Iterator[tuple[str, Mapping[str, str], tuple[str, ...]]]:
    """Name, kind and verbs of each subresource in a version."""
    own = {"group": resource.group, "version": version, "kind": resource.kind}
    served = resource.version(version)
    for name in resource.subresources:
        if name == "status" and served is not None and served.has_status:
            yield name, own, resources.STATUS_VERBS
        elif name == "finalize":
            yield name, own, _FINALIZE_VERBS
        elif name == "token":
            yield name, _TOKEN_KIND, _TOKEN_VERBS


def _aggregated_resource(resource: resources.Resource, version: str) -> Document:
    shown: Document = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.is_namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    below = [
        {"subresource": name, "responseKind": kind, "verbs": list(verbs)}
        for name, kind, verbs in _subresources(resource, version)
    ]
    if below:
        shown["subresources"] = below
    return shown


def _verbs(resource: resources.Resource) -> list[str]:
    # Custom resources list their verbs in the order of apiextensions, not by the alphabet.
    return list(resource.verbs) if resource.is_custom else sorted(resource.verbs)


def _storage_hash(resource: resources.Resource) -> str:
    """A name for the version objects are stored in (``discovery.StorageVersionHash``)."""
    stored = f"{resource.group}/{resource.storage_version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _entries(resource: resources.Resource, version: str) -> Iterator[Document]:
    shown: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced,
        "kind": resource.kind,
        "verbs": _verbs(resource),
        "storageVersionHash": _storage_hash(resource),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    yield shown
    for name, kind, verbs in _subresources(resource, version):
        entry: Document = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.is_namespaced,
        }
        if (kind["group"], kind["version"]) != (resource.group, version):
            entry |= {"group": kind["group"], "version": kind["version"]}
        yield entry | {"kind": kind["kind"], "verbs": list(verbs)}
