"""The public Python API: resolve, pull, build, push."""

import asyncio
import contextlib
import doctest
import gzip
import io
import pathlib
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable

import pytest

import ocisource
from ocisource import errors
from ocisource.artifact import comparing, pushing, remote
from ocisource.demo import demo
from ocisource.demo import registry as demo_registry
from ocisource.oci.grammar import reference
from tests.archive import layers
from tests.simulators import faults
from tests.simulators import registry as simulators


@pytest.fixture
async def host() -> AsyncIterator[str]:
    """A registry of the test's own."""
    server = demo_registry.Registry()
    yield await server.start()
    await server.stop()


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with two files."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1")
    (folder / "sub" / "b.yaml").write_text("b: 1")
    return folder


def test_importing_the_package_costs_next_to_nothing() -> None:
    """Nothing heavy is loaded before a function is used; unknown names are AttributeErrors."""
    code = (
        "import ocisource, sys;"
        "heavy = {'aiohttp', 'asyncio', 'click', 'msgspec', 'yaml', 'ssl'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "ocisource.resolve; assert 'aiohttp' in sys.modules;"
        "assert 'click' not in sys.modules and 'ocisource.kube' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(ocisource.__all__) <= {*dir(ocisource), *ocisource.__all__}
    for name in ocisource.__all__:
        assert getattr(ocisource, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nix'"):
        getattr(ocisource, "nix")  # noqa: B009 - as a user's typing error


def test_the_example_of_patience_is_true() -> None:
    """What the documentation shows is what happens."""
    _run_examples(str(pushing.patience.__doc__), pushing.patience.__globals__)


_EXAMPLE_HOST = "ghcr.io"


@pytest.fixture
def example_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the examples work: with folders deploy and app."""
    monkeypatch.chdir(tmp_path)
    for name in ("deploy", "app"):
        pathlib.Path(name).mkdir()
    pathlib.Path("deploy/app.yaml").write_text("replicas: 2")


@pytest.fixture
async def example_host(host: str, example_folder: None) -> str:
    """A registry that holds what the examples want to find."""
    del example_folder
    url = f"oci://{host}/org/app:6.7.1"
    await ocisource.push(url, "deploy", source="s", revision="main@sha1:…")
    return host


@pytest.mark.parametrize(
    "function", [ocisource.push, ocisource.pull, ocisource.resolve, ocisource.build]
)
async def test_the_examples_are_true(example_host: str, function: Callable[..., object]) -> None:
    """The registry of the examples stands for one on this machine."""
    text = str(function.__doc__).replace(_EXAMPLE_HOST, example_host)
    await asyncio.to_thread(_run_examples, text, function.__globals__)


_PAGE = (pathlib.Path(__file__).parents[2] / "docs/python.md").read_text()


async def test_the_program_of_the_docs_runs(example_host: str) -> None:
    """docs/python.md shows all four functions in one program."""
    program = _PAGE.partition("```python\n")[2].partition("```")[0]
    program = program.replace(_EXAMPLE_HOST, example_host)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _run_examples(text: str, names: dict[str, object]) -> None:
    example = doctest.DocTestParser().get_doctest(text, {**names}, "example", None, None)
    assert example.examples
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0


async def test_push_resolve_pull(host: str, tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """What was pushed is found under its tag, by a range, and is the same when it is pulled."""
    url = f"oci://{host}/org/app"
    seen: list[tuple[int, int]] = []
    pushed = await ocisource.push(
        f"{url}:1.2.0",
        tree,
        source="s",
        revision="r",
        annotations={"team": "x"},
        is_reproducible=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert pushed.url == f"{url}@{pushed.digest}"
    assert seen[-1] == (pushed.size, pushed.size)
    await ocisource.push(f"{url}:2.0.0", tree, source="s", revision="other")
    found = await ocisource.resolve(url, semver="1.x")
    assert found == ocisource.Resolved(f"{host}/org/app", "1.2.0", pushed.digest)
    assert (await ocisource.resolve(found.url)).tag is None
    goal = tmp_path / "goal"
    goal.mkdir()
    pulled = await ocisource.pull(found.url, goal)
    assert (goal / "sub" / "b.yaml").read_text() == "b: 1"
    assert pulled.annotations["team"] == "x"
    assert pulled.annotations["org.opencontainers.image.created"] == "1970-01-01T00:00:00Z"
    assert (pulled.digest, pulled.size) == (pushed.digest, pushed.size)
    with pytest.raises(errors.NoMatchError):
        await ocisource.resolve(url, semver="9.x")
    with pytest.raises(errors.NotFoundError):
        await ocisource.resolve(f"{url}:nix")


async def test_a_large_layer_is_pushed_in_chunks(
    host: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 8 MiB the upload goes in pieces, and progress is told for each."""
    seen: list[int] = []
    blob = tmp_path / "blob.bin"
    blob.write_bytes(bytes(range(256)) * 16)
    monkeypatch.setattr("ocisource.artifact.pushing._ONE_PIECE", 64)
    monkeypatch.setattr("ocisource.artifact.pushing._CHUNK", 32)
    pushed = await ocisource.push(
        f"oci://{host}/org/blob:v1",
        blob,
        source="s",
        revision="r",
        progress=lambda done, _total: seen.append(done),
    )
    assert seen == sorted(seen)
    assert len(seen) > 3
    (tmp_path / "goal").mkdir()
    await ocisource.pull(f"oci://{host}/org/blob:v1", tmp_path / "goal")
    assert (tmp_path / "goal" / "blob.bin").read_bytes() == blob.read_bytes()
    assert pushed.size > 64


async def test_the_demo_is_pulled(tmp_path: pathlib.Path) -> None:
    """The example's artifact, with the credentials of nobody."""
    async with demo.running() as example:
        pulled = await ocisource.pull(example.url, tmp_path, access=ocisource.access(creds="a:b"))
    assert pulled.entries > 0
    assert (tmp_path / "kustomize" / "deployment.yaml").exists()


def list_of(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """What lies in a folder."""
    return list(folder.glob(pattern))


async def test_a_cancelled_build_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """Neither a half-written file nor a running thread."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(b"x" * 1000)
    work = asyncio.create_task(ocisource.build(tmp_path / "in", tmp_path / "out.tgz"))
    await asyncio.sleep(0)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    assert not list_of(tmp_path, ".out*")


async def test_a_failing_build_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    """The target is replaced in one step, or not at all."""
    target = tmp_path / "out.tgz"
    target.write_text("old")
    with pytest.raises(errors.UsageError, match="must point to an existing"):
        await ocisource.build(tmp_path / "nix", target)
    assert target.read_text() == "old"
    with pytest.raises(errors.StorageError, match="cannot write"):
        await ocisource.build(target, tmp_path / "no" / "folder.tgz")


@pytest.mark.parametrize(
    ("creds", "shown"), [("user:pass-word", "pass-word"), ("token-only", "token-only")]
)
def test_credentials_are_in_no_text(creds: str, shown: str) -> None:
    """Neither repr nor str of an access tells them."""
    assert shown not in repr(ocisource.access(creds=creds))
    assert shown not in str(ocisource.access(creds=creds))


def test_addresses() -> None:
    """The scheme is required, and what is wrong is named without userinfo."""
    parsed = remote.parse("oci://ghcr.io/org/app")
    assert parsed == reference.Reference(reference.Repository("ghcr.io", "org/app"), tag="latest")
    with pytest.raises(errors.URLInvalidError, match="must be in format 'oci://"):
        remote.parse("ghcr.io/org/app")
    with pytest.raises(errors.URLInvalidError) as caught:
        remote.parse("oci://user:secret@ghcr.io/org/app")
    assert "secret" not in caught.value.text


async def test_one_failure_of_many_is_an_error_of_ours(
    host: str, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception group reaches the caller."""
    url = f"oci://{host}/org/many"
    for tag in ("a", "b"):
        await ocisource.push(f"{url}:{tag}", tree, source="s", revision="r")

    async def fail(*_: object) -> None:
        raise errors.NotFoundError("gone meanwhile")

    monkeypatch.setattr(remote, "_listed", fail)
    with pytest.raises(errors.NotFoundError, match="gone meanwhile"):
        await remote.list_tags(remote.parse(url).repository)


def test_tags_in_order() -> None:
    """Versions from new to old, pre-releases below their release, then the others."""
    tags = ["v0.9.0", "latest", "1.0.0-rc.1", "v0.10.0", "1.0.0", "a", "1.0"]
    assert remote.ordered(tags) == [
        *("1.0.0", "1.0.0-rc.1", "v0.10.0", "v0.9.0"),
        *("latest", "a", "1.0"),
    ]


def packed(files: dict[str, bytes], *, is_gzip: bool = True) -> io.BytesIO:
    """An archive of those files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return io.BytesIO(gzip.compress(raw.getvalue()) if is_gzip else raw.getvalue())


def test_comparing() -> None:
    """By name, mode and content, whatever the compression; text without a last newline."""
    old = comparing.read(packed({"a": b"1\n", "b": b"x", "c": b"\xff\x00"}), has_text=True)
    new = comparing.read(packed({"b": b"y", "a": b"1\n", "d": b""}, is_gzip=False), has_text=True)
    found = comparing.compare(old, new)
    assert found == comparing.Difference(added=("d",), removed=("c",), changed=("b",))
    assert comparing.unified("b", old.entries["b"], new.entries["b"]) == (
        "--- a/b\n+++ b/b\n@@ -1 +1 @@\n"
        "-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n"
    )
    assert "Binary files" in comparing.unified("c", old.entries["c"], None)
    assert old.tar_digest != new.tar_digest
    assert not comparing.compare(old, old)


def test_a_damaged_archive_is_an_error() -> None:
    """Of gzip, of tar, and of neither."""
    whole = packed({"a": b"1" * 5000}).getvalue()
    for data in (whole[:-20], b"nothing of the kind", b"", whole[:40] + b"\0" * 40 + whole[80:]):
        with pytest.raises(errors.ArchiveError):
            comparing.read(io.BytesIO(data))


def test_an_archive_is_compared_as_a_pull_reads_it() -> None:
    """Names cleaned, links left out, what others disagree about refused, headers bounded."""
    parts = [layers.directory(b"./d/"), layers.entry(b"./d//a", b"1\n"), layers.entry(b"\xff")]
    link = layers.header(b"l", typeflag=layers.SYMLINK, link=b"a")
    found = comparing.read(io.BytesIO(layers.layer(layers.directory(b"./"), *parts, link)))
    assert {name: (each.kind, each.mode) for name, each in found.entries.items()} == {
        "d": ("directory", 0o755),
        "d/a": ("file", 0o644),
        "\udcff": ("file", 0o644),
    }
    for hostile in (
        layers.entry(b"../a"),
        layers.pax((b"hdrcharset", b"\xff"), (b"path", b"a\0b")),
        layers.header(b"x", size=2 << 20, typeflag=b"x"),
    ):
        with pytest.raises(errors.ArchiveError):
            comparing.read(io.BytesIO(layers.layer(hostile, layers.entry(b"f"))))


def test_texts_are_kept_up_to_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond counts as no text: an archive may unpack to gigabytes of it."""
    monkeypatch.setattr(comparing, "TEXT_TOTAL", 5)
    found = comparing.read(packed({"a": b"123", "b": b"456", "c": b"78"}), has_text=True)
    assert [each.text for each in found.entries.values()] == [b"123", None, b"78"]


async def test_a_push_outlives_a_registry_that_restarts(tree: pathlib.Path) -> None:
    """Pauses grow threefold for two minutes in all; then the registry's own word is the error."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with simulators.Simulator() as simulator:
        url = f"oci://{simulator.host}/org/app:v1"
        simulator.on("PUT", "/manifests/", faults.status(503), times=5)
        pushed = await ocisource.push(url, tree, source="s", revision="r", sleep=sleep)
        assert (await ocisource.resolve(url)).digest == pushed.digest
        assert [round(pause / 3**turn) for turn, pause in enumerate(pauses)] == [1] * 5
        simulator.on("PUT", "/manifests/", faults.status(503))
        with pytest.raises(errors.RegistryError, match="503"):
            await ocisource.push(url, tree, source="s", revision="r", sleep=sleep)
        assert len(pauses) == 10
        with pytest.raises(errors.RegistryError, match="503"):
            await ocisource.push(
                url, tree, source="s", revision="r", sleep=sleep, retries=pushing.patience(5.0)
            )
        assert len(pauses) == 12
