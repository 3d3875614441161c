"""Kubeconfig files: which apply, reading them with bounds, and merging them.

An explicit file stands alone; else ``KUBECONFIG`` is a list of files, of which the first that sets
a value wins and missing ones are passed over; else ``~/.kube/config`` (client-go,
``tools/clientcmd``). No error quotes a file's content, because it holds credentials.
"""

import contextlib
import dataclasses
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence

import yaml

from ocisource import errors
from ocisource.wire import yamltext

MAX_FILE_BYTES = 16 * 1024 * 1024  # of a kubeconfig file

Document = dict[str, typing.Any]


def find_files(path: pathlib.Path | None, environ: Mapping[str, str]) -> tuple[pathlib.Path, ...]:
    """The kubeconfig files that apply; raises UsageError for a named file that is not there."""
    if path is not None:
        if not _may_be_there(path):
            raise errors.UsageError(f'kubeconfig "{path}": no such file')
        return (path,)
    if listed := environ.get("KUBECONFIG", ""):
        named = [pathlib.Path(part) for part in listed.split(os.pathsep) if part]
        found = tuple(file for file in named if _may_be_there(file))
        if not found:
            raise errors.UsageError(f'KUBECONFIG names no file that exists: "{listed}"')
        return found
    if home := environ.get("HOME", ""):
        usual = pathlib.Path(home) / ".kube" / "config"
        with contextlib.suppress(OSError):  # a home that is somebody else's has none for us
            if usual.is_file():
                return (usual,)
    return ()


def _may_be_there(path: pathlib.Path) -> bool:
    """Whether there is such a file, be it a pipe or /dev/null, or nobody lets us look."""
    try:
        return path.exists()
    except OSError:
        return True  # read() says why it cannot be had


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A named cluster, user or context, and the folder its paths are relative to."""

    value: Document
    folder: pathlib.Path


def read(path: pathlib.Path) -> Document:
    """One file, its clusters, users and contexts by name; raises UsageError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise errors.UsageError(f'kubeconfig "{path}" is larger than {MAX_FILE_BYTES} bytes')
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except OSError as exc:
        raise errors.UsageError(f'kubeconfig "{path}": {exc.strerror}') from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        if mark and yamltext.has_tab(text.decode(errors="replace"), line=mark.line):
            where += ": a tab in the indentation; YAML takes spaces alone"
        # The error's own text would quote the file, which holds credentials.
        raise errors.UsageError(f'kubeconfig "{path}" is not YAML{where}') from exc
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise errors.UsageError(f'kubeconfig "{path}" is not a mapping')
    found: Document = {"current-context": document.get("current-context") or ""}
    for section, singular in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
        found[section] = _entries(document.get(section), singular=singular, path=path)
    return found


def _entries(listed: object, *, singular: str, path: pathlib.Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    folder = path.absolute().parent  # of a link, not of what it leads to, as for kubectl
    items: Sequence[typing.Any] = listed if isinstance(listed, list) else []
    if listed and not isinstance(listed, list):
        raise errors.UsageError(f'kubeconfig "{path}": {singular}s is not a list')
    for item in items:
        value = item.get(singular) if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(value or {}, dict):
            raise errors.UsageError(f'kubeconfig "{path}": an entry of {singular}s is no mapping')
        name = str(item.get("name", ""))
        entries.setdefault(name, Entry(value or {}, folder))
    return entries


def merge(documents: Sequence[Document]) -> Document:
    """All files as one; the first that sets a value wins."""
    merged: Document = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for document in documents:
        merged["current-context"] = merged["current-context"] or document["current-context"]
        for section in ("clusters", "users", "contexts"):
            merged[section] = document[section] | merged[section]
    return merged
