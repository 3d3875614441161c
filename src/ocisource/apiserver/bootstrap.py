"""What a server holds from its first start: the first namespaces, and definitions it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

from ocisource import errors
from ocisource.apiserver import kinds, objects, requests
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import bodies
from ocisource.apiserver.history import records

MANAGER = "ocisource"
NAMESPACES = ("default", "kube-system")


async def ensure_all(written: objects.Objects, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Make the first namespaces and definitions, and renew definitions that have changed."""
    for name in NAMESPACES:
        metadata = {"name": name}
        await _ensure(written, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for manifest in manifests:
        await _ensure(written, manifest)


async def _ensure(written: objects.Objects, manifest: Mapping[str, Any]) -> None:
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    builtin = builtins.find(group, manifest["kind"])
    if builtin is None:
        raise errors.UsageError(f"{manifest['kind']} cannot be among the first manifests")
    kind = kinds.Kind.of(builtin.resource, builtin.resource.versions[0])
    options = requests.WriteOptions(manager=MANAGER, validation="Ignore")
    wanted = bodies.Decoded(_copied(manifest))
    try:
        await written.create(kind, "", wanted, options)
    except errors.APIStatusError as error:
        if error.reason != "AlreadyExists":
            raise
    else:
        return
    if "spec" not in manifest:
        return
    key = records.Key(kind.resource.stored_as, "", manifest["metadata"]["name"])
    update = objects.Update(kind, key, options)
    await written.update(
        update,
        lambda present: bodies.Decoded({**(present or {}), "spec": _copied(manifest)["spec"]}),
    )


def _copied(manifest: Mapping[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = bodies.decode(records.encode_all(manifest), content_type="").value
    return copied
