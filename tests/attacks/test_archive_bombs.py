"""Layers that unpack to more than they look: refused early, in little memory, with the flag."""

import gzip
import io
import pathlib
from collections.abc import Callable

import pytest

from ocisource import errors
from ocisource.archive import repack
from tests.archive import layers
from tests.attacks import hostile_tar

MEMORY = 64 << 20  # bytes above the idle process


def test_a_gzip_bomb_is_stopped_by_its_ratio(tmp_path: pathlib.Path) -> None:
    """Gibibytes of zeros in megabytes, in as many members as it takes."""
    member = gzip.compress(bytes(16 << 20))
    blob = gzip.compress(layers.header(b"zeros", size=(8 << 30) - 1), mtime=0) + member * 512
    limits = repack.Limits(unpacked_bytes=0)
    with pytest.raises(errors.LimitExceededError, match=r"250 times its size.*--max-ratio"):
        layers.packed(blob, folder=tmp_path, limits=limits)


def test_a_zstd_bomb_is_stopped_by_its_ratio(tmp_path: pathlib.Path) -> None:
    """Four bytes of zstd can mean 128 KiB: here they mean 32 GiB."""
    block = ((131_072 << 3) | 2).to_bytes(3, "little") + b"\0"  # RLE, not the last
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block * (1 << 18)
    limits = repack.Limits(unpacked_bytes=0)
    with pytest.raises(errors.LimitExceededError, match=r"--max-ratio"):
        layers.packed(frame, folder=tmp_path, limits=limits)


def test_a_bomb_is_stopped_by_its_size(tmp_path: pathlib.Path) -> None:
    """With the ratio left open, the size of the stream is what ends it."""
    blob = gzip.compress(bytes(16 << 20)) * 64
    limits = repack.Limits(ratio=0, unpacked_bytes=100 << 20)
    with pytest.raises(errors.LimitExceededError, match=r"104857600 bytes.*--max-unpacked-size"):
        layers.packed(blob, folder=tmp_path, limits=limits)


def test_a_stated_size_is_judged_before_its_data(tmp_path: pathlib.Path) -> None:
    """A header alone is enough; nothing of its data needs to exist."""
    field = b"\x80" + (1 << 62).to_bytes(11, "big")
    blob = gzip.compress(layers.header(b"exabytes", size_field=field))
    with pytest.raises(errors.LimitExceededError, match='tar "exabytes" is bigger'):
        layers.packed(blob, folder=tmp_path)


def test_sizes_that_would_overflow_are_refused(tmp_path: pathlib.Path) -> None:
    """Sums of sizes are Python's integers; fields beyond 63 bits are no sizes."""
    for field in (b"\x80" + b"\xff" * 11, b"\xff" * 12):
        blob = gzip.compress(layers.header(b"f", size_field=field))
        with pytest.raises(errors.ArchiveError):
            layers.packed(blob, folder=tmp_path, limits=repack.Limits(unpacked_bytes=0))


def test_a_small_layer_may_stretch_as_it_likes(tmp_path: pathlib.Path) -> None:
    """Below 64 MiB a high ratio is nobody's harm: an honest file of zeros passes."""
    blob = layers.layer(layers.entry(b"zeros", bytes(20 << 20)))
    result, _ = layers.packed(blob, folder=tmp_path)
    assert result.tar_size > 20 << 20


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["many_files", "many_links"])
def test_ten_million_entries_are_refused(kind: str, counts: Callable[[int, int], int]) -> None:
    """They are read up to the bound, a million if nothing else is said, in bounded memory."""
    bound = counts(1_000_000, 100_000)
    limits = {} if bound == repack.Limits().entries else {"entries": bound}
    outcome = hostile_tar.measure(kind, 10 * bound, limits=limits)
    assert outcome.error == "LimitExceededError"
    assert f"more than {bound} entries; raise --max-entries" in outcome.text
    assert outcome.peak < MEMORY


@pytest.mark.soak
def test_ten_million_entries_stream_in_bounded_memory(
    counts: Callable[[int, int], int],
) -> None:
    """With the bound raised, a layer in order takes no more memory than a small one."""
    count = counts(10_000_000, 150_000)
    outcome = hostile_tar.measure(
        "many_files", count, limits={"entries": 20_000_000, "unpacked_bytes": 1 << 40}
    )
    assert outcome.error == ""
    assert outcome.entries == count + count // 1000 + 1
    assert outcome.peak < MEMORY / 2


@pytest.mark.soak
@pytest.mark.parametrize("order", ["walk", "shuffled"])
def test_a_crowd_that_cannot_stream_is_ordered_in_bounded_memory(
    order: str, counts: Callable[[int, int], int]
) -> None:
    """Entries and data go to files beyond a bound."""
    count = counts(2_000_000, 150_000)
    outcome = hostile_tar.measure(
        "many_files",
        count,
        limits={"entries": 20_000_000, "unpacked_bytes": 1 << 40},
        may_stream=False,
        is_shuffled=order == "shuffled",
    )
    assert outcome.error == ""
    assert outcome.entries == count + count // 1000 + 1
    # The shuffled numbers themselves take 8 bytes each and some.
    assert outcome.peak < MEMORY + (count * 48 if order == "shuffled" else 0)


def test_long_names_out_of_order_are_held_in_bounded_memory(
    counts: Callable[[int, int], int],
) -> None:
    """Names of 4000 bytes are as many bytes as their number says, but not in memory."""
    count = counts(200_000, 30_000)
    outcome = hostile_tar.measure("long_names", count)
    assert outcome.error == ""
    assert outcome.entries == 2 * count + 1
    assert outcome.peak < MEMORY


def test_parents_that_nobody_packed_count_as_entries() -> None:
    """A name can ask for thousands of directories: they are counted when they are written."""
    outcome = hostile_tar.measure("deep_parents", 2_000, limits={"entries": 100_000})
    assert outcome.error == "LimitExceededError"
    assert "--max-entries" in outcome.text
    assert outcome.peak < MEMORY


def test_what_parents_add_to_the_stream_is_bounded_by_size() -> None:
    """Also where the number of entries is not."""
    outcome = hostile_tar.measure(
        "deep_parents", 2_000, limits={"entries": 0, "unpacked_bytes": 200 << 20}
    )
    assert outcome.error == "LimitExceededError"
    assert "--max-unpacked-size" in outcome.text
    assert outcome.peak < MEMORY


@pytest.mark.parametrize("kind", ["zeros", "long_links"])
def test_bytes_that_belong_to_no_entry_are_bounded_too(kind: str) -> None:
    """After the end, and in headers that announce a thing which never comes."""
    outcome = hostile_tar.measure(kind, 10_000, limits={"unpacked_bytes": 500 << 20})
    assert outcome.error == "LimitExceededError"
    assert "--max-unpacked-size" in outcome.text
    assert outcome.peak < MEMORY


def test_a_huge_name_is_refused_by_its_length(tmp_path: pathlib.Path) -> None:
    """64 KiB of it, in both ways to write a long name; with the bound raised it passes."""
    name = b"/".join([b"n" * 255] * 256)
    for parts in (
        (layers.gnu_long_name(name), layers.entry(b"f", b"x")),
        (layers.pax((b"path", name)), layers.entry(b"f", b"x")),
    ):
        blob = layers.layer(*parts)
        with pytest.raises(errors.LimitExceededError, match=r"65535 bytes.*--max-name-length"):
            layers.packed(blob, folder=tmp_path)
        limits = repack.Limits(name_bytes=1 << 16)
        result, sink = layers.packed(blob, folder=tmp_path, limits=limits)
        assert result.entries == 257
        assert sink.names()[-1].encode() == name


def test_a_name_larger_than_any_header_may_be_is_refused(tmp_path: pathlib.Path) -> None:
    """More than a mebibyte is damage, whatever the bound on names."""
    name = b"n" * (1 << 20)
    blob = layers.layer(layers.gnu_long_name(name), layers.entry(b"f", b"x"))
    with pytest.raises(errors.CorruptArchiveError, match="extended header of 1048577 bytes"):
        layers.packed(blob, folder=tmp_path, limits=repack.Limits(name_bytes=0))


def test_a_path_of_two_thousand_levels_needs_no_deep_stack(tmp_path: pathlib.Path) -> None:
    """Neither to read, nor to judge, nor to write."""
    name = b"d/" * 2000 + b"f"
    blob = layers.layer(layers.gnu_long_name(name), layers.entry(b"f", b"x"))
    ignore = "\n".join(["d/" * 50 + "x", "**/d/e", "/d/**/f/", "!q"])
    result, sink = layers.packed(blob, folder=tmp_path, ignore=ignore)
    assert result.entries == 2002
    assert sink.names()[-1].encode() == name


def test_a_bomb_is_abandoned_when_called_off(tmp_path: pathlib.Path) -> None:
    """Even where it writes nothing, the token is asked at each window."""
    asked = 0

    def is_cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 100

    with pytest.raises(errors.AbandonedError):
        repack.repack(
            io.BytesIO(gzip.compress(bytes(16 << 20)) * 64),
            ignore=None,
            limits=repack.Limits(ratio=0),
            write=lambda _data: None,
            is_cancelled=is_cancelled,
            spool_dir=tmp_path,
        )
    assert asked == 101
