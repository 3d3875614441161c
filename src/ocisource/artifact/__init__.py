"""Artifacts by hand: resolve, pull, build, push, and what else the command line does with them.

This is the public Python API, and the code that ``ocisource push|pull|… artifact`` runs.

- ``remote``: which repository, as whom; resolve, list, tag
- ``building``: pack a folder or file
- ``pushing``, ``pulling``: to a registry, from a registry
- ``comparing``: which files differ
"""

from ocisource.artifact.building import Built, build
from ocisource.artifact.pulling import Pulled, pull
from ocisource.artifact.pushing import Pushed, push
from ocisource.artifact.remote import Resolved, access, resolve

__all__ = ["Built", "Pulled", "Pushed", "Resolved", "access", "build", "pull", "push", "resolve"]
