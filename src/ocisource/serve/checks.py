"""What must be so for a controller to work: settings that fit, a definition that is there."""

import os
from typing import Final

from ocisource import errors, settings
from ocisource.api import ocirepository
from ocisource.kube import client, resources
from ocisource.oci.grammar import manifest

RUNTIME_NAMESPACE: Final = "RUNTIME_NAMESPACE"


def check(chosen: settings.Settings) -> None:
    """Raise UsageError for settings with which a controller could never work.

    A standby is to learn so at its start, and not when it comes to lead.
    """
    manifest.Platform.parse(chosen.platform)
    if not chosen.watch_all_namespaces:
        runtime_namespace()
    if not chosen.storage_path.is_dir():
        raise errors.UsageError(
            f"--storage-path {chosen.storage_path}: no such folder; make it, or name another"
        )


async def ocirepositories(
    api: client.Client,
) -> resources.Resource[ocirepository.OCIRepository]:
    """The resource in the newest version that the cluster serves.

    Raises UsageError when the CustomResourceDefinition is not there.
    """
    known = await api.versions(ocirepository.GROUP)
    for version in ocirepository.VERSIONS:
        if version in known and ocirepository.PLURAL in await api.discover(
            ocirepository.GROUP, version
        ):
            return resources.Resource(
                ocirepository.GROUP,
                version,
                ocirepository.PLURAL,
                ocirepository.KIND,
                ocirepository.OCIRepository,
            )
    # Imported here: it reads YAML, which a Pod can do without.
    from ocisource.manifests import load  # noqa: PLC0415

    raise errors.UsageError(
        f"the cluster serves no {ocirepository.PLURAL}.{ocirepository.GROUP} in "
        f"{' or '.join(ocirepository.VERSIONS)}: install the CustomResourceDefinition first "
        f"(kubectl apply -f {load.crd_path()})"
    )


def runtime_namespace() -> str:
    """The namespace that is watched where not all are; raises UsageError where none is named."""
    namespace = os.environ.get(RUNTIME_NAMESPACE, "")
    if not namespace:
        raise errors.UsageError(
            f"--watch-all-namespaces=false needs the namespace in the variable {RUNTIME_NAMESPACE}"
        )
    return namespace
