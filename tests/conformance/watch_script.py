"""Watches: what a stream says of a row of changes, told by one server."""

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance import http_script, subjects

GROUP = "raw.example.com"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_LINE_BYTES = 1 << 20
# A stream is read to its end; the server ends it after this time.
_STREAM_SECONDS = "1"


class Scene:
    """One server, one namespace, and the widgets in it."""

    def __init__(self, subject: subjects.Subject, namespace: str) -> None:
        self.subject = subject
        self.namespace = namespace
        self.path = f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets"

    def send(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """Send a request that must succeed."""
        data = None if body is None else json.dumps(body).encode()
        every = http_script.authorization(self.subject) | {"Content-Type": "application/json"}
        answer = http_script.request(
            self.subject, method, path, data, headers=every | _renamed(headers)
        )
        assert answer.status < http.client.BAD_REQUEST, answer.body
        decoded: dict[str, Any] = json.loads(answer.body)
        return decoded

    def create(self, name: str, **labels: str) -> str:
        """Make a widget; returns its version."""
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Widget",
            "metadata": {"name": name, "labels": labels},
            "spec": {"size": 1},
        }
        return str(self.send("POST", self.path, body)["metadata"]["resourceVersion"])

    def patch(self, name: str, body: object) -> str:
        """Change a widget; returns its version."""
        kind = "application/merge-patch+json"
        answer = self.send("PATCH", f"{self.path}/{name}", body, content_type=kind)
        return str(answer["metadata"]["resourceVersion"])

    def delete(self, name: str) -> None:
        """Delete a widget."""
        self.send("DELETE", f"{self.path}/{name}")

    def version(self) -> str:
        """The version of a list."""
        return str(self.send("GET", self.path)["metadata"]["resourceVersion"])

    @contextlib.contextmanager
    def watch(self, *, accept: str = "application/json", **query: str) -> Iterator["Stream"]:
        """Begin to watch; ``query`` holds the parameters beside ``watch``."""
        parameters = {"watch": "true", "timeoutSeconds": _STREAM_SECONDS, **query}
        path = f"{self.path}?{urllib.parse.urlencode(parameters)}"
        connection = http_script.connect(self.subject)
        headers = http_script.authorization(self.subject) | {
            "Accept": accept,
            "User-Agent": http_script.AGENT,
        }
        try:
            connection.request("GET", path, headers=headers)
            yield Stream(connection.getresponse(), self.namespace)
        finally:
            connection.close()


class Stream:
    """The answer to a watch."""

    def __init__(self, response: http.client.HTTPResponse, namespace: str) -> None:
        self.status = response.status
        self._response = response
        self._namespace = namespace

    def events(self) -> list[Any]:
        """The masked events, to the end of the stream."""
        return list(self._lines())

    def _lines(self) -> Iterator[Any]:
        while line := self._response.readline(_LINE_BYTES):
            text = line.decode().replace(self._namespace, "$N")
            yield http_script.mask_value(json.loads(text))


def _renamed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def _brief(events: list[Any]) -> list[str]:
    """Type and name of each event."""
    return [f"{each['type']} {each['object']['metadata'].get('name', '')}" for each in events]


def changes(scene: Scene) -> Any:
    """A watch from a list's version tells what came after it, each change once and whole."""
    start = scene.version()
    scene.create("w1", tier="gold")
    scene.patch("w1", {"spec": {"size": 2}})
    scene.create("w2")
    scene.delete("w2")
    with scene.watch(resourceVersion=start) as stream:
        return stream.events()


def live_changes(scene: Scene) -> Any:
    """A watch tells changes made while it runs."""
    with scene.watch(resourceVersion=scene.version()) as stream:
        scene.create("w3")
        scene.delete("w3")
        return _brief(stream.events())


def from_any_version(scene: Scene) -> Any:
    """Version 0: what is there is added first."""
    with scene.watch(resourceVersion="0") as stream:
        return sorted(_brief(stream.events()))


def from_no_version(scene: Scene) -> Any:
    """No version: what is there is added first."""
    with scene.watch() as stream:
        return sorted(_brief(stream.events()))


def one_object(scene: Scene) -> Any:
    """A field selector by name sees nothing of the others."""
    start = scene.version()
    scene.create("w4")
    scene.create("w5")
    with scene.watch(resourceVersion=start, fieldSelector="metadata.name=w5") as stream:
        scene.patch("w4", {"spec": {"size": 3}})
        scene.patch("w5", {"spec": {"size": 3}})
        return _brief(stream.events())


def by_label(scene: Scene) -> Any:
    """An object that enters the selection is added, one that leaves it deleted."""
    with scene.watch(resourceVersion=scene.version(), labelSelector="tier=lead") as stream:
        scene.patch("w4", {"metadata": {"labels": {"tier": "lead"}}})
        scene.patch("w4", {"spec": {"size": 4}})
        scene.patch("w4", {"metadata": {"labels": {"tier": "zinc"}}})
        scene.patch("w4", {"spec": {"size": 5}})
        scene.patch("w4", {"metadata": {"labels": {"tier": "lead"}}})
        scene.delete("w4")
        return _brief(stream.events())


def as_tables(scene: Scene) -> Any:
    """Tables in the stream: the columns come with the first one."""
    start = scene.version()
    scene.create("w6")
    scene.patch("w6", {"spec": {"size": 7}})
    with scene.watch(resourceVersion=start, accept=_TABLE) as stream:
        return stream.events()


def as_metadata(scene: Scene) -> Any:
    """Metadata alone."""
    start = scene.version()
    scene.patch("w6", {"spec": {"size": 8}})
    with scene.watch(resourceVersion=start, accept=_PARTIAL) as stream:
        return stream.events()


def finalizers(scene: Scene) -> Any:
    """A deletion that waits is a modification first, and the deletion at its end."""
    start = scene.version()
    scene.patch("w6", {"metadata": {"finalizers": ["example.com/hold"]}})
    scene.delete("w6")
    scene.patch("w6", {"metadata": {"finalizers": None}})
    with scene.watch(resourceVersion=start) as stream:
        return [
            f"{each['type']} {each['object']['metadata'].get('finalizers')} "
            f"{'deletionTimestamp' in each['object']['metadata']}"
            for each in stream.events()
        ]


def collection_deleted(scene: Scene) -> Any:
    """Each object of a deleted collection is told."""
    start = scene.version()
    scene.send("DELETE", scene.path)
    with scene.watch(resourceVersion=start) as stream:
        return sorted(_brief(stream.events()))


def a_bad_version(scene: Scene) -> Any:
    """A version that is no number."""
    with scene.watch(resourceVersion="x") as stream:
        return stream.status, stream.events()


def a_bad_selector(scene: Scene) -> Any:
    """A selector nobody can read."""
    with scene.watch(labelSelector="a b c") as stream:
        return stream.status, stream.events()


def not_acceptable(scene: Scene) -> Any:
    """A form nobody writes."""
    with scene.watch(accept="text/csv") as stream:
        return stream.status


def the_older_path(scene: Scene) -> Any:
    """``/watch/`` in the path instead of a parameter."""
    scene.create("w7")
    path = scene.path
    scene.path = path.replace("/v1/", "/v1/watch/")
    try:
        with scene.watch(resourceVersion="0") as stream:
            return stream.status, _brief(stream.events())
    finally:
        scene.path = path


SCENES = (
    changes,
    live_changes,
    from_any_version,
    from_no_version,
    one_object,
    by_label,
    as_tables,
    as_metadata,
    finalizers,
    collection_deleted,
    a_bad_version,
    a_bad_selector,
    not_acceptable,
    the_older_path,
)
