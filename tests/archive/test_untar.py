"""Reading tar headers: the formats, the refusals, and entries that lie across windows."""

import pytest

from ocisource import errors
from ocisource.archive import limits, untar
from tests.archive import layers

LIMITS = limits.Limits()


def index(
    data: bytes, *, window: int = 1 << 16, bounds: limits.Limits = LIMITS
) -> tuple[list[tuple[str, int, int]], untar.Index]:
    """Entries as (name, kind, size), read in windows of the given length."""
    read = untar.Index(bounds)
    found: list[untar.Entry] = []
    for start in range(0, len(data), window):
        found += read.feed(data[start : start + window])
    read.finish()
    names = [key.replace(b"\0", b"/").decode("utf-8", "surrogateescape") for key, *_ in found]
    return [(name, kind, size) for name, (_, _, kind, size) in zip(names, found, strict=True)], read


def names(data: bytes) -> list[str]:
    """Names alone."""
    return [name for name, _, _ in index(data)[0]]


def refused(data: bytes, kind: type[errors.OcisourceError], text: str) -> None:
    """The archive must raise this error, whatever the windows."""
    for window in (512, 1024, 1 << 16):
        with pytest.raises(kind, match=text):
            index(data, window=window)


@pytest.mark.parametrize("window", [512, 1024, 4096, 1 << 18])
def test_entries_are_the_same_whatever_the_windows(window: int) -> None:
    """Headers, long names, records and data may lie across any boundary of blocks."""
    data = layers.tar(
        layers.directory(b"d/"),
        layers.entry(b"d/a", b"x" * 5000),
        layers.gnu_long_name(b"d/" + b"g" * 3000),
        layers.entry(b"d/ggg", b"y"),
        layers.pax((b"path", b"d/" + b"p" * 2000), (b"mtime", b"1.5")),
        layers.entry(b"d/ppp", b"z" * 513, mode=b"0000755\0"),
    )
    wanted = [
        ("d", untar.DIRECTORY, 0),
        ("d/a", untar.FILE, 5000),
        ("d/" + "g" * 3000, untar.FILE, 1),
        ("d/" + "p" * 2000, untar.EXECUTABLE, 513),
    ]
    assert index(data, window=window)[0] == wanted


def test_offsets_lead_to_the_data() -> None:
    """An entry's offset is that of its first byte in the stream."""
    data = layers.tar(layers.pax((b"comment", b"c" * 900)), layers.entry(b"a", b"hello"))
    read = untar.Index(LIMITS)
    ((_, offset, _, size),) = read.feed(data)
    assert data[offset : offset + size] == b"hello"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (b"0000644\0", untar.FILE),
        (b"0000600\0", untar.FILE),
        (b"0006000\0", untar.FILE),
        (b"0000100\0", untar.EXECUTABLE),
        (b"0000010\0", untar.EXECUTABLE),
        (b"0000001\0", untar.EXECUTABLE),
        (b"0000777\0", untar.EXECUTABLE),
        (b"000755 \0", untar.EXECUTABLE),
        (b"   755 \0", untar.EXECUTABLE),
        (b"\x80\0\0\0\0\0\x01\xed", untar.EXECUTABLE),
        (b"\0" * 8, untar.FILE),
    ],
)
def test_any_execute_bit_makes_an_executable(mode: bytes, kind: int) -> None:
    """Owner's, group's or others' bit; octal or base 256; no mode at all is none."""
    assert index(layers.tar(layers.entry(b"f", b"", mode=mode)))[0] == [("f", kind, 0)]


@pytest.mark.parametrize(
    "field",
    [
        b"00000000005\0",
        b"000000000005",
        b"          5\0",
        b"5          \0",
        b"5\0\0\0\0\0\0\0\0\0\0\0",
        b"       5 \0\0\0",
        b"\x80" + bytes(10) + b"\x05",
    ],
)
def test_sizes_are_octal_or_base_256(field: bytes) -> None:
    """Leading zeros or blanks, ended by NUL, blank or nothing, and GNU's base 256."""
    data = layers.header(b"f", size_field=field) + layers.padded(b"hello") + layers.END
    assert index(data)[0] == [("f", untar.FILE, 5)]


def test_an_empty_size_is_none() -> None:
    """Blanks or NULs alone are zero."""
    for field in (b"\0" * 12, b" " * 12):
        data = layers.tar(layers.header(b"f", size_field=field))
        assert index(data)[0] == [("f", untar.FILE, 0)]


@pytest.mark.parametrize(
    "field",
    [
        b"0000000000x\0",
        b"0000000009\0\0",
        b"-0000000001\0",
        b"+0000000001\0",
        b"0_0_0_0_0_1\0",
        b"0o000000001\0",
        b"00000 00001\0",
        b"\xff" * 12,
        b"\xff" * 11 + b"\xfe",
        b"\x80\0\0\0\x80" + bytes(7),
        b"\x81" + bytes(11),
        b"\xc0" + bytes(11),
    ],
)
def test_malformed_or_negative_sizes_are_refused(field: bytes) -> None:
    """What is no octal number, is negative, or passes 63 bits."""
    refused(layers.tar(layers.header(b"f", size_field=field)), errors.CorruptArchiveError, "number")


def test_a_base_256_size_counts_against_the_bound_before_its_data() -> None:
    """A header that states 8 GiB and more is refused by its word alone."""
    field = b"\x80" + (1 << 33).to_bytes(11, "big")
    refused(
        layers.tar(layers.header(b"huge", size_field=field)),
        errors.LimitExceededError,
        'tar "huge" is bigger than max archive size of 4294967296 bytes',
    )


def test_a_pax_size_replaces_the_header_s() -> None:
    """The size of a PAX record holds, however the header's field reads."""
    data = layers.tar(
        layers.pax((b"size", b"600")),
        layers.header(b"f", size_field=b"00000000000\0") + layers.padded(b"x" * 600),
        layers.entry(b"g", b""),
    )
    assert index(data)[0] == [("f", untar.FILE, 600), ("g", untar.FILE, 0)]


@pytest.mark.parametrize("value", [b"-1", b"+5", b"1_0", b"0x5", b" 5", b"9" * 19, b"9" * 30])
def test_malformed_pax_sizes_are_refused(value: bytes) -> None:
    """Only decimal digits within 63 bits are a size."""
    data = layers.tar(layers.pax((b"size", value)), layers.header(b"f"))
    refused(data, errors.CorruptArchiveError, "malformed size")


def test_an_empty_pax_value_leaves_the_header_s() -> None:
    """``path=`` and ``size=`` say nothing."""
    data = layers.tar(layers.pax((b"path", b""), (b"size", b"")), layers.entry(b"f", b"abc"))
    assert index(data)[0] == [("f", untar.FILE, 3)]


@pytest.mark.parametrize(
    "body",
    [
        b"x path=f\n",
        b"9 path=f",
        b"11 path=f\n",
        b"8 path=f\n",
        b"0 path=f\n",
        b"9path=f\n",
        b"8 pathf\n",
        b"5 =f\n",
        b"-9 path=f\n",
        b"99999999999999999999 path=f\n",
        b"\n",
        b"8 \0path=\n",
    ],
)
def test_malformed_pax_records_are_refused(body: bytes) -> None:
    """Wrong lengths, no keyword, no newline."""
    data = layers.tar(layers.entry(b"PaxHeaders.0/f", body, typeflag=b"x"), layers.header(b"f"))
    refused(data, errors.CorruptArchiveError, "malformed PAX header")


def test_a_nul_in_a_pax_path_is_refused() -> None:
    """A name with a NUL could mean another to whoever reads it with C's eyes."""
    data = layers.tar(layers.pax((b"path", b"a\0b")), layers.header(b"f"))
    refused(data, errors.CorruptArchiveError, "NUL in the path")


def test_solaris_headers_are_pax_headers() -> None:
    """Type X is read as type x."""
    data = layers.tar(layers.pax((b"path", b"long"), typeflag=b"X"), layers.entry(b"f"))
    assert names(data) == ["long"]


def test_prefix_and_name_of_ustar_are_joined() -> None:
    """Only where the magic says that there is a prefix field."""
    assert names(layers.tar(layers.entry(b"f", prefix=b"p/q"))) == ["p/q/f"]
    gnu = layers.entry(b"f", prefix=b"14200000000\0", magic=b"ustar  \0")
    assert names(layers.tar(gnu)) == ["f"]
    assert names(layers.tar(layers.entry(b"f", magic=b""))) == ["f"]
    star = bytearray(layers.header(b"f", prefix=b"p"))
    star[476:500] = b"14200000000\x0014200000000\0"
    star[508:512] = b"tar\0"
    star[148:156] = b" " * 8
    star[148:156] = b"%06o\0 " % sum(star)
    assert names(layers.tar(bytes(star))) == ["p/f"]


def test_names_fill_their_fields() -> None:
    """100 bytes of name and 155 of prefix need no NUL."""
    data = layers.tar(layers.entry(b"n" * 100, prefix=b"p" * 155))
    assert names(data) == ["p" * 155 + "/" + "n" * 100]


def test_names_are_cleaned() -> None:
    """A leading ``./``, doubled slashes and dots leave no trace; the root gives no entry."""
    data = layers.tar(
        layers.directory(b"./"),
        layers.directory(b"./d/"),
        layers.entry(b"./d/a"),
        layers.entry(b"d//b"),
        layers.entry(b"d/./c"),
        layers.directory(b"."),
        layers.directory(b"d/e/."),
    )
    assert names(data) == ["d", "d/a", "d/b", "d/c", "d/e"]


def test_names_need_not_be_utf8() -> None:
    """Names are bytes."""
    assert names(layers.tar(layers.entry(b"\xff\xfe"))) == ["\udcff\udcfe"]


def test_old_directories_end_in_a_slash() -> None:
    """V7 had no type for them; a stated size has no data."""
    data = layers.tar(
        layers.header(b"v7/", typeflag=b"\0", magic=b"", size=700),
        layers.entry(b"v7/f", b"x", typeflag=b"\0", magic=b""),
        layers.header(b"bsd/", typeflag=b"0"),
    )
    assert index(data)[0] == [
        ("v7", untar.DIRECTORY, 0),
        ("v7/f", untar.FILE, 1),
        ("bsd", untar.DIRECTORY, 0),
    ]


def test_contiguous_files_are_files() -> None:
    """Type 7."""
    data = layers.tar(layers.entry(b"f", b"abc", typeflag=b"7"))
    assert index(data)[0] == [("f", untar.FILE, 3)]


def test_links_and_global_headers_leave_no_entry_and_are_counted() -> None:
    """Two symlinks, a hard link and git's global header; a link's size has no data."""
    data = layers.tar(
        layers.pax((b"comment", b"0123abc"), typeflag=b"g"),
        layers.header(b"s1", typeflag=layers.SYMLINK, link=b"/etc/passwd"),
        layers.entry(b"f", b"abc"),
        layers.header(b"h", typeflag=layers.HARD_LINK, link=b"f", size=3),
        layers.header(b"s2", typeflag=layers.SYMLINK, link=b"../x"),
    )
    entries, read = index(data)
    assert entries == [("f", untar.FILE, 3)]
    assert read.skipped == {"global header": 1, "symlink": 2, "hard link": 1}


def test_a_long_link_name_is_the_link_s_alone() -> None:
    """GNU's K header changes no name."""
    data = layers.tar(
        layers.entry(b"././@LongLink", b"t" * 300 + b"\0", typeflag=b"K", magic=b"ustar  \0"),
        layers.gnu_long_name(b"n" * 200),
        layers.header(b"nnn", typeflag=layers.SYMLINK, link=b"ttt"),
        layers.entry(b"f"),
    )
    entries, read = index(data)
    assert entries == [("f", untar.FILE, 0)]
    assert read.skipped == {"symlink": 1}


def test_a_long_link_name_without_its_link_is_refused() -> None:
    """As is any header that announces an entry which does not come."""
    for head in (
        layers.entry(b"././@LongLink", b"t" * 300 + b"\0", typeflag=b"K"),
        layers.gnu_long_name(b"n"),
        layers.pax((b"mtime", b"1")),
    ):
        for end in (b"", layers.END):
            refused(head + end, errors.CorruptArchiveError, "unexpected EOF")


def test_checksums_may_be_sums_of_signed_bytes() -> None:
    """Old tars summed chars, which are signed on most machines."""
    assert names(layers.tar(layers.entry("größe".encode(), is_signed=True))) == ["größe"]


@pytest.mark.parametrize("form", [b"%06o\0 ", b"%06o \0", b"%07o\0", b"%6o\0 ", b"%o\0", b" %o "])
def test_checksums_come_in_several_forms(form: bytes) -> None:
    """Six digits and NUL and blank, seven digits, blanks before or after."""
    plain = bytearray(layers.header(b"f"))
    plain[148:156] = b" " * 8
    field = (form % sum(plain)).ljust(8, b"\0")
    assert names(layers.tar(layers.header(b"f", checksum=field))) == ["f"]


@pytest.mark.parametrize("field", [b"0_%d\0 ", b"+%d\0 ", b"0x%d\0 ", b"%d_\0 "])
def test_checksums_are_digits(field: bytes) -> None:
    """Python reads more as numbers than tar does."""
    plain = bytearray(layers.header(b"f"))
    plain[148:156] = b" " * 8
    bad = field % int(f"{sum(plain):o}")
    data = layers.tar(layers.header(b"f", checksum=bad.ljust(8, b"\0")[:8]))
    refused(data, errors.CorruptArchiveError, "malformed number")


def test_every_changed_byte_of_a_header_is_noticed() -> None:
    """A checksum that is off by one, by eight or by 128 anywhere is refused."""
    good = layers.header(b"dir/name.yaml", size=0, prefix=b"some/prefix")
    for offset in range(512):
        if 148 <= offset < 156:
            continue  # the checksum itself has several forms
        for delta in (1, 8, 128):
            bad = bytearray(good)
            bad[offset] = (bad[offset] + delta) % 256
            with pytest.raises(errors.CorruptArchiveError, match="invalid tar header"):
                index(layers.tar(bytes(bad)))


def test_a_checksum_far_off_is_noticed() -> None:
    """Also where bytes are high enough for Adler-32's modulus to matter."""
    high = layers.header(b"\xff" * 100, prefix=b"\xfe" * 155, link=b"\xff" * 100)
    assert len(names(layers.tar(high))) == 1
    total = int(high[148:154], 8)
    for wrong in (total - 65521, total - 65536, total + 65521, total + 1, 0):
        field = b"%06o\0 " % wrong
        bad = high[:148] + field + high[156:]
        with pytest.raises(errors.CorruptArchiveError, match="invalid tar header"):
            index(layers.tar(bad))


@pytest.mark.parametrize(
    ("typeflag", "what"),
    [
        (b"3", "character device"),
        (b"4", "block device"),
        (b"6", "FIFO"),
        (b"S", "sparse file"),
        (b"M", "multi-volume"),
        (b"D", "type b'D'"),
        (b"V", "type b'V'"),
        (b"Z", "type b'Z'"),
        (b"\xff", "type"),
    ],
)
def test_other_types_are_refused(typeflag: bytes, what: str) -> None:
    """Devices, FIFOs, sparse files and what nobody knows."""
    data = layers.tar(layers.header(b"thing", typeflag=typeflag))
    refused(data, errors.UnsafeEntryError, f'"thing" contained unsupported file type: .*{what}')


@pytest.mark.parametrize("keyword", [b"GNU.sparse.major", b"GNU.sparse.map", b"GNU.sparse.name"])
def test_pax_sparse_files_are_refused(keyword: bytes) -> None:
    """All three of GNU's sparse formats in PAX records."""
    data = layers.tar(layers.pax((keyword, b"1")), layers.entry(b"f"))
    refused(data, errors.CorruptArchiveError, "sparse")


@pytest.mark.parametrize(
    "name",
    [
        b"../abc/file",
        b"a/../../b",
        b"a/../b",
        b"/etc/passwd",
        b"//x",
        b"a\\b",
        b"..\\x",
        b"C:\\x",
        b"",
        b"..",
        b"a/..",
        b"../",
        b"foo../bar",
        b"./../x",
    ],
)
@pytest.mark.parametrize("typeflag", [b"0", b"5", b"2", b"1", b"6"])
def test_bad_names_are_refused_on_every_type(name: bytes, typeflag: bytes) -> None:
    """Empty, absolute, climbing or with a backslash; even where the entry would be left out."""
    wanted = "tar contained invalid name error"
    short = layers.tar(layers.header(name, typeflag=typeflag))
    long = layers.tar(layers.gnu_long_name(name), layers.header(b"f", typeflag=typeflag))
    refused(short, errors.UnsafeEntryError, wanted)
    refused(long, errors.UnsafeEntryError, wanted)


def test_bad_names_are_refused_in_every_field() -> None:
    """Prefix and name are judged together, and so is a PAX path."""
    split = layers.tar(layers.header(b"passwd", prefix=b"a/../../etc"))
    whole = layers.tar(layers.pax((b"path", b"/etc/passwd")), layers.header(b"harmless"))
    for data in (split, whole):
        refused(data, errors.UnsafeEntryError, "tar contained invalid name error")


def test_the_refusal_quotes_the_name_and_keeps_to_one_line() -> None:
    """Control characters are escaped, length is bounded."""
    with pytest.raises(errors.UnsafeEntryError) as caught:
        index(layers.tar(layers.gnu_long_name(b"../" + b"\n\x1b[31m" * 400), layers.header(b"f")))
    assert '"../\\n\\x1b[31m' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_file_named_like_a_directory_is_refused() -> None:
    """Data under a trailing slash means a file to some and a directory to others."""
    refused(layers.tar(layers.entry(b"d/", b"data")), errors.UnsafeEntryError, "a directory's name")
    refused(layers.tar(layers.entry(b".", b"data")), errors.UnsafeEntryError, "invalid name")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            [layers.gnu_long_name(b"a"), layers.gnu_long_name(b"b"), layers.entry(b"f")],
            "two GNU long names",
        ),
        (
            [layers.pax((b"path", b"a")), layers.pax((b"path", b"b")), layers.entry(b"f")],
            "two PAX headers",
        ),
        (
            [layers.gnu_long_name(b"a"), layers.pax((b"path", b"b")), layers.entry(b"f")],
            "both a GNU long name and a PAX path",
        ),
        (
            [
                layers.pax((b"path", b"b")),
                layers.pax((b"comment", b"c"), typeflag=b"g"),
                layers.entry(b"f"),
            ],
            "global PAX header between",
        ),
        (
            [layers.pax((b"path", b"x"), typeflag=b"g"), layers.entry(b"f")],
            "global PAX header sets the path",
        ),
        (
            [layers.pax((b"size", b"9"), typeflag=b"g"), layers.entry(b"f")],
            "global PAX header sets the size",
        ),
        ([bytes(512), layers.entry(b"f")], "lone zero block"),
        ([bytes(512), b"\1" * 512], "lone zero block"),
        (
            [
                layers.header(b"././@LongLink", size=3, typeflag=b"L") + layers.padded(b"abcdef"),
                layers.entry(b"f"),
            ],
            "long name without an end",
        ),
        ([layers.entry(b"f", prefix=b"aaaa", magic=b"ustar  \0")], "malformed number"),
        ([layers.entry(b"f", prefix=b"aaaa", magic=b"ustar/00")], "prefix in a header of unknown"),
        ([layers.entry(b"f", prefix=b"aaaa", magic=b"")], "prefix in a header of unknown"),
    ],
)
def test_what_readers_of_tar_disagree_about_is_refused(parts: list[bytes], text: str) -> None:
    """Whoever unpacks the artifact must see what was judged here."""
    refused(layers.tar(*parts), errors.CorruptArchiveError, text)


def test_the_end_may_be_two_zero_blocks_one_or_none() -> None:
    """And whatever follows two of them is not looked at."""
    entry = layers.entry(b"f", b"abc")
    for end in (b"", bytes(512), bytes(1024), bytes(10240), bytes(1024) + b"junk" * 300):
        assert names(entry + end) == ["f"]
    assert names(b"") == []
    assert names(bytes(1024)) == []


def test_every_truncation_is_noticed_or_leaves_whole_entries() -> None:
    """Cut anywhere but between two entries, the archive is refused."""
    first = layers.pax((b"path", b"p" * 200)) + layers.entry(b"p", b"x" * 700)
    data = first + layers.entry(b"q", b"y" * 10)
    clean = {0: 0, len(first): 1, len(data): 2}
    for length in range(len(data) + 1):
        if length in clean:
            assert len(names(data[:length])) == clean[length]
        else:
            with pytest.raises(errors.CorruptArchiveError, match="unexpected EOF"):
                names(data[:length])


def test_order_and_ignore_files_are_noticed() -> None:
    """What decides whether a layer can stream through."""
    ordered = layers.tree({"a/": b"", "a/b": b"", "a-": b"", "b": b""})
    assert index(layers.tar(*ordered))[1].is_streamable
    assert not index(layers.tar(*reversed(ordered)))[1].is_streamable
    assert not index(layers.tar(*ordered, *ordered[-1:]))[1].is_ordered
    _, read = index(layers.tar(*layers.tree({"a/.sourceignore": b"x", "b.sourceignore": b""})))
    assert read.is_ordered
    assert [key for key, *_ in read.ignore_files] == [b"a\0.sourceignore"]


def test_a_directory_called_sourceignore_is_no_ignore_file() -> None:
    """Only files hold rules."""
    assert index(layers.tar(layers.directory(b".sourceignore/")))[1].is_streamable


@pytest.mark.parametrize("length", [4096, 4097])
def test_names_are_bounded(length: int) -> None:
    """4096 bytes pass, one more names the flag."""
    name = b"/".join([b"x" * 255] * 16)[: length - 1] + b"z"
    name = name.ljust(length, b"z")
    for data in (
        layers.tar(layers.gnu_long_name(name), layers.entry(b"f")),
        layers.tar(layers.pax((b"path", name)), layers.entry(b"f")),
    ):
        if length == 4096:
            assert names(data) == [name.decode()]
        else:
            refused(
                data, errors.LimitExceededError, "4097 bytes, more than 4096.*--max-name-length"
            )


def test_entries_are_bounded_links_included() -> None:
    """The count names the flag; a bound of zero or less is none."""
    data = layers.tar(
        *(layers.header(b"s%d" % n, typeflag=layers.SYMLINK, link=b"x") for n in range(5))
    )
    with pytest.raises(errors.LimitExceededError, match=r"more than 4 entries.*--max-entries"):
        index(data, bounds=limits.Limits(entries=4))
    for unbounded in (5, 0, -1):
        index(data, bounds=limits.Limits(entries=unbounded))


def test_an_extended_header_is_bounded() -> None:
    """A megabyte of records is taken, more is refused by its header alone."""
    huge = layers.header(b"x", typeflag=b"x", size=(1 << 20) + 1)
    refused(huge, errors.CorruptArchiveError, "extended header of 1048577 bytes")
    data = layers.tar(layers.pax((b"comment", b"c" * 1_000_000)), layers.entry(b"f"))
    assert names(data) == ["f"]
