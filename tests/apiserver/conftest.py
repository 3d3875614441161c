"""An embedded API server for each test, and a client that shows its bare answers."""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import pytest
import yaml
import yarl

from ocisource.apiserver import server
from ocisource.apiserver.history import store

JSON = "application/json"
MERGE = "application/merge-patch+json"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

Document = dict[str, Any]

_PATIENCE_SECONDS = 30.0  # for what happens in milliseconds on an idle machine
_POLL_SECONDS = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def doc(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Document]:
        """The body of a watch."""
        return [json.loads(line) for line in self.body.splitlines()]


@dataclasses.dataclass(slots=True)
class Client:
    """Sends requests as the user of a kubeconfig."""

    session: aiohttp.ClientSession
    address: str
    token: str

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; text and bytes are sent as they are, anything else as JSON."""
        data = body if isinstance(body, bytes | str) or body is None else json.dumps(body)
        sent = {"Accept": accept, "Authorization": f"Bearer {token or self.token}"}
        if data is not None:
            sent["Content-Type"] = content_type
        url = yarl.URL(self.address + path, encoded=True)
        async with self.session.request(
            method, url, data=data, headers={**sent, **(headers or {})}
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, *, accept: str = JSON) -> Answer:
        """GET."""
        return await self.send("GET", path, accept=accept)

    async def create(self, path: str, obj: Document) -> Document:
        """POST that must succeed."""
        answer = await self.send("POST", path, obj)
        assert answer.status == 201, answer.body
        created: Document = answer.doc
        return created

    async def patch(self, path: str, patch: Any, *, content_type: str = MERGE) -> Answer:
        """PATCH."""
        return await self.send("PATCH", path, patch, content_type=content_type)

    @contextlib.asynccontextmanager
    async def watch(self, path: str, *, accept: str = JSON) -> AsyncIterator["Watch"]:
        """An open watch."""
        headers = {"Accept": accept, "Authorization": f"Bearer {self.token}"}
        url = yarl.URL(self.address + path, encoded=True)
        async with self.session.get(url, headers=headers) as answer:
            assert answer.status == 200, await answer.read()
            yield Watch(answer)


@dataclasses.dataclass(slots=True)
class Watch:
    """The lines of an open watch."""

    answer: aiohttp.ClientResponse

    async def next(self) -> Document:
        """The next line."""
        line: Document = json.loads(await self.answer.content.readline())
        return line

    async def seen(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next lines."""
        lines = [await self.next() for _ in range(count)]
        return [(line["type"], line["object"]["metadata"].get("name", "")) for line in lines]

    async def is_over(self) -> bool:
        """Whether the server has ended the watch."""
        return await self.answer.content.readline() == b""


@dataclasses.dataclass(slots=True)
class Api(Client):
    """A running server and its administrator."""

    running: server.Running
    data_dir: pathlib.Path

    def reader_token(self) -> str:
        """The token of the user who may only look."""
        return token_of(self.data_dir / "kubeconfig.readonly")


def store_of(api: Api) -> store.Store:
    """The store behind a server: five minutes of history are too long for a test."""
    callbacks = api.running._stack._exit_callbacks  # type: ignore[attr-defined]
    owners = (getattr(each[1], "__wrapped__", each[1]) for each in callbacks)
    bound = (getattr(each, "__self__", None) for each in owners)
    return next(each for each in bound if isinstance(each, store.Store))


def token_of(path: pathlib.Path) -> str:
    """The token in a kubeconfig."""
    token: str = yaml.safe_load(path.read_text())["users"][0]["user"]["token"]
    return token


@contextlib.asynccontextmanager
async def started(data_dir: pathlib.Path, **options: Any) -> AsyncIterator[Api]:
    """A server on a data folder, stopped at the end."""
    running = await server.serve(data_dir, **options)
    try:
        context = ssl.create_default_context(cafile=str(data_dir / "pki" / "ca.crt"))
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            token = token_of(running.kubeconfig_path)
            yield Api(session, running.address, token, running, data_dir)
    finally:
        await running.stop()


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractAsyncContextManager[Api]]:
    """What starts servers of a test's own, as asynchronous context managers."""
    return started


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Api]:
    """A server that serves widgets beside the built-in kinds."""
    async with started(tmp_path / "data", manifests=[widget_definition()]) as api:
        yield api


async def until(condition: Callable[[], object]) -> None:
    """Wait until something that is about to happen has happened."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what happens is elsewhere
            await asyncio.sleep(_POLL_SECONDS)


async def until_status(api: Client, path: str, status: int) -> Answer:
    """Ask again until a path answers with a status."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (answer := await api.get(path)).status != status:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
    return answer


def config_map(name: str, **more: Any) -> Document:
    """A ConfigMap; ``more`` are members beside its metadata."""
    metadata = more.pop("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        **more,
    }


def widget(name: str, *, size: int = 1, **metadata: Any) -> Document:
    """A Widget."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, **metadata},
        "spec": {"size": size},
    }


def widget_definition() -> Document:
    """A definition with two served versions, a status, a default and a column."""
    schema = {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": {"type": "integer", "minimum": 1},
                        "color": {"type": "string", "default": "red"},
                    },
                },
                "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
            },
        }
    }
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {
                "kind": "Widget",
                "listKind": "WidgetList",
                "plural": "widgets",
                "singular": "widget",
                "shortNames": ["wd"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": name == "v1",
                    "schema": schema,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
                for name in ("v1beta1", "v1")
            ],
        },
    }
