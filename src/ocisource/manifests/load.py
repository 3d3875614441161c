"""Read the shipped manifests, wherever the package is installed (a folder, a zip).

Every call parses anew and hands out fresh values, so nobody's edits reach anybody else.
"""

import functools
import importlib.resources
import io
import typing

import yaml

CRD: typing.Final = "crd.yaml"

Document: typing.TypeAlias = dict[str, typing.Any]

_PACKAGE = "ocisource.manifests"


@functools.cache
def text(name: str) -> str:
    """The text of a shipped file, such as ``crd.yaml`` or ``monitoring/podmonitor.yaml``.

    Raises FileNotFoundError.
    """
    return importlib.resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def documents(name: str) -> tuple[Document, ...]:
    """The objects of a shipped YAML file, in its order; raises FileNotFoundError."""
    loaded = yaml.load_all(io.StringIO(text(name)), Loader=yaml.CSafeLoader)
    return tuple(each for each in loaded if each is not None)


def crd() -> Document:
    """The CustomResourceDefinition of OCIRepository."""
    (document,) = documents(CRD)
    return document


def crd_path() -> str:
    """Where the CustomResourceDefinition's file is, for ``kubectl apply -f``."""
    return str(importlib.resources.files(_PACKAGE).joinpath(CRD))


def schema(version: str) -> Document:
    """The structural schema of one version, ``v1`` or ``v1beta2``; raises KeyError."""
    for served in crd()["spec"]["versions"]:
        if served["name"] == version:
            found: Document = served["schema"]["openAPIV3Schema"]
            return found
    raise KeyError(version)
