"""Bytes on their way into the store."""

import pathlib

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.storage import staging


def test_a_stage_that_is_rewound_holds_only_what_comes_after(tmp_path: pathlib.Path) -> None:
    """Size, digest and file are those of the second attempt, also when it is shorter."""
    with staging.Stage(tmp_path, prefix="stage-") as stage:
        stage.write(b"x" * 1_000_000)
        stage.rewind()
        stage.write(b"short")
        blob = stage.finish()
        assert blob.location.read_bytes() == b"short"
        assert (blob.size, blob.digest) == (5, digests.Digest.of(b"short"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_meanwhile_is_told_with_what_to_do(
    tmp_path: pathlib.Path,
) -> None:
    """Somebody emptied the volume under a running process."""
    with pytest.raises(errors.StorageError, match="removed while it was in use: start this"):
        staging.Stage(tmp_path / "gone", prefix="stage-")
