"""Bytes on their way into the store."""

import pathlib

from ocisource import digest as digests
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
