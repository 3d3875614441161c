"""The main road: what comes out of a layer, and that it never depends on how it came in."""

import gzip
import hashlib
import io
import itertools
import pathlib
import random
import tarfile
import threading
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from ocisource import errors
from ocisource.archive import compression, packer, repack
from tests.archive import layers

VECTOR = "95101552d34531cb89b7efc698487830765373794c6cdfc7bd991e47dba90389"
ROOT = (".", layers.DIRECTORY, 0o750, b"")


def listed(*names: str) -> list[str]:
    """The names of an artifact: the root and these."""
    return [".", *names]


def test_the_vector_of_the_reference(tmp_path: pathlib.Path) -> None:
    """The tar stream that Flux's own code makes of this tree, byte for byte."""
    blob = layers.layer(
        layers.entry(b"a.txt", b"foo\n"), layers.entry(b"b/run.sh", b"hi\n", mode=b"0000755\0")
    )
    result, sink = layers.packed(blob, folder=tmp_path)
    assert hashlib.sha256(sink.tar).hexdigest() == VECTOR
    assert (result.tar_size, result.entries, dict(result.skipped)) == (4096, 4, {})
    assert sink.members() == [
        ROOT,
        ("a.txt", layers.FILE, 0o600, b"foo\n"),
        ("b", layers.DIRECTORY, 0o750, b""),
        ("b/run.sh", layers.FILE, 0o700, b"hi\n"),
    ]


def test_the_gzip_header_names_no_file_time_or_system(tmp_path: pathlib.Path) -> None:
    """As Go writes it."""
    _, sink = layers.packed(layers.layer(), folder=tmp_path)
    assert sink.data[:10].hex() == "1f8b08000000000000ff"


def test_an_empty_layer_is_an_empty_tree(tmp_path: pathlib.Path) -> None:
    """Nothing but the root."""
    for blob in (layers.layer(), gzip.compress(b"")):
        result, sink = layers.packed(blob, folder=tmp_path)
        assert sink.members() == [ROOT]
        assert result.tar_size == 3 * 512


def test_modes_times_and_owners_are_normalised(tmp_path: pathlib.Path) -> None:
    """0666 gives 0600, 0777 gives 0700, directories 0750; the epoch, nobody."""
    blob = layers.layer(
        layers.entry(b"a", b"", mode=b"0000666\0"),
        layers.entry(b"b", b"", mode=b"0000777\0"),
        layers.entry(b"c", b"", mode=b"0000000\0"),
        layers.header(b"d/", typeflag=layers.DIRECTORY, mode=b"0000000\0"),
        layers.entry(b"e", b"", mode=b"0104755\0"),
    )
    _, sink = layers.packed(blob, folder=tmp_path)
    with tarfile.open(fileobj=io.BytesIO(sink.tar)) as read:
        members = read.getmembers()
    assert [oct(m.mode) for m in members] == ["0o750", "0o600", "0o700", "0o600", "0o750", "0o700"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_entries_come_in_the_order_of_a_walk(tmp_path: pathlib.Path) -> None:
    """By bytes within a directory, a directory's children right after it."""
    files = dict.fromkeys(("sub-1.txt", "sub/n.txt", "b", "a", "Z", "sub.d/x", "é"), b"")
    _, sink = layers.packed(layers.layer(*layers.tree(files)), folder=tmp_path)
    assert sink.names() == listed(
        "Z", "a", "b", "sub", "sub/n.txt", "sub-1.txt", "sub.d", "sub.d/x", "é"
    )


def test_parents_without_an_entry_get_one(tmp_path: pathlib.Path) -> None:
    """Also those that exist only for a file that is ignored, or are empty."""
    blob = layers.layer(
        *layers.tree({"x/y/z": b"1", "only/.gitignore": b"", "empty/": b"", "w/v/": b""})
    )
    result, sink = layers.packed(blob, folder=tmp_path)
    assert sink.names() == listed("empty", "only", "w", "w/v", "x", "x/y", "x/y/z")
    assert result.entries == 8
    assert result.skipped == {"ignored": 1}


def test_of_several_files_with_one_name_the_last_counts(tmp_path: pathlib.Path) -> None:
    """Content and mode, and the count is told."""
    blob = layers.layer(
        layers.entry(b"a", b"first", mode=b"0000755\0"),
        layers.entry(b"b", b"other"),
        layers.entry(b"./a", b"last"),
        layers.directory(b"d"),
        layers.directory(b"d/"),
    )
    result, sink = layers.packed(blob, folder=tmp_path)
    assert ("a", layers.FILE, 0o600, b"last") in sink.members()
    assert sink.names() == listed("a", "b", "d")
    assert result.skipped == {"repeated": 1}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(
    "parts",
    [
        [layers.entry(b"a", b"x"), layers.entry(b"a/b", b"y"), layers.entry(b"0", b"")],
        [layers.entry(b"a", b"x"), layers.directory(b"a/"), layers.entry(b"b", b"")],
        [layers.entry(b"a", b"x"), layers.entry(b"a/b/c", b"y"), layers.entry(b"a-", b"")],
        [layers.entry(b"p/.git", b"x"), layers.entry(b"p/.git/c", b"y"), layers.entry(b"q", b"")],
    ],
)
def test_a_name_cannot_be_file_and_directory(
    parts: list[bytes], order: tuple[int, ...], tmp_path: pathlib.Path
) -> None:
    """Whatever the order, whether the directory has an entry, and even where it is ignored."""
    blob = layers.layer(*(parts[number] for number in order))
    with pytest.raises(errors.UnsafeEntryError, match="both as a file and as a directory"):
        layers.packed(blob, folder=tmp_path)


def test_links_leave_nothing_and_are_counted(tmp_path: pathlib.Path) -> None:
    """Not even the directory they would lie in; a file written 'through' one stays inside."""
    blob = layers.layer(
        layers.header(b"out", typeflag=layers.SYMLINK, link=b"/etc"),
        layers.entry(b"out/passwd", b"mine"),
        layers.header(b"lonely/link", typeflag=layers.HARD_LINK, link=b"out/passwd"),
        layers.pax((b"comment", b"abc"), typeflag=b"g"),
    )
    result, sink = layers.packed(blob, folder=tmp_path)
    assert sink.names() == listed("out", "out/passwd")
    assert result.skipped == {"symlink": 1, "hard link": 1, "global header": 1}


def test_default_rules_and_spec_ignore(tmp_path: pathlib.Path) -> None:
    """Pictures go by default and stay with a pattern of one's own; .git goes either way."""
    files = {".git/config": b"", "a.jpg": b"", "b.yaml": b"", "c.yaml": b""}
    blob = layers.layer(*layers.tree(files))
    assert layers.packed(blob, folder=tmp_path)[1].names() == listed("b.yaml", "c.yaml")
    _, sink = layers.packed(blob, folder=tmp_path, ignore="/c.yaml\n")
    assert sink.names() == listed("a.jpg", "b.yaml")
    _, sink = layers.packed(blob, folder=tmp_path, ignore="# nothing\n")
    assert sink.names() == listed("b.yaml", "c.yaml")
    _, sink = layers.packed(blob, folder=tmp_path, ignore="/*\n!/b.yaml")
    assert sink.names() == listed("b.yaml")


def test_an_excluded_directory_s_files_can_stay(tmp_path: pathlib.Path) -> None:
    """The file has an entry, its directory has none."""
    blob = layers.layer(*layers.tree({"dir/": b"", "dir/keep": b"", "dir/other": b""}))
    result, sink = layers.packed(blob, folder=tmp_path, ignore="dir/\n!dir/keep\n")
    assert sink.names() == listed("dir/keep")
    assert result.skipped == {"ignored": 2}


@pytest.mark.parametrize("is_first", [True, False])
def test_sourceignore_files_hold_wherever_they_stand(
    tmp_path: pathlib.Path, *, is_first: bool
) -> None:
    """They stay in the artifact, scoped to their directories; spec.ignore is stronger."""
    rules = {".sourceignore": b"root.txt\n", "a/b/.sourceignore": b"subdir.txt\n!x.jpg"}
    files = dict.fromkeys(
        (
            "root.txt",
            "a/root.txt",
            "a/b/subdir.txt",
            "a/c/subdir.txt",
            "a/b/keep.txt",
            "d/.gitignore",
            "p.jpg",
        ),
        b"",
    )
    both = {**rules, **files} if is_first else {**files, **rules}
    blob = layers.layer(*layers.tree(both))
    _, sink = layers.packed(blob, folder=tmp_path, ignore="keep.txt")
    assert sink.names() == listed(
        ".sourceignore",
        "a",
        "a/b",
        "a/b/.sourceignore",
        "a/c",
        "a/c/subdir.txt",
        "d",
        "p.jpg",
    )


def test_a_later_sourceignore_replaces_an_earlier_of_its_name(tmp_path: pathlib.Path) -> None:
    """The last counts, as for any file."""
    blob = layers.layer(
        layers.entry(b".sourceignore", b"a\n"),
        layers.entry(b"a", b""),
        layers.entry(b"b", b""),
        layers.entry(b".sourceignore", b"b\n"),
    )
    assert layers.packed(blob, folder=tmp_path)[1].names() == listed(".sourceignore", "a")


def test_sourceignore_files_are_bounded(tmp_path: pathlib.Path) -> None:
    """More than a mebibyte of them is refused, and the error says so."""
    blob = layers.layer(
        layers.entry(b"a/.sourceignore", b"#" * 700_000),
        layers.entry(b"b/.sourceignore", b"#" * 700_000),
    )
    with pytest.raises(errors.IgnoreRulesError, match="more than 1048576 bytes"):
        layers.packed(blob, folder=tmp_path)


def _forest(rng: random.Random, *, count: int) -> dict[str, bytes]:
    """Some files of many sizes in some directories."""
    sizes = [0, 1, 511, 512, 513, 5000, 70_000, 262_144, 300_001]
    return {
        f"d{rng.randrange(5)}/{'s/' * rng.randrange(3)}file-{number}": rng.randbytes(
            rng.choice(sizes[:6] if number % 10 else sizes)
        )
        for number in range(count)
    }


def _rezipped(tar: bytes, rng: random.Random) -> list[bytes]:
    """The same tar in many disguises."""
    cuts = sorted(rng.randrange(len(tar)) for _ in range(5))
    pieces = [tar[a:b] for a, b in zip([0, *cuts], [*cuts, len(tar)], strict=True)]
    return [
        gzip.compress(tar, 1),
        gzip.compress(tar, 9),
        gzip.compress(tar, 0),
        b"".join(gzip.compress(piece) for piece in pieces),
        zstandard.ZstdCompressor().compress(tar),
        b"".join(zstandard.ZstdCompressor().compress(piece) for piece in pieces),
        tar,
    ]


class Trickle(io.BytesIO):
    """A blob that hands out fewer bytes than asked for, and never the same number."""

    def __init__(self, data: bytes, rng: random.Random) -> None:
        super().__init__(data)
        self._rng = rng

    def read(self, size: int | None = -1, /) -> bytes:
        """At most a random part of what was asked for."""
        wanted = size if size is not None and size >= 0 else 1 << 30
        return super().read(self._rng.randint(1, max(1, min(wanted, 40_000))))


@pytest.mark.parametrize("seed", range(4))
def test_one_tree_gives_one_file_however_it_came(seed: int, tmp_path: pathlib.Path) -> None:
    """Compression, chunking, order, memory, streaming, spooling, folder: all the same bytes."""
    rng = random.Random(seed)
    files = _forest(rng, count=60)
    walked = sorted(files, key=lambda name: name.encode().split(b"/"))
    shuffled = rng.sample(walked, len(walked))
    digests = set()
    for order in (walked, shuffled, walked[::-1]):
        tar = layers.tar(*layers.tree({name: files[name] for name in order}))
        for number, blob in enumerate(_rezipped(tar, rng)):
            folder = tmp_path / f"{seed}-{number}"
            folder.mkdir(exist_ok=True)
            for bound in (0, 1 << 20, 1 << 30):
                for may_stream in (True, False):
                    sink = layers.Sink()
                    result = repack.repack(
                        Trickle(blob, rng),
                        ignore=None,
                        limits=repack.Limits(),
                        write=sink.write,
                        rewind=sink.rewind if may_stream else None,
                        is_cancelled=lambda: False,
                        spool_dir=folder,
                        memory_bound=bound,
                    )
                    digests.add((sink.digest, result.tar_size, result.entries))
            assert list(folder.iterdir()) == []
    assert len(digests) == 1


def test_times_owners_and_formats_of_the_layer_make_no_difference(tmp_path: pathlib.Path) -> None:
    """The same tree from three writers of tar gives the same file."""
    digests = set()
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tar:
            for number in range(20):
                info = tarfile.TarInfo(f"{'deep/' * 25}file-{number}")
                info.size = 100
                info.mtime = 1_600_000_000 + number * form
                info.uid, info.gname, info.mode = form, f"group{form}", 0o644
                tar.addfile(info, io.BytesIO(bytes([number]) * 100))
        _, sink = layers.packed(buffer.getvalue(), folder=tmp_path)
        digests.add(sink.digest)
    assert len(digests) == 1


def test_the_compressor_gets_blocks_of_one_size(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """256 KiB each but the last, whatever the entries' lengths: digests rest on that."""
    seen: list[int] = []
    pack = packer.Packer._pack

    def watched(self: packer.Packer, block: bytes) -> None:
        seen.append(len(block))
        pack(self, block)

    monkeypatch.setattr(packer.Packer, "_pack", watched)
    rng = random.Random(5)
    # Those over 64 KiB are handed on in pieces, and padded.
    files = _forest(rng, count=40) | {f"large/{n}": rng.randbytes(70_000 + n) for n in range(20)}
    for memory_bound in (0, 1 << 30):
        seen.clear()
        blob = layers.layer(*layers.tree(files))
        result, _ = layers.packed(blob, folder=tmp_path, memory_bound=memory_bound)
        assert seen[:-1] == [256 << 10] * (result.tar_size // (256 << 10))
        assert sum(seen) == result.tar_size


def _large(count: int) -> dict[str, bytes]:
    """Files of 64 KiB and a bit, in order."""
    return {f"f{number:04d}": bytes([number % 256]) * 66_000 for number in range(count)}


def test_a_large_layer_in_order_streams_through(tmp_path: pathlib.Path) -> None:
    """Bytes are written while the layer is still being read, and no spool file is made."""
    sink = layers.Sink()
    positions: list[int] = []
    noise = random.Random(3)
    files = {name: noise.randbytes(len(data)) for name, data in _large(100).items()}
    blob = io.BytesIO(layers.layer(*layers.tree(files)))

    def write(data: bytes) -> None:
        positions.append(blob.tell())
        sink.write(data)

    repack.repack(
        blob,
        ignore=None,
        limits=repack.Limits(),
        write=write,
        rewind=sink.rewind,
        is_cancelled=lambda: False,
        spool_dir=tmp_path / "does-not-exist",
        memory_bound=1 << 20,
    )
    assert positions[0] < len(blob.getvalue()) / 2
    assert sink.rewinds == 0
    assert len(sink.names()) == 101


@pytest.mark.parametrize(
    "last",
    [
        layers.entry(b"a-late", b"out of order"),
        layers.entry(b"f0001", b"again"),
        layers.entry(b"z/.sourceignore", b"nothing\n"),
        layers.entry(b"f0002.jpg", b"late"),
    ],
)
def test_a_stream_that_turns_out_wrong_is_taken_back(last: bytes, tmp_path: pathlib.Path) -> None:
    """Disorder, a repeated name or ignore rules at the end: written again from the start."""
    files = _large(60) | {"f0002.jpg": b"picture"}
    parts = [*layers.tree(dict(sorted(files.items()))), last]
    streamed, sink = layers.packed(layers.layer(*parts), folder=tmp_path, memory_bound=1 << 20)
    held, other = layers.packed(layers.layer(*parts), folder=tmp_path, may_stream=False)
    assert sink.rewinds == 1
    assert sink.digest == other.digest
    assert streamed == held


def test_without_a_way_back_nothing_streams(tmp_path: pathlib.Path) -> None:
    """Not one byte is written before all of the layer has been read."""
    blob = io.BytesIO(layers.layer(*layers.tree(_large(60))))
    end = len(blob.getvalue())
    written: list[int] = []

    def write(_data: bytes) -> None:
        written.append(blob.tell())

    repack.repack(
        blob,
        ignore=None,
        limits=repack.Limits(),
        write=write,
        is_cancelled=lambda: False,
        spool_dir=tmp_path,
        memory_bound=1 << 20,
    )
    assert set(written) == {end}


def test_no_room_to_spool_is_a_storage_error(tmp_path: pathlib.Path) -> None:
    """The text says what to do and shows no path."""
    blob = layers.layer(*layers.tree(_large(60)))
    gone = tmp_path / "gone"
    with pytest.raises(errors.StorageError, match="failed to spool the layer: no such file"):
        layers.packed(blob, folder=gone, may_stream=False, memory_bound=1 << 20)


@pytest.mark.parametrize("may_stream", [True, False])
@pytest.mark.parametrize("memory_bound", [1 << 20, 1 << 30])
def test_the_work_can_be_called_off_at_any_block(
    tmp_path: pathlib.Path, *, may_stream: bool, memory_bound: int
) -> None:
    """The token is asked while reading and while packing; each answer counts."""
    blob = layers.layer(*layers.tree(_large(60)))
    asked = itertools.count()

    def never() -> bool:
        next(asked)
        return False

    more: dict[str, Any] = {"may_stream": may_stream, "memory_bound": memory_bound}
    layers.packed(blob, folder=tmp_path, is_cancelled=never, **more)
    total = next(asked)
    assert total > 2 * 60 * 66_000 // (256 << 10) - 5
    for stop in range(total):
        answers = itertools.count()

        def at(stop: int = stop, answers: "itertools.count[int]" = answers) -> bool:
            return next(answers) >= stop

        with pytest.raises(errors.AbandonedError):
            layers.packed(blob, folder=tmp_path, is_cancelled=at, **more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("may_stream", [True, False])
@pytest.mark.parametrize("name", [b"%05d.jpg", b"one.txt"])
def test_the_work_can_be_called_off_while_nothing_is_written(
    tmp_path: pathlib.Path, name: bytes, *, may_stream: bool
) -> None:
    """A layer of which all is left out, or repeated, fills no block, and asks all the same."""
    names = [name % number if b"%" in name else name for number in range(9000)]
    blob = layers.layer(*(layers.entry(each) for each in names))
    windows = len(gzip.decompress(blob)) // (256 << 10) + 1
    more: dict[str, Any] = {"may_stream": may_stream, "folder": tmp_path}
    asked = itertools.count()
    result, _ = layers.packed(blob, is_cancelled=lambda: next(asked) < 0, **more)
    assert sum(result.skipped.values()) >= 8999
    assert next(asked) > windows + 1  # one is asked by the only block there is
    reading = itertools.count()
    with pytest.raises(errors.AbandonedError):
        layers.packed(blob, is_cancelled=lambda: next(reading) > windows, **more)


def test_errors_of_the_receiver_pass_through(tmp_path: pathlib.Path) -> None:
    """A full disk on the other side ends the work, as itself."""

    def full(_data: bytes) -> None:
        raise errors.StorageError("disk full")

    with pytest.raises(errors.StorageError, match="disk full"):
        repack.repack(
            io.BytesIO(layers.layer()),
            ignore=None,
            limits=repack.Limits(),
            write=full,
            is_cancelled=lambda: False,
            spool_dir=tmp_path,
        )


def test_two_packers_at_once_do_not_meet(tmp_path: pathlib.Path) -> None:
    """Threads share nothing."""
    blobs = [layers.layer(*layers.tree(_forest(random.Random(n), count=50))) for n in range(4)]
    wanted = [layers.packed(blob, folder=tmp_path)[1].digest for blob in blobs]
    found: dict[int, str] = {}

    def work(number: int) -> None:
        found[number] = layers.packed(blobs[number], folder=tmp_path)[1].digest

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == wanted


@pytest.mark.parametrize("limit", [255, 2048])
def test_a_layer_over_the_size_is_refused_by_name(limit: int, tmp_path: pathlib.Path) -> None:
    """The entry that would pass the bound is named, and the flag."""
    blob = layers.layer(layers.entry(b"big-file", b"x" * 4096))
    text = f'tar "big-file" is bigger than max archive size of {limit} bytes.*--max-unpacked-size'
    if limit < 512 * 11:
        text = f"bigger than max archive size of {limit} bytes.*--max-unpacked-size"
    with pytest.raises(errors.LimitExceededError, match=text):
        layers.packed(blob, folder=tmp_path, limits=repack.Limits(unpacked_bytes=limit))
    layers.packed(blob, folder=tmp_path, limits=repack.Limits(unpacked_bytes=-1))


def _explicit(form: compression.Compression) -> Callable[[bytes], bytes]:
    forms: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "none": bytes,
    }
    return forms[form]


@pytest.mark.parametrize("form", ["gzip", "zstd", "none"])
def test_the_form_may_be_stated_or_seen(
    form: compression.Compression, tmp_path: pathlib.Path
) -> None:
    """All three give the same artifact either way."""
    tar = layers.tar(layers.entry(b"a.txt", b"foo\n"))
    blob = _explicit(form)(tar)
    seen = layers.packed(blob, folder=tmp_path)
    stated = layers.packed(blob, folder=tmp_path, compression=form)
    plain = layers.packed(layers.layer(layers.entry(b"a.txt", b"foo\n")), folder=tmp_path)
    assert seen[0] == stated[0] == plain[0]
    assert hashlib.sha256(seen[1].data).hexdigest() == plain[1].digest
