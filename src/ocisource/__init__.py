"""A source controller for OCI repositories: Flux's OCIRepository API, with or without a cluster.

As a library, the same pipeline once, without any cluster::

    import asyncio
    import ocisource

    pulled = asyncio.run(ocisource.pull("oci://ghcr.io/org/app:v1", "app/"))

``resolve``, ``pull``, ``build``, ``push`` and ``access`` live in ``ocisource.artifact`` and are
imported when they are first used, so that ``import ocisource`` costs next to nothing.
"""

import importlib
import typing

from ocisource.version import VERSION as __version__  # noqa: N811 - the name everybody looks for

if typing.TYPE_CHECKING:
    from ocisource.artifact import (
        Built,
        Pulled,
        Pushed,
        Resolved,
        access,
        build,
        pull,
        push,
        resolve,
    )

__all__ = [
    "Built",
    "Pulled",
    "Pushed",
    "Resolved",
    "__version__",
    "access",
    "build",
    "pull",
    "push",
    "resolve",
]


def __getattr__(name: str) -> typing.Any:
    if name in __all__:
        return getattr(importlib.import_module("ocisource.artifact"), name)
    raise AttributeError(f"module 'ocisource' has no attribute '{name}'")
