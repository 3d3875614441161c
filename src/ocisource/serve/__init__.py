"""The composition root: settings and a cluster in, a running source controller out.

Nothing below knows how the parts are put together, and nothing here decides anything else::

    running     what a controller lives by: store, file server, registries, clouds, events
    assembly    informers, queue and workers around one reconciler
    background  parts that run beside one another
    checks      what must be so before anything starts
"""

from ocisource.serve.assembly import DRAIN_GRACE, FLUSH_GRACE
from ocisource.serve.checks import RUNTIME_NAMESPACE, check, ocirepositories
from ocisource.serve.running import DOWNLOAD_GRACE, Running, controller

__all__ = [
    "DOWNLOAD_GRACE",
    "DRAIN_GRACE",
    "FLUSH_GRACE",
    "RUNTIME_NAMESPACE",
    "Running",
    "check",
    "controller",
    "ocirepositories",
]
