"""Archives of local trees: the command line's format."""

import io
import os
import pathlib
import socket
import tarfile

import pytest

from ocisource import digest, errors
from ocisource.archive import compressors, repack, sourceignore, tarball
from tests.archive import layers


def build(
    path: pathlib.Path, *, ignore: tuple[str, ...] = (), is_following: bool = False
) -> tuple[repack.Packed, layers.Sink]:
    """Pack a path; the result and what was written."""
    sink = layers.Sink()
    tar = digest.Hasher()
    result = tarball.pack_path(
        path, ignore=ignore, write=sink.write, is_following=is_following, tar=tar
    )
    assert tar.digest == digest.Digest.of(sink.tar)
    return result, sink


@pytest.fixture(name="tree")
def _tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small tree with modes worth keeping."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "sub-1.txt").write_bytes(b"one")
    (top / "sub" / "n.txt").write_bytes(b"n" * 1000)
    (top / "B").write_bytes(b"")
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    for name, mode in (
        ("sub-1.txt", 0o644),
        ("sub/n.txt", 0o640),
        ("B", 0o600),
        ("run.sh", 0o4755),
        ("sub", 0o1777),
        (".", 0o755),
    ):
        (top / name).chmod(mode)
    return top


def test_modes_are_kept_and_the_order_is_a_walk_s(tree: pathlib.Path) -> None:
    """Permission bits, set-id and sticky bits; the root first, children after their parent."""
    result, sink = build(tree)
    assert [(name, kind, mode) for name, kind, mode, _ in sink.members()] == [
        (".", layers.DIRECTORY, 0o755),
        ("B", layers.FILE, 0o600),
        ("run.sh", layers.FILE, 0o4755),
        ("sub", layers.DIRECTORY, 0o1777),
        ("sub/n.txt", layers.FILE, 0o640),
        ("sub-1.txt", layers.FILE, 0o644),
    ]
    assert result.entries == 6
    assert b"0004755\0" in sink.tar
    assert sink.tar.endswith(bytes(1024))
    assert result.tar_size == 6 * 512 + 3 * 512 + 512 + 1024


def test_the_same_tree_gives_the_same_digest_wherever_it_lies(tmp_path: pathlib.Path) -> None:
    """Times, folder and the order of creation make no difference."""
    digests = set()
    for number, names in enumerate((("a", "b/c", "d"), ("d", "b/c", "a"))):
        top = tmp_path / f"copy-{number}"
        for name in names:
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 99)
            path.chmod(0o644)
            os.utime(path, (number, number))
        for folder in (top, top / "b"):
            folder.chmod(0o755)
        digests.add(build(top)[1].digest)
    assert len(digests) == 1


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/.", "{}/../tree"])
def test_however_the_path_is_written(form: str, tree: pathlib.Path) -> None:
    """Also relative, and from within."""
    _, wanted = build(tree)
    assert build(pathlib.Path(form.format(tree)))[1].digest == wanted.digest


def test_relative_paths_and_the_current_folder(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``/*`` and ``!/sub`` from ``.`` keep sub alone."""
    monkeypatch.chdir(tree)
    for path in (".", "./", "../tree", str(tree)):
        _, sink = build(pathlib.Path(path), ignore=("/*", "!/sub"))
        assert sink.names() == [".", "sub", "sub/n.txt"]


def test_a_single_file_is_packed_in_a_private_directory(tmp_path: pathlib.Path) -> None:
    """Entries ``.`` of mode 0700 and the base name; 2560 bytes of tar for one byte."""
    path = tmp_path / "one.yaml"
    path.write_bytes(b"x")
    path.chmod(0o640)
    result, sink = build(path)
    assert sink.members() == [
        (".", layers.DIRECTORY, 0o700, b""),
        ("one.yaml", layers.FILE, 0o640, b"x"),
    ]
    assert result.tar_size == 2560


def test_a_single_file_can_be_ignored_too(tmp_path: pathlib.Path) -> None:
    """A picture pushed with the default list gives an archive of nothing but the root."""
    path = tmp_path / "logo.png"
    path.write_bytes(b"png")
    result, sink = build(path, ignore=sourceignore.COMMAND_LINE)
    assert sink.names() == ["."]
    assert result.skipped == {"ignored": 1}


def test_ignored_directories_are_not_pruned(tmp_path: pathlib.Path) -> None:
    """What is included again below one appears without it; .sourceignore is not read."""
    for name in ("dir/keep.txt", "dir/other.txt", "top.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".sourceignore").write_text("top.txt\n")
    _, sink = build(tmp_path, ignore=("dir/", "!dir/keep.txt"))
    assert sink.names() == [".", ".sourceignore", "dir/keep.txt", "top.txt"]


def test_no_pattern_keeps_everything(tmp_path: pathlib.Path) -> None:
    """An empty list is no list: .git and pictures stay."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"")
    (tmp_path / "file.jpg").write_bytes(b"")
    assert build(tmp_path)[1].names() == [".", ".git", ".git/config", "file.jpg"]
    _, sink = build(tmp_path, ignore=sourceignore.COMMAND_LINE)
    assert sink.names() == ["."]


def test_links_and_special_files_are_left_out(tmp_path: pathlib.Path) -> None:
    """Symlinks, FIFOs and sockets, and they are counted."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "to-dir").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(tmp_path / "socket"))
        result, sink = build(tmp_path)
    assert sink.names() == [".", "file"]
    assert result.skipped == {"symlink": 3, "special file": 2}


def test_links_can_be_followed(tmp_path: pathlib.Path) -> None:
    """To files and directories, also outside; two links to one target are two copies."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"out")
    top = tmp_path / "top"
    (top / "real").mkdir(parents=True)
    (top / "real" / "x").write_bytes(b"x")
    (top / "one").symlink_to(outside)
    (top / "two").symlink_to(outside)
    (top / "file").symlink_to(outside / "f")
    os.mkfifo(top / "fifo")
    (outside / "f").chmod(0o751)
    _, sink = build(top, is_following=True)
    found = {name: (kind, mode, data) for name, kind, mode, data in sink.members()}
    assert list(found) == [".", "file", "one", "one/f", "real", "real/x", "two", "two/f"]
    assert found["."][1] == 0o700
    assert found["file"] == found["one/f"] == found["two/f"] == (layers.FILE, 0o751, b"out")


def test_a_circle_of_links_is_broken(tmp_path: pathlib.Path) -> None:
    """A directory found within itself gets an entry and nothing below."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "f").write_bytes(b"")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "top").symlink_to(tmp_path)
    _, sink = build(tmp_path, is_following=True)
    assert sink.names() == [".", "a", "a/b", "a/b/up", "a/f", "top"]


def test_a_dangling_link_cannot_be_followed(tmp_path: pathlib.Path) -> None:
    """The error names it."""
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(errors.UsageError, match="dangling': no such file"):
        build(tmp_path, is_following=True)


def test_a_link_to_a_single_file_is_packed_under_its_own_name(tmp_path: pathlib.Path) -> None:
    """Content and mode of the target, name of the link."""
    (tmp_path / "target").write_bytes(b"t")
    (tmp_path / "target").chmod(0o604)
    (tmp_path / "link.yaml").symlink_to("target")
    _, sink = build(tmp_path / "link.yaml", is_following=True)
    assert sink.members()[1:] == [("link.yaml", layers.FILE, 0o604, b"t")]


@pytest.mark.parametrize("name", ["missing", "fifo"])
def test_a_path_that_is_neither_file_nor_directory_is_refused(
    name: str, tmp_path: pathlib.Path
) -> None:
    """With Flux's words."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(errors.UsageError, match="must point to an existing directory or file"):
        build(tmp_path / name)


def test_a_file_that_shrinks_while_it_is_read_is_noticed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive with a file half empty is worse than none."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    fstat = os.fstat

    def longer(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        return os.stat_result((*found[:6], found.st_size + 1, *found[7:]))

    monkeypatch.setattr(os, "fstat", longer)
    with pytest.raises(errors.UsageError, match="changed while it was read"):
        build(tmp_path)


def test_names_of_all_bytes_and_lengths(tmp_path: pathlib.Path) -> None:
    """Not UTF-8, with blanks, of 255 bytes, in deep folders."""
    deep = tmp_path / "/".join(["d" * 60] * 5)
    deep.mkdir(parents=True)
    for name in (b"\xff\xfe", "é".encode(), b" blank ", b"n" * 255, b"back\\slash"):
        (deep / os.fsdecode(name)).touch()
    _, sink = build(tmp_path)
    assert len(sink.names()) == 11


def test_an_archive_of_this_kind_repacks_to_normalised_modes(tree: pathlib.Path) -> None:
    """What is pushed and pulled again has the same files and the controller's modes."""
    _, pushed = build(tree)
    _, stored = layers.packed(bytes(pushed.data), folder=tree)
    assert stored.names() == pushed.names()
    assert {mode for _, kind, mode, _ in stored.members() if kind == layers.FILE} == {
        0o600,
        0o700,
    }
    assert [data for *_, data in stored.members()] == [data for *_, data in pushed.members()]


def test_the_standard_library_writes_the_same_stream_but_for_three_things(
    tree: pathlib.Path,
) -> None:
    """Slashes after directories, NULs for device numbers, padding to a record; nothing else."""
    _, sink = build(tree)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, permissions, data in sink.members():
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size = kind, permissions, len(data)
            tar.addfile(info, io.BytesIO(data))
    stream = bytearray(buffer.getvalue()[: len(sink.tar)])
    for start in range(0, len(stream) - 1024, 512):
        block = stream[start : start + 512]
        if block[257:263] == b"ustar\0":
            block[:100] = block[:100].rstrip(b"\0").rstrip(b"/").ljust(100, b"\0")
            block[329:345] = b"0000000\x000000000\0"
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            stream[start : start + 512] = block
    assert bytes(stream) == sink.tar
    assert buffer.getvalue()[len(sink.tar) :].strip(b"\0") == b""


@pytest.mark.parametrize("memory_bound", [0, 1 << 30])
def test_what_was_built_with_an_artifact_s_modes_is_the_artifact(
    memory_bound: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tar, cut alike: packed from a tree or from a layer, with files of all sizes."""
    monkeypatch.setattr(compressors, "portable", compressors.fast)
    top = tmp_path / "tree"
    (top / "deep").mkdir(parents=True)
    sizes = (0, 1, 511, 65_535, 65_537, 70_001, 262_144, 600_001)
    for number, size in enumerate(sizes * 2):
        path = top / ("deep" if number % 2 else "") / f"{number:02d}.yaml"
        lines = (b"%d: %d\n" % (line, line * line) for line in range(number, size // 8 + 99))
        path.write_bytes(b"".join(lines)[:size])
        path.chmod(0o600)
    for folder in (top, top / "deep"):
        folder.chmod(0o750)
    result, built = build(top)
    again, sink = layers.packed(bytes(built.data), folder=tmp_path, memory_bound=memory_bound)
    assert again.tar_size == result.tar_size
    assert sink.data == built.data
