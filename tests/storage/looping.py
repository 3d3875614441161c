"""A process that stores and serves until it is killed.

Started as ``python -m tests.storage.looping ROOT SEED``. It does what the controller does with the
store, object after object, as fast as it can, and keeps what the API server would keep: one
*status* file an object, replaced atomically, naming a path and the digest of its bytes. It prints
a line for each step. Serving something else than the status says ends it with exit status 3.
"""

import asyncio
import json
import pathlib
import random
import sys

from ocisource import digest as digests
from ocisource.storage import fileserver, store

OBJECTS = ("ocirepository/apps/one", "ocirepository/apps/two", "ocirepository/infra/three")
_LARGE = 700_000  # bytes; above what the server keeps in memory


class Loop:
    """The objects of one store, changed at random."""

    def __init__(self, root: pathlib.Path, rng: random.Random) -> None:
        self.store = store.LocalStore(root / "store")
        self.statuses = root / "statuses"
        self._rng = rng

    def step(self, folder: str) -> None:
        """One reconcile of one object: now and then it is deleted or its content changes."""
        status = read(self.statuses, folder)
        if status is not None:
            path, digest = status
            if self.store.check(path, digest) is not store.Health.OK:
                raise SystemExit(3)
            self.store.collect(folder, current=path, ttl=0, records=1)
        choice = self._rng.random()
        if choice < 0.1:
            # The finalizer's order: the object is marked first, then its files go.
            self._location(folder).unlink(missing_ok=True)
            self.store.remove_all(folder)
        elif choice < 0.8 or status is None:
            revision = self._rng.randrange(4)
            self._publish(folder, f"{folder}/{revision:064x}.tar.gz")

    def _publish(self, folder: str, path: str) -> None:
        # Few contents, so that they are shared, replaced and come back.
        size = self._rng.choice((1, 5000, _LARGE))
        content = bytes([self._rng.randrange(3)]) * size
        with self.store.stage() as stage:
            for start in range(0, size, 65536):
                stage.write(content[start : start + 65536])
            stored = self.store.publish(stage.finish(), path=path)
        self.store.point_latest(folder, path)
        self._write(folder, path, stored.digest)

    def _location(self, folder: str) -> pathlib.Path:
        return self.statuses / folder.replace("/", "_")

    def _write(self, folder: str, path: str, digest: digests.Digest) -> None:
        location = self._location(folder)
        fresh = location.with_suffix(".new")
        fresh.write_text(json.dumps([path, str(digest)]))
        fresh.replace(location)


def read(statuses: pathlib.Path, folder: str) -> tuple[str, digests.Digest] | None:
    """Path and digest that an object's status names, if it has an artifact."""
    location = statuses / folder.replace("/", "_")
    if not location.exists():
        return None
    path, digest = json.loads(location.read_text())
    return path, digests.Digest.parse(digest)


async def fetch(host: str, port: int, path: str) -> digests.Digest | None:
    """The digest of what the server gives for a path; None when it gives nothing."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return digests.Digest.of(body) if head.startswith(b"HTTP/1.1 200 ") else None


async def main(root: pathlib.Path, seed: int) -> None:
    """Store and serve for ever."""
    rng = random.Random(seed)
    loop = Loop(root, rng)
    await asyncio.to_thread(loop.store.sweep)
    server = fileserver.FileServer(loop.store)
    host, port = await server.start("127.0.0.1", 0)
    while True:
        folder = rng.choice(OBJECTS)
        await asyncio.to_thread(loop.step, folder)
        status = read(loop.statuses, folder)
        if status is not None and await fetch(host, port, status[0]) != status[1]:
            raise SystemExit(3)
        print(folder, flush=True)  # noqa: T201 - the test counts steps


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
