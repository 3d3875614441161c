"""Data folders: made private, and never taken from others."""

import pathlib

import pytest

from ocisource import errors
from ocisource.cli.machines import places


def mode(folder: pathlib.Path) -> int:
    """The permission bits."""
    return folder.stat().st_mode & 0o777


def test_a_new_folder_is_private(tmp_path: pathlib.Path) -> None:
    """So is one that is empty, or was used before."""
    used = tmp_path / "used"
    used.mkdir(mode=0o755)
    used.chmod(0o755)
    (used / "apiserver.db").touch()
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o755)
    for folder in (tmp_path / "new", empty, used):
        assert mode(places.own(folder)) == 0o700


@pytest.mark.parametrize("before", [0o777, 0o755, 0o750])
def test_a_folder_of_others_is_left_alone(tmp_path: pathlib.Path, before: int) -> None:
    """Whoever names /tmp or the working folder by mistake does not lock others out of it."""
    tmp_path.chmod(before)
    (tmp_path / "of somebody").touch()
    with pytest.raises(errors.UsageError, match="holds other files and is open to other users"):
        places.own(tmp_path)
    assert mode(tmp_path) == before


def test_a_private_folder_may_hold_anything(tmp_path: pathlib.Path) -> None:
    """Nobody else looks into it."""
    tmp_path.chmod(0o700)
    (tmp_path / "mine").touch()
    assert places.own(tmp_path) == tmp_path


def test_a_file_is_no_folder(tmp_path: pathlib.Path) -> None:
    """The flag is named, with what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(errors.UsageError, match="choose a folder you may write to"):
        places.own(tmp_path / "file")
