"""Artifacts by hand: resolve, pull, build, push, and what else the command line does with them.

This is the public Python API, and the code that ``ocisource push|pull|… artifact`` runs.

- ``remote``: which repository, as whom; resolve, list, tag
- ``building``: pack a folder or file
- ``pushing``, ``pulling``: to a registry, from a registry
- ``comparing``: which files differ

Names are imported when they are first used: building needs no registry client.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from ocisource.artifact.building import Built, build
    from ocisource.artifact.pulling import Pulled, pull
    from ocisource.artifact.pushing import Pushed, push
    from ocisource.artifact.remote import Resolved, access, resolve

__all__ = ["Built", "Pulled", "Pushed", "Resolved", "access", "build", "pull", "push", "resolve"]

_HOMES = {
    "Built": "building",
    "build": "building",
    "Pulled": "pulling",
    "pull": "pulling",
    "Pushed": "pushing",
    "push": "pushing",
    "Resolved": "remote",
    "access": "remote",
    "resolve": "remote",
}


def __getattr__(name: str) -> typing.Any:
    if name in _HOMES:
        home = importlib.import_module(f"ocisource.artifact.{_HOMES[name]}")
        return getattr(home, name)
    raise AttributeError(f"module 'ocisource.artifact' has no attribute '{name}'")
