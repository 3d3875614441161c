"""A store on a temporary folder."""

import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from ocisource.storage import fileserver, store
from tests.storage import shelf

Serve = Callable[..., Awaitable[tuple[str, int]]]


@pytest.fixture
def clock() -> shelf.Clock:
    """The store's clock."""
    return shelf.Clock()


@pytest.fixture
def local(tmp_path: pathlib.Path, clock: shelf.Clock) -> Iterator[store.LocalStore]:
    """An empty store."""
    target = shelf.create(tmp_path / "store", clock)
    yield target
    target.close()


@pytest.fixture
async def serve(local: store.LocalStore) -> AsyncIterator[Serve]:
    """A way to start file servers for the store with settings of their own."""
    running: list[fileserver.FileServer] = []

    async def start(**options: Any) -> tuple[str, int]:
        server = fileserver.FileServer(local, **options)
        running.append(server)
        return await server.start("127.0.0.1", 0)

    yield start
    for server in running:
        await server.stop(grace=5.0)


@pytest.fixture
async def address(serve: Serve) -> tuple[str, int]:
    """The address of a file server with default settings."""
    return await serve()
