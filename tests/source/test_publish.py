"""From a layer to a stored artifact: staged in a packer's thread, then committed, or neither."""

import asyncio
import errno
import hashlib
import io
import os
import pathlib
import threading
from collections.abc import AsyncIterator

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.archive import limits
from ocisource.oci.grammar import manifest, reference
from ocisource.source import publish, wanted, workers
from ocisource.storage import store
from tests.archive import layers
from tests.storage import shelf

_LAYER = layers.layer(*layers.tree({"a.yaml": b"a: b\n", "b.jpg": b"", "c/d.txt": b"d"}))


@pytest.fixture
async def publisher(tmp_path: pathlib.Path) -> AsyncIterator[publish.Publisher]:
    """A publisher for an empty store."""
    pools = workers.Workers(packers=1, blocking=1)
    local = shelf.create(tmp_path / "store")
    yield publish.Publisher(store=local, workers=pools, limits=limits.Limits(), spool_dir=tmp_path)
    await pools.close()
    local.close()


def _want(*, is_copied: bool = False, ignore: str | None = None) -> wanted.Wanted:
    return wanted.Wanted(
        repository=reference.Repository.parse("localhost/apps/podinfo"),
        platform=manifest.Platform.parse("linux/amd64"),
        is_copied=is_copied,
        ignore=ignore,
    )


def _local(publisher: publish.Publisher) -> store.LocalStore:
    assert isinstance(publisher.store, store.LocalStore)
    return publisher.store


async def _published(publisher: publish.Publisher, want: wanted.Wanted) -> store.StoredFile:
    staged = await publisher.stage(io.BytesIO(_LAYER), want)
    return (await publisher.commit(staged, path=shelf.PATH, note="told again")).stored


async def test_a_layer_becomes_a_stored_file_and_the_latest(publisher: publish.Publisher) -> None:
    """Its record has the digest and size of the file, and the caller's note."""
    stored = await _published(publisher, _want())
    target = _local(publisher)
    data = (target.root / shelf.PATH).read_bytes()
    assert stored.digest == digests.Digest.of(data)
    assert stored.size == len(data)
    assert target.stored(shelf.PATH) == stored
    assert stored.note == "told again"
    assert (target.root / shelf.FOLDER / publish.LATEST).read_bytes() == data


async def test_what_was_left_out_is_told(publisher: publish.Publisher) -> None:
    """Entries written and skipped, by kind."""
    staged = await publisher.stage(io.BytesIO(_LAYER), _want())
    assert (staged.entries, staged.skipped) == (4, {"ignored": 1})
    await publisher.discard(staged)
    assert shelf.leftovers(_local(publisher)) == []


async def test_a_copied_layer_is_the_layer(publisher: publish.Publisher) -> None:
    """Byte for byte, whatever it is."""
    stored = await _published(publisher, _want(is_copied=True, ignore="*"))
    assert stored.digest.hex == hashlib.sha256(_LAYER).hexdigest()


@pytest.mark.parametrize("is_copied", [True, False])
async def test_a_full_disk_leaves_the_old_artifact_and_nothing_else(
    publisher: publish.Publisher, monkeypatch: pytest.MonkeyPatch, *, is_copied: bool
) -> None:
    """The error says what to do; what was served before is served still."""
    old = await _published(publisher, _want(ignore="c"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(errors.StorageError, match="no space left on device; free some space"):
            await publisher.stage(io.BytesIO(_LAYER), _want(is_copied=is_copied))
    target = _local(publisher)
    assert target.check(shelf.PATH, old.digest) is store.Health.OK
    assert shelf.leftovers(target) == []


@pytest.mark.parametrize(
    ("layer", "error", "text"),
    [
        (b"no layer at all", errors.CorruptArchiveError, "requires gzip-compressed body"),
        (_LAYER[:-12], errors.CorruptArchiveError, "tar error: unexpected EOF"),
        (layers.layer(layers.entry(b"../x", b"")), errors.UnsafeEntryError, r"\.\./x"),
    ],
    ids=["no layer", "cut short", "climbing"],
)
async def test_a_bad_layer_leaves_nothing(
    layer: bytes, error: type[Exception], text: str, publisher: publish.Publisher
) -> None:
    """Not even what was packed before the damage came."""
    with pytest.raises(error, match=text):
        await publisher.stage(io.BytesIO(layer), _want())
    assert shelf.leftovers(_local(publisher)) == []


@pytest.mark.parametrize("is_copied", [True, False])
async def test_a_layer_that_cannot_be_read_is_a_storage_error(
    publisher: publish.Publisher, *, is_copied: bool
) -> None:
    """Its temporary file lies on a disk that fails."""

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(errors.StorageError, match="failed to read the layer: input/output error"):
        await publisher.stage(Broken(_LAYER), _want(is_copied=is_copied))
    assert shelf.leftovers(_local(publisher)) == []


@pytest.mark.parametrize("is_copied", [True, False])
async def test_a_layer_nobody_waits_for_is_given_up(
    publisher: publish.Publisher, *, is_copied: bool
) -> None:
    """Cancelled while the layer is read: the thread ends at the next block and leaves nothing."""
    is_read, may_go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            is_read.set()
            may_go_on.wait()
            return super().read(size)

    waiting = asyncio.create_task(publisher.stage(Slow(_LAYER), _want(is_copied=is_copied)))
    await asyncio.to_thread(is_read.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_go_on.set()
    await publisher.workers.close()
    assert shelf.leftovers(_local(publisher)) == []


async def test_a_folder_that_cannot_be_made_is_told_before_packing(
    publisher: publish.Publisher,
) -> None:
    """A file stands where the folder should be."""
    (_local(publisher).root / "ocirepository").write_bytes(b"")
    with pytest.raises(errors.StorageError, match="failed to create 'ocirepository/apps/podinfo'"):
        await publisher.prepare("ocirepository/apps/podinfo")
