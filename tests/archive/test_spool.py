"""A tar stream held for reading again: memory or file, the same bytes."""

import pathlib
import random

import pytest

from ocisource import errors
from ocisource.archive import spool
from ocisource.archive.compression import WINDOW

DATA = random.Random(7).randbytes(5 * WINDOW + 1234)


@pytest.mark.parametrize("memory_bound", [0, 2 * WINDOW, 100 * WINDOW])
def test_any_piece_is_read_back(memory_bound: int, tmp_path: pathlib.Path) -> None:
    """Small and large, within a window and across several, from memory and from the file."""
    rng = random.Random(memory_bound)
    with spool.Spool(tmp_path, memory_bound=memory_bound) as held:
        for start in range(0, len(DATA), WINDOW):
            held.add(DATA[start : start + WINDOW])
        for _ in range(300):
            size = rng.choice([0, 1, 2047, 2049, 65_536, rng.randrange(4 * WINDOW)])
            offset = rng.randrange(len(DATA) - size)
            wanted = DATA[offset : offset + size]
            assert b"".join(held.pieces(offset, size)) == wanted
            if size <= spool.SMALL:
                assert bytes(held.data(offset, size)) == wanted
    assert list(tmp_path.iterdir()) == []


def test_memory_is_filled_before_a_file_is_made(tmp_path: pathlib.Path) -> None:
    """Two windows fit into two windows' bound, the third does not."""
    with spool.Spool(tmp_path / "none", memory_bound=2 * WINDOW) as held:
        held.add(bytes(WINDOW))
        held.add(bytes(WINDOW))
        with pytest.raises(errors.StorageError, match="failed to spool the layer"):
            held.add(bytes(WINDOW))


def test_a_full_disk_is_a_storage_error() -> None:
    """Written through to a device that is always full."""
    with (
        pathlib.Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(errors.StorageError, match="no space left on device; make room"),
    ):
        spool.write(full, b"data")
