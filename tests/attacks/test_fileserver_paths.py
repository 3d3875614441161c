"""Requests that try to reach what the artifact server must not show."""

import asyncio
import pathlib
import random
from collections.abc import AsyncIterator

import pytest

from ocisource.storage import fileserver, store
from tests.storage import shelf, wire

_SECRET = b"root:x:0:0"


@pytest.fixture
def local(tmp_path: pathlib.Path) -> store.LocalStore:
    """A store with an artifact, beside a secret."""
    (tmp_path / "secret").write_bytes(_SECRET)
    (tmp_path / "store-of-others").mkdir()
    (tmp_path / "store-of-others" / "secret").write_bytes(_SECRET)
    local = shelf.create(tmp_path / "store")
    shelf.put(local, b"hello")
    return local


@pytest.fixture
async def address(local: store.LocalStore) -> AsyncIterator[tuple[str, int]]:
    """The server's address."""
    server = fileserver.FileServer(local)
    yield await server.start("127.0.0.1", 0)
    await server.stop()
    local.close()


_TARGETS = [
    "/../secret",
    "/o/../../secret",
    "/ocirepository/apps/podinfo/../../../../secret",
    "/ocirepository/apps/other/../podinfo/" + "a" * 64 + ".tar.gz",
    "/..%2fsecret",
    "/%2e%2e/secret",
    "/%2e%2e%2fsecret",
    "/%252e%252e/secret",
    "/..%5csecret",
    "/..\\secret",
    "/....//secret",
    "/..;/secret",
    "/.%00./secret",
    "/ocirepository%00/../../secret",
    f"/{shelf.PATH}%00",
    f"/{shelf.PATH}%00.txt",
    f"/{shelf.PATH}/..%2f..%2f..%2f..%2fsecret",
    "/%c0%ae%c0%ae/secret",
    "/%uff0e%uff0e/secret",
    "/\u2025/secret",
    "//etc/passwd",
    "/etc/passwd",
    "/%2fetc/passwd",
    "/./etc/passwd",
    "/~root/secret",
    "/store-of-others/secret",
    "/../store-of-others/secret",
    "http://artifacts/../secret",
    "http://artifacts/%2e%2e/secret",
    "file:///etc/passwd",
    "/.ocisource/index.db",
    "/.ocisource/index.db-wal",
    "/%2eocisource/index.db",
    "/.ocisource/lock",
    "/ocirepository/apps/podinfo/.tmp-0123-new",
    "/#/../secret",
    "/?/../secret",
]


@pytest.mark.parametrize("target", _TARGETS)
async def test_no_spelling_of_a_path_leads_out(address: tuple[str, int], target: str) -> None:
    """Every trick with dots, slashes and encodings is answered with nothing of value."""
    async with wire.connected(address) as client:
        client.send(target.encode())
        answer = await client.read()
    assert _SECRET not in answer.body
    assert b"root:" not in answer.body
    assert b"SQLite" not in answer.body
    assert answer.status in {400, 404} or (answer.status, answer.body) == (200, b"")


async def test_the_stores_own_files_are_never_shown(
    address: tuple[str, int], local: store.LocalStore
) -> None:
    """Contents, index, lock, temporary files: all names that begin with a dot."""
    local.sweep()
    (local.root / shelf.FOLDER / ".tmp-x").write_bytes(_SECRET)
    names = [path.relative_to(local.root) for path in local.root.rglob("*") if path.is_file()]
    hidden = [name for name in names if any(part.startswith(".") for part in name.parts)]
    assert len(hidden) >= 4
    for name in hidden:
        assert (await wire.ask(address, f"/{name}")).status == 404


async def test_links_that_lead_out_are_not_followed(
    address: tuple[str, int], local: store.LocalStore, tmp_path: pathlib.Path
) -> None:
    """Relative, absolute, by way of a folder, to a sibling with the same beginning, in a circle."""
    folder = local.root / shelf.FOLDER
    links = {
        "relative": "../../../../secret",
        "absolute": str(tmp_path / "secret"),
        "dotted": f"{local.root}/../secret",
        "sibling": str(tmp_path / "store-of-others" / "secret"),
        "own": "../../../.ocisource/index.db",
        "circle": "circle",
        "chain": "relative",
        "root": "/",
        "up": "..",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (local.root / "mirror").symlink_to(tmp_path)
    (local.root / "inner").symlink_to("ocirepository")
    for name in links:
        answer = await wire.ask(address, f"/{shelf.FOLDER}/{name}")
        assert (answer.status, answer.body) == (404, b"404 page not found\n"), name
    for target in ("/mirror/secret", "/mirror", f"/inner/apps/podinfo/{'a' * 64}.tar.gz"):
        assert (await wire.ask(address, target)).status == 404


async def test_a_link_turned_outwards_after_it_was_served_is_not_followed(
    address: tuple[str, int], local: store.LocalStore, tmp_path: pathlib.Path
) -> None:
    """What is kept in memory does not outlive the link that led to it."""
    latest = local.root / shelf.FOLDER / "latest.tar.gz"
    local.point_latest(shelf.FOLDER, shelf.PATH)
    assert (await wire.ask(address, f"/{shelf.FOLDER}/latest.tar.gz")).body == b"hello"
    latest.unlink()
    latest.symlink_to(tmp_path / "secret")
    assert (await wire.ask(address, f"/{shelf.FOLDER}/latest.tar.gz")).status == 404


async def test_devices_and_pipes_do_not_hang_the_server(
    address: tuple[str, int], local: store.LocalStore
) -> None:
    """Something that is no file, put into the store, is not found."""
    import os

    os.mkfifo(local.root / shelf.FOLDER / "pipe")
    (local.root / shelf.FOLDER / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        assert (await wire.ask(address, f"/{shelf.FOLDER}/{name}")).status == 404


async def test_random_paths_lead_nowhere(address: tuple[str, int]) -> None:
    """Thousands of combinations of dots, slashes and encodings."""
    rng = random.Random(7)
    parts = [
        "..", ".", "/", "//", "%2e", "%2f", "%5c", "\\", "secret", "store", "ocirepository", "apps",
        "%00", "%", "%zz", "?", ";", "a" * 64, ".tar.gz", "%c0%af", "store-of-others", "etc/passwd",
    ]  # fmt: skip
    async with wire.connected(address) as client:
        for _ in range(1500):
            target = "/" + "".join(rng.choices(parts, k=rng.randrange(1, 9)))
            try:
                answer = await client.ask(target.encode())
            except (asyncio.IncompleteReadError, ConnectionError):
                pytest.fail(f"no answer to {target}")
            assert _SECRET not in answer.body
            assert answer.status == 404 or answer.body == b""
