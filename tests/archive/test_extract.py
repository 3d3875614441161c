"""Unpacking for ``pull artifact``: what it writes, and what it will not touch."""

import io
import os
import pathlib
import stat

import pytest

from ocisource import errors
from ocisource.archive import extract, limits
from tests.archive import layers

NOW = 1_700_000_000.0


def unpack(
    blob: bytes, target: pathlib.Path, *, bounds: limits.Limits | None = None
) -> extract.Extracted:
    """Unpack a layer at a fixed time."""
    return extract.extract(io.BytesIO(blob), target, bounds or limits.Limits(), clock=lambda: NOW)


@pytest.fixture(name="target")
def _target(tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty directory to unpack into."""
    path = tmp_path / "target"
    path.mkdir()
    return path


def found(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Everything below a folder: files with their content, directories with None."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def mode(path: pathlib.Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_written(target: pathlib.Path) -> None:
    """In any order, with parents as needed, also empty and large."""
    large = os.urandom(700_000)
    blob = layers.layer(
        layers.entry(b"file1", b"one"),
        layers.entry(b"abc/fileX", b"x"),
        layers.directory(b"d/e/"),
        layers.entry(b"d/large", large),
        layers.entry(b"d/empty", b""),
        layers.entry(b"abc/fileX", b"last"),
    )
    result = unpack(blob, target)
    assert result.entries == 6
    assert found(target) == {
        "abc": None,
        "abc/fileX": b"last",
        "d": None,
        "d/e": None,
        "d/empty": b"",
        "d/large": large,
        "file1": b"one",
    }


def test_modes_are_the_header_s_without_set_id_bits(target: pathlib.Path) -> None:
    """Under the umask; a directory stays usable by its owner; parents are 0750."""
    before = os.umask(0o022)
    try:
        unpack(
            layers.layer(
                layers.entry(b"p/f", b"", mode=b"0006777\0"),
                layers.entry(b"g", b"", mode=b"0000600\0"),
                layers.header(b"ro/", typeflag=layers.DIRECTORY, mode=b"0000555\0"),
                layers.entry(b"ro/inside", b"x"),
            ),
            target,
        )
    finally:
        os.umask(before)
    assert mode(target / "p") == 0o750
    assert mode(target / "p/f") == 0o755
    assert mode(target / "g") == 0o600
    assert mode(target / "ro") == 0o755
    assert (target / "ro/inside").read_bytes() == b"x"


def test_times_are_the_header_s_but_never_in_the_future(target: pathlib.Path) -> None:
    """Past ones hold, future ones are clamped to now, impossible ones are the epoch."""

    def with_time(name: bytes, field: bytes) -> bytes:
        block = bytearray(layers.header(name))
        block[136:148] = field
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    past, future = b"%011o\0" % 1_000_000_000, b"%011o\0" % 4_000_000_000
    unpack(
        layers.layer(
            with_time(b"past", past), with_time(b"future", future), with_time(b"odd", b"\xff" * 12)
        ),
        target,
    )
    times = [(target / name).stat().st_mtime for name in ("past", "future", "odd")]
    assert times == [1_000_000_000, NOW, 0]


def test_existing_files_are_overwritten_and_nothing_is_deleted(target: pathlib.Path) -> None:
    """A longer old content leaves no tail."""
    (target / "old").write_bytes(b"a longer content than the new one")
    (target / "other").write_bytes(b"stays")
    (target / "dir").mkdir()
    unpack(layers.layer(layers.entry(b"old", b"new"), layers.entry(b"dir/x", b"y")), target)
    assert found(target) == {"dir": None, "dir/x": b"y", "old": b"new", "other": b"stays"}


def test_links_in_the_layer_are_skipped_and_counted(target: pathlib.Path) -> None:
    """The rest is extracted."""
    result = unpack(
        layers.layer(
            layers.header(b"s", typeflag=layers.SYMLINK, link=b"/etc"),
            layers.header(b"h", typeflag=layers.HARD_LINK, link=b"f"),
            layers.pax((b"comment", b"c"), typeflag=b"g"),
            layers.entry(b"f", b"x"),
        ),
        target,
    )
    assert found(target) == {"f": b"x"}
    assert result.skipped == {"symlink": 1, "hard link": 1, "global header": 1}


def test_the_target_must_be_a_directory(tmp_path: pathlib.Path) -> None:
    """Neither missing, nor a file, nor a symlink."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file", "missing"):
        with pytest.raises(errors.UsageError, match=f"{name}' must be a directory"):
            unpack(layers.layer(), tmp_path / name)


@pytest.mark.parametrize("entry", [b"way/x", b"way", b"a/way/x", b"a/way"])
@pytest.mark.parametrize("kind", ["symlink to a directory", "symlink to a file", "dangling"])
def test_no_existing_symlink_is_followed(
    entry: bytes, kind: str, target: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Neither on the way nor at its end; what it points to stays as it was."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"precious")
    goals = {"symlink to a directory": "", "symlink to a file": "f", "dangling": "none"}
    (target / "a").mkdir()
    for folder in (target, target / "a"):
        (folder / "way").symlink_to(outside / goals[kind])
    with pytest.raises(errors.UnsafeEntryError, match="meets a link or another kind of file"):
        unpack(layers.layer(layers.entry(entry, b"evil")), target)
    assert found(outside) == {"f": b"precious"}


def test_a_directory_entry_over_a_symlink_is_refused(
    target: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Even one that points to a directory."""
    (target / "way").symlink_to(tmp_path)
    with pytest.raises(errors.UnsafeEntryError):
        unpack(layers.layer(layers.directory(b"way/")), target)


def test_fifos_in_the_way_neither_block_nor_are_written_to(target: pathlib.Path) -> None:
    """With and without somebody who reads them."""
    os.mkfifo(target / "way")
    blob = layers.layer(layers.entry(b"way", b"data"))
    with pytest.raises(errors.UnsafeEntryError):
        unpack(blob, target)
    reader = os.open(target / "way", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(errors.UnsafeEntryError):
            unpack(blob, target)
        assert os.read(reader, 10) == b""
    finally:
        os.close(reader)


def test_files_and_directories_in_each_other_s_way_are_refused(target: pathlib.Path) -> None:
    """In the target, and within the layer."""
    (target / "file").write_bytes(b"")
    (target / "dir").mkdir()
    for part in (
        layers.entry(b"file/x", b""),
        layers.directory(b"file/"),
        layers.entry(b"dir", b"x"),
    ):
        with pytest.raises(errors.UnsafeEntryError):
            unpack(layers.layer(part), target)
    with pytest.raises(errors.UnsafeEntryError):
        unpack(layers.layer(layers.entry(b"n", b""), layers.entry(b"n/m", b"")), target)


@pytest.mark.parametrize("name", [b"../x", b"/x", b"a/../../x", b"..", b"a\\b", b""])
def test_nothing_is_written_outside(
    name: bytes, target: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Traversal by name is refused before anything is written for it."""
    with pytest.raises(errors.UnsafeEntryError, match="invalid name"):
        unpack(layers.layer(layers.gnu_long_name(name), layers.entry(b"f", b"x")), target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert found(target) == {}


def test_bounds_hold_while_unpacking(target: pathlib.Path) -> None:
    """The file that would pass the bound is not begun."""
    blob = layers.layer(layers.entry(b"a", b"x" * 10), layers.entry(b"big", b"y" * 100_000))
    with pytest.raises(errors.LimitExceededError, match="big"):
        unpack(blob, target, bounds=limits.Limits(unpacked_bytes=200_000 - 101_000))
    assert "big" not in found(target)


def test_truncation_in_the_middle_of_a_file_is_an_error(target: pathlib.Path) -> None:
    """The part that came is left where it is, and the error says so by its kind."""
    whole = layers.tar(layers.entry(b"f", b"x" * 600_000))
    with pytest.raises(errors.CorruptArchiveError, match="unexpected EOF"):
        unpack(whole[:400_000], target)


def test_plain_and_gzip_layers_are_unpacked(target: pathlib.Path) -> None:
    """The form is seen, not told."""
    unpack(layers.tar(layers.entry(b"plain", b"1")), target)
    unpack(layers.layer(layers.entry(b"zipped", b"2")), target)
    assert found(target) == {"plain": b"1", "zipped": b"2"}


def test_unpacking_can_be_called_off(target: pathlib.Path) -> None:
    """Between two entries."""
    with pytest.raises(errors.AbandonedError):
        extract.extract(
            io.BytesIO(layers.layer(layers.entry(b"f", b""))),
            target,
            limits.Limits(),
            is_cancelled=lambda: True,
        )
    assert found(target) == {}


def test_a_target_that_cannot_be_written_names_the_file(target: pathlib.Path) -> None:
    """As a storage error, with the system's reason."""
    if os.geteuid() == 0:
        name = b"x" * 300  # longer than any file system takes
        reason = "file name too long"
    else:
        target.chmod(0o500)
        name, reason = b"f", "permission denied"
    with pytest.raises(errors.StorageError, match=reason):
        unpack(layers.layer(layers.gnu_long_name(name), layers.entry(b"f", b"")), target)


def test_no_descriptor_is_left_open(target: pathlib.Path) -> None:
    """After success and after failure."""
    folder = pathlib.Path("/proc/self/fd")
    before = len(list(folder.iterdir()))
    unpack(layers.layer(*layers.tree({f"a/{n}/b/c": b"" for n in range(50)})), target)
    with pytest.raises(errors.UnsafeEntryError):
        unpack(layers.layer(layers.entry(b"a/1/b/c/d", b"")), target)
    assert len(list(folder.iterdir())) == before
