"""A store on a temporary folder."""

import pathlib
from collections.abc import Iterator

import pytest

from ocisource.storage import store
from tests.storage import shelf


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
