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


def test_pieces_from_the_file_end_where_the_reader_s_blocks_do(tmp_path: pathlib.Path) -> None:
    """After a first piece that fills the block begun, each is a block; the last is the rest."""
    with spool.Spool(tmp_path, memory_bound=0) as held:
        for start in range(0, len(DATA), WINDOW):
            held.add(DATA[start : start + WINDOW])
        lengths = [len(piece) for piece in held.pieces(512, 3 * WINDOW, first=1000)]
        assert lengths == [1000, WINDOW, WINDOW, WINDOW - 1000]
        # A header may have filled the block already.
        assert b"".join(held.pieces(512, 3 * WINDOW, first=-24)) == DATA[512 : 512 + 3 * WINDOW]


def test_a_temporary_file_cut_short_is_a_storage_error(tmp_path: pathlib.Path) -> None:
    """Nobody else should touch it; if somebody does, nothing is packed from what is left."""
    with spool.Spool(tmp_path, memory_bound=0) as held:
        held.add(DATA[:WINDOW])
        with pytest.raises(errors.StorageError, match="cut short"):
            held.data(WINDOW - 100, 200)
