"""Names inside the store."""

import os
import pathlib

import pytest

from ocisource import errors
from ocisource.storage import paths

_BAD = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    "..",
    "a/../b",
    "a/./b",
    ".ocisource/index.db",
    "a/.hidden",
    "a\\b",
    "a/b\x00c",
    "a/b\nc",
    "a/\u202eb",
    "a/" + "x" * 256,
    "/".join(["x" * 200] * 6),
]


@pytest.mark.parametrize("path", _BAD)
def test_a_name_that_could_leave_the_store_is_refused(path: str) -> None:
    """Empty, dotted, absolute, over-long and unprintable parts are no names."""
    with pytest.raises(errors.StorageError, match="is not a name inside the store"):
        paths.split(path)


@pytest.mark.parametrize("path", [chr(0xDCFF), chr(0xD800)])
def test_a_lone_surrogate_is_refused(path: str) -> None:
    """A name that is no text is no name."""
    with pytest.raises(errors.StorageError):
        paths.split(f"a/{path}")


def test_a_path_divides_into_folder_and_name() -> None:
    """The last part is the file's name."""
    assert paths.divide("a/b/c.tar.gz") == ("a/b", "c.tar.gz")
    with pytest.raises(errors.StorageError, match="names no folder"):
        paths.divide("c.tar.gz")


def test_folders_are_made_private(tmp_path: pathlib.Path) -> None:
    """New folders have mode 0700, whatever the umask."""
    before = os.umask(0)
    try:
        with paths.folder(tmp_path, "a/b", is_made=True):
            pass
    finally:
        os.umask(before)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("a", "a/b")] == ["0o700"] * 2


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: pathlib.Path) -> None:
    """Not even a link to a folder inside the store is followed on the way."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(NotADirectoryError), paths.folder(tmp_path, "link"):
        pass
    with pytest.raises(FileNotFoundError):
        paths.open_file(tmp_path, "link/file")


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_only_a_regular_file_can_be_opened(tmp_path: pathlib.Path, kind: str) -> None:
    """Whatever else stands at a path counts as no file, and opening it never hangs."""
    (tmp_path / "a").mkdir()
    target = tmp_path / "a" / "b"
    if kind == "folder":
        target.mkdir()
    elif kind == "link":
        (tmp_path / "a" / "real").write_bytes(b"x")
        target.symlink_to("real")
    elif kind == "pipe":
        os.mkfifo(target)
    with pytest.raises(FileNotFoundError):
        paths.open_file(tmp_path, "a/b")
