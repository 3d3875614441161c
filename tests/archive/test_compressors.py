"""The bytes of packed streams: the same as ever, on every CPU that is promised.

The digests below were made on real and emulated CPUs; docs/adr/0003 says which.
"""

import gzip
import importlib.metadata
import json
import pathlib
import platform

import pytest

from tests.archive import shapes
from tests.parts import qemu

PORTABLE = {
    "nothing": "ac73670af3abed54ac6fb4695131f409",
    "a byte": "d96912cae540a75b4520f1029005dc3c",
    "zeros": "5958a4492c63196a15fef2802db036af",
    "noise": "650ca896665d221c0c3059076c2816c2",
    "text": "142500ab6a339cd825a3f62c06cb9405",
    "whole blocks": "5b9e1ab01e51abc12a3c332f1bd7aee6",
    "mixed": "9bf9d8ac8f7b13e6a1082476a9d3357f",
}
SSE42, OLD, ARM64 = "x86-64 with SSE4.2", "x86-64 without SSE4.2", "arm64"
_ALIKE = {
    "nothing": "ac73670af3abed54ac6fb4695131f409",
    "a byte": "d96912cae540a75b4520f1029005dc3c",
}
FAST = {
    SSE42: _ALIKE
    | {
        "zeros": "0f10772c4e3bdfa99a7f1a1acc0e4856",
        "noise": "087121f7f6a9f7fe4a7412ad1fe035a2",
        "text": "3e3b697c78faadb03b8ee7fdc11e783c",
        "whole blocks": "724ef7cfbffa85f19c381214ece86b01",
        "mixed": "7f93efe070f34ffad68d983002e1af2b",
    },
    OLD: _ALIKE
    | {
        "zeros": "9120dd10c7a9a66e4402a116bff6c6c1",
        "noise": "01cbfa98abcab62a98040e02e215d42e",
        "text": "059eb9b8681db5d76a2f84709e02e4b3",
        "whole blocks": "f8d42a0c76e03d77d9c1ff74c1147822",
        "mixed": "0f281c63de9cf832e7db89c28d5258a5",
    },
    ARM64: _ALIKE
    | {
        "zeros": "9120dd10c7a9a66e4402a116bff6c6c1",
        "noise": "afacfea9a61d8321e7d7d0bfe502d15f",
        "text": "1454440c9743af65b6d844a4850ab6af",
        "whole blocks": "6b925ed7151752c80283f41a127364b3",
        "mixed": "4ac30274efbb682482d1d76fe35b6f80",
    },
}
_LIBRARIES = {"fast": "isal", "portable": "zlib-ng"}
_CPUS = pathlib.Path("/proc/cpuinfo")
# From no SSE4 at all to AVX2; AVX-512 is what most machines that run the tests have themselves.
_EMULATED = {"qemu64": OLD, "Nehalem": SSE42, "Haswell": SSE42}


def assert_as_ever(name: str, found: dict[str, str], expected: dict[str, str], where: str) -> None:
    """Compare digests; what differs is told with what it means."""
    differing = [shape for shape, digest in expected.items() if found.get(shape) != digest]
    library = _LIBRARIES[name]
    assert not differing, (
        f"{library} {importlib.metadata.version(library)} packs {differing} into other bytes than"
        f" ever on {where}: digests of artifacts change. Read docs/adr/0003 and tell users in the"
        f" changelog before these are written down instead: {found}"
    )
    assert found.keys() == expected.keys()


def kind() -> str | None:
    """The kind of the CPU at hand, as ISA-L tells them apart; None for one that was never tried."""
    if not _CPUS.exists():
        return None
    lines = _CPUS.read_text().splitlines()
    features = {
        word
        for line in lines
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    match platform.machine():
        case "x86_64":
            return SSE42 if "sse4_2" in features else OLD
        case "aarch64" if "crc32" in features:
            return ARM64
        case _:
            return None


def test_what_is_pushed_has_the_same_bytes_as_ever() -> None:
    """On every CPU: the digest of a pushed tree does not depend on who pushes it."""
    assert_as_ever("portable", shapes.digests("portable"), PORTABLE, platform.machine())


def test_what_is_served_has_the_same_bytes_as_ever_on_this_kind_of_cpu() -> None:
    """Replicas on CPUs of one kind agree, and so do the releases before and after."""
    here = kind()
    if here is None:
        pytest.skip(f"no digests are known for a CPU like this: {platform.machine()}")
    assert_as_ever("fast", shapes.digests("fast"), FAST[here], here)


@pytest.mark.parametrize("cpu", _EMULATED)
def test_an_emulated_cpu_makes_the_bytes_of_its_kind(cpu: str, tmp_path: pathlib.Path) -> None:
    """What is pushed is the same; what is served is that of the kind. Both are unpacked again."""
    done = qemu.find(tmp_path / "home").python(cpu, "-m", "tests.archive.shapes")
    found = json.loads(done.stdout)
    assert_as_ever("portable", found["portable"], PORTABLE, f"an emulated {cpu}")
    assert_as_ever("fast", found["fast"], FAST[_EMULATED[cpu]], f"an emulated {cpu}")


@pytest.mark.parametrize("name", shapes.COMPRESSORS)
def test_streams_are_read_by_others_and_tell_no_file_time_or_system(name: str) -> None:
    """The standard library unpacks them, checksum and size too; the header is Go's."""
    for data in shapes.shapes().values():
        stream = shapes.packed(name, data)
        assert gzip.decompress(stream) == data
        assert stream[:10].hex() == "1f8b08000000000000ff"


def test_what_is_pushed_is_as_short_as_zlib_makes_it() -> None:
    """Within 3 %, and a few bytes."""
    for shape, data in shapes.shapes().items():
        assert len(shapes.packed("portable", data)) <= 1.03 * len(gzip.compress(data, 6)) + 9, shape
