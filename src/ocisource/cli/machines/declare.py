"""Manifests from files: read, checked, applied one after the other.

A file holds any number of YAML documents; a folder is read file by file in name order (``.yaml``,
``.yml``, ``.json``); ``-`` is standard input. Objects are applied server-side, Namespaces first, so
that a folder can be applied in one go.
"""

import dataclasses
import pathlib
import sys
import typing
from collections.abc import Iterable, Iterator

import yaml

from ocisource import errors
from ocisource.api import meta, ocirepository
from ocisource.kube import client, patch, resources
from ocisource.wire import yamltext

MAX_FILE_BYTES = 4 << 20  # of one manifest file
_DEPTH_MAX = 200  # levels; a manifest has a dozen
STDIN = pathlib.Path("-")
_SUFFIXES = (".yaml", ".yml", ".json")
_DEFAULT_NAMESPACE = "default"
_NOT_FOUND = 404

Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """An object as it stands in a file."""

    document: Document
    file: pathlib.Path

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.document["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace, ``default`` unless it names one."""
        return str(self.document["metadata"].get("namespace") or _DEFAULT_NAMESPACE)


# The kinds that a machine without a cluster needs.
_KINDS: dict[tuple[str, str], tuple[str, bool]] = {
    ("v1", "Namespace"): ("namespaces", False),
    ("v1", "Secret"): ("secrets", True),
    ("v1", "ServiceAccount"): ("serviceaccounts", True),
    ("v1", "ConfigMap"): ("configmaps", True),
} | {
    (f"{ocirepository.GROUP}/{version}", ocirepository.KIND): (ocirepository.PLURAL, True)
    for version in ocirepository.VERSIONS
}


def read(paths: Iterable[pathlib.Path]) -> tuple[Declared, ...]:
    """All objects of the files and folders, Namespaces first; raises UsageError.

    A file or folder without any object is refused, and so is an object that is declared twice in
    different ways: which of them counts would be a guess.
    """
    found: dict[tuple[str, str, str], Declared] = {}
    for path in paths:
        here = [declared for file in _files(path) for declared in _documents(file)]
        if not here:
            raise errors.UsageError(f"{path}: no object in it")
        for each in here:
            _refuse_another(found.setdefault(_identity(each), each), each)
    return tuple(sorted(found.values(), key=lambda declared: declared.kind != "Namespace"))


def _identity(declared: Declared) -> tuple[str, str, str]:
    """What makes two documents one object; the versions of an API show the same objects."""
    _, is_namespaced = _KINDS[str(declared.document["apiVersion"]), declared.kind]
    return declared.kind, declared.namespace if is_namespaced else "", declared.name


def _refuse_another(first: Declared, second: Declared) -> None:
    if first.document != second.document:
        raise errors.UsageError(
            f"{second.file}: {second.kind} '{second.name}' is declared twice, differently (first in"
            f" {first.file}): keep one of them"
        )


async def apply(api: client.Client, declared: Iterable[Declared]) -> None:
    """Apply objects in order; raises APIStatusError whose text names the file and the object."""
    for each in declared:
        try:
            await api.patch(
                resource_of(each),
                each.name,
                patch.apply(each.document),
                namespace=each.namespace,
                is_forced=True,
            )
        except errors.APIStatusError as error:
            is_homeless = error.code == _NOT_FOUND and error.details.get("kind") == "namespaces"
            advice = "; declare it as well (kind: Namespace)" if is_homeless else ""
            raise errors.APIStatusError(
                f"{each.file}: {error.text}{advice}", code=error.code, reason=error.reason
            ) from error


def resource_of(declared: Declared) -> resources.Resource[meta.PartialObjectMetadata]:
    """Where in the API an object belongs."""
    api_version = str(declared.document["apiVersion"])
    plural, is_namespaced = _KINDS[api_version, declared.kind]
    group, _, version = api_version.rpartition("/")
    return resources.Resource(
        group,
        version,
        plural,
        declared.kind,
        meta.PartialObjectMetadata,
        is_namespaced=is_namespaced,
        is_metadata_only=True,
    )


def _files(path: pathlib.Path) -> Iterator[pathlib.Path]:
    try:
        if not path.is_dir():
            yield path
            return
        files = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from error
    if not files:
        raise errors.UsageError(f"{path}: no .yaml, .yml or .json file in this folder")
    yield from files


def _documents(file: pathlib.Path) -> Iterator[Declared]:
    text = _text(file)
    try:
        _check_depth(text)
        documents = [each for each in yaml.load_all(text, yaml.CSafeLoader) if each is not None]
    except yaml.YAMLError as error:
        raise errors.UsageError(f"{file}: {_place(error, text)}") from error
    except ValueError as error:  # such as a date that is none
        raise errors.UsageError(f"{file}: cannot be read: {error}") from error
    for document in documents:
        yield _checked(document, file)


def _check_depth(text: str) -> None:
    """Raise ValueError for nesting that the C parser would crash on."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise ValueError(f"nested more than {_DEPTH_MAX} levels deep")


def _text(file: pathlib.Path) -> str:
    try:
        if file == STDIN:
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise errors.UsageError(f"{file}: larger than {MAX_FILE_BYTES} bytes")
        return data.decode()
    except OSError as error:
        raise errors.UsageError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.UsageError(f"{file}: not UTF-8 text") from error


def _checked(document: object, file: pathlib.Path) -> Declared:
    if not isinstance(document, dict):
        raise errors.UsageError(f"{file}: a document is no Kubernetes object")
    kind = (str(document.get("apiVersion", "")), str(document.get("kind", "")))
    metadata = document.get("metadata")
    if kind not in _KINDS:
        versions = [version for version, known in _KINDS if known == kind[1]]
        known = ", ".join(versions or sorted({known for _, known in _KINDS}))
        raise errors.UsageError(
            f"{file}: apiVersion '{kind[0]}', kind '{kind[1]}' cannot be applied here; known "
            f"{'of this kind ' if versions else ''}are {known}"
        )
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise errors.UsageError(f"{file}: a {kind[1]} has no metadata.name")
    return Declared(document, file)


def _place(error: yaml.YAMLError, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "not YAML")
    if mark is None:
        return problem
    return f"line {mark.line + 1}: {yamltext.advice(problem, text, line=mark.line)}"
