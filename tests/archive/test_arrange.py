"""Ordering entries in runs: in memory, in a file, merged, the last of each name."""

import pathlib
import random

import pytest

from ocisource import errors
from ocisource.archive import arrange, untar


def entries_of(rng: random.Random, count: int, *, names: int) -> list[untar.Entry]:
    """Entries in the order of their offsets; some names come again."""
    return [
        (
            b"d%d\0f%06d" % (rng.randrange(7), rng.randrange(names)),
            512 * number,
            untar.FILE,
            number,
        )
        for number in range(count)
    ]


def ordered(
    entries: list[untar.Entry], folder: pathlib.Path, *, batch: int = 1000
) -> tuple[list[untar.Entry], int]:
    """Entries as they come out, and how many were replaced."""
    with arrange.Entries(folder) as gathered:
        for start in range(0, len(entries), batch):
            gathered.add(entries[start : start + batch])
        found = list(gathered.ordered(is_ordered=False, is_cancelled=lambda: False))
        return found, gathered.repeated


@pytest.mark.parametrize("count", [0, 1, 100, 4096, 10_000, 70_000, 150_000])
def test_any_number_of_entries_is_ordered(count: int, tmp_path: pathlib.Path) -> None:
    """One run, several, and more than memory may hold: sorted, each name once, the last."""
    entries = entries_of(random.Random(count), count, names=count)
    wanted = sorted({entry[0]: entry for entry in entries}.values())
    found, repeated = ordered(entries, tmp_path)
    assert found == wanted
    assert repeated == count - len(wanted)
    assert list(tmp_path.iterdir()) == []


def test_long_names_go_to_the_file_sooner(tmp_path: pathlib.Path) -> None:
    """What is held is bounded in bytes, too."""
    entries = [(b"%05d" % (n * 7 % 9973) + b"n" * 4000, n, untar.FILE, 0) for n in range(9000)]
    assert ordered(entries, tmp_path)[0] == sorted(entries)


def test_entries_that_came_in_order_are_chained(tmp_path: pathlib.Path) -> None:
    """Runs in memory and in the file, one after the other."""
    entries: list[untar.Entry] = [(b"%08d" % n, n, untar.FILE, n) for n in range(80_000)]
    with arrange.Entries(tmp_path) as gathered:
        for start in range(0, len(entries), 777):
            gathered.add(entries[start : start + 777])
        assert list(gathered.ordered(is_ordered=True, is_cancelled=lambda: False)) == entries


def test_a_directory_may_come_twice_and_is_no_replacement(tmp_path: pathlib.Path) -> None:
    """Only files replace files."""
    entries: list[untar.Entry] = [(b"d", 1, untar.DIRECTORY, 0), (b"d", 2, untar.DIRECTORY, 0)]
    found, repeated = ordered(entries, tmp_path)
    assert [entry[0] for entry in found] == [b"d"]
    assert repeated == 0


@pytest.mark.parametrize("kinds", [(0, 2), (2, 0), (1, 2), (2, 1)])
def test_a_file_and_a_directory_of_one_name_are_refused(
    kinds: tuple[int, int], tmp_path: pathlib.Path
) -> None:
    """In either order, with the name as the user knows it."""
    entries = [(b"a\0b", 1, kinds[0], 0), (b"a\0b", 2, kinds[1], 0)]
    with pytest.raises(errors.UnsafeEntryError, match='"a/b" both as a file and as a directory'):
        ordered(entries, tmp_path)


def test_an_executable_replaced_by_a_plain_file_is_plain(tmp_path: pathlib.Path) -> None:
    """The later entry counts whatever its kind sorts like."""
    for first, last in ((0, 1), (1, 0)):
        found, _ = ordered([(b"a", 1, first, 5), (b"a", 2, last, 3)], tmp_path)
        assert found == [(b"a", 2, last, 3)]
